"""Check before a start that data and memory suffice for the cells of a plan."""

import logging
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from lina_lab.config.data import DataConfig
from lina_lab.config.engine import ALONE, Group
from lina_lab.config.experiment import Experiment
from lina_lab.cost import parameters, tokens
from lina_lab.design.data_sets import SIZES, Sizes
from lina_lab.errors import LabError
from lina_lab.evaluation.enough import check_batch, check_enough

logger = logging.getLogger(__name__)

GIB = 2**30
UNKNOWN = Sizes(2**63, 2**63, None)
"""Sizes of a data set that is not on this machine: assumed to be enough."""


def check_data(experiments: Iterable[Experiment]) -> list[str]:
    """Check the data sets of experiments; returns what could not be checked because it is not on this machine.

    Raises:
        LabError: if a data set has too few images, or is not as the config says.
    """
    seen = {(e.data, e.evaluation, e.training.batch_size): e for e in experiments}
    sizes = {data: _sizes(data) for data, _, _ in seen}
    for experiment in seen.values():
        known = sizes[experiment.data]
        check_enough(experiment.data, experiment.evaluation, known or UNKNOWN)
        check_batch(experiment, known or UNKNOWN)
    absent = [
        f"{data.path or data.root or data.name}: no such folder, or no {data.dataset or 'finished cache'}"
        for data in sizes
        if not sizes[data]
    ]
    references = {evaluation.reference: None for _, evaluation, _ in seen if evaluation.reference is not None}
    return absent + [f"evaluation.reference: {path}: no such file" for path in references if not Path(path).is_file()]


def _sizes(data: DataConfig) -> Sizes | None:
    """Sizes of a data set; None if it is not on this machine."""
    if data.autoencoder is not None:
        from lina_lab.data.cache import MANIFEST, place
        from lina_lab.data.latents import load_latents

        return load_latents(data, pixels=False).sizes if (place(data) / MANIFEST).is_file() else None
    if data.root is not None:
        from lina_lab.data.torchvision_sets import sizes_of

        return sizes_of(data)
    if data.name in SIZES:
        return SIZES[data.name]
    if not Path(data.path or "").is_dir():
        return None
    from lina_lab.data.captions import METADATA
    from lina_lab.data.folder import pictures

    images = pictures(data)
    if data.text is not None and not images.texts:
        raise LabError(f"{data.path}: has no {METADATA}: data.text needs a caption for every image")
    heldout = int(images.heldout.sum())
    train = len(images.heldout) - heldout
    return Sizes(train, heldout, train)


def least_bytes(experiment: Experiment, group: Group = ALONE) -> int:
    """A lower bound of the memory of one process in a training step.

    It counts weights, gradients, two moments and the average in float32, and the activations that every block of
    decoder and context stack keeps for a micro-batch: its input; unless blocks are recomputed, the normalised input, q,
    k, v and the attention output; unless MLPs are recomputed, the MLP's normalised input and twice its hidden layer.
    """
    model, data = experiment.model, experiment.data.shape
    t, recomputed = tokens(model, data), experiment.execution.activation_checkpointing
    kept = 1 if recomputed == "block" else 6 if recomputed == "mlp" else 7 + 2 * model.mlp_ratio
    length = model.decoder_depth * (t.context + t.image) + model.context_depth * (data.prompt_tokens + t.context)
    images = experiment.training.batch_size // (group.size * experiment.execution.accumulate)  # of a micro-batch
    value_bytes = 4 if experiment.training.precision == "fp32" else 2
    shards = group.size if group.strategy == "fsdp" else 1
    # 20 bytes a parameter: weight, gradient, two moments and the average, 4 bytes each.
    return parameters(model, data).total * 20 // shards + images * kept * length * model.width * value_bytes


def too_large(experiments: Iterable[Experiment], *, gpus: bool, group: Group = ALONE) -> str:
    """Why a step of the largest cell cannot fit into the memory of this machine or its smallest GPU; '' if it may."""
    there = memory_bytes(gpus=gpus)
    distinct = {(e.model, e.data, e.training.batch_size, e.training.precision, e.execution): e for e in experiments}
    largest = max(distinct.values(), key=lambda experiment: least_bytes(experiment, group), default=None)
    if largest is None or there is None or (needed := least_bytes(largest, group)) <= there:
        return ""
    batch, size, where = largest.training.batch_size, largest.model.size, "a GPU" if gpus else "this machine"
    return (
        f"{largest.name}: a step of training.batch_size {batch:,} with model.size {size} needs at least "
        f"{needed / GIB:,.1f} GiB, and {where} has {there / GIB:,.1f}: less is needed with a smaller batch, "
        "execution.accumulate, or activation_checkpointing"
    )


def memory_bytes(*, gpus: bool) -> int | None:
    """Memory of this machine, or of its smallest GPU; None if unknown."""
    if not gpus:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    words = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        listed = subprocess.run(words, capture_output=True, text=True, check=True, timeout=20).stdout
        return min(int(line) for line in listed.split()) * 2**20
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        logger.info("the memory of the GPUs is not known: %s", error)
        return None

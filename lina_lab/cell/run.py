"""The run of one cell: train, sample, evaluate, write the result. Started again, it continues."""

import logging
import math
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from lina_lab import cost
from lina_lab.cell.contents import check_contents
from lina_lab.cell.score import measure, with_sampling
from lina_lab.checkpoints.ema_weights import (
    Trained,
    keep_trained,
    load_trained,
    remedy,
    training_seconds,
    weights_digest,
)
from lina_lab.config.engine import ALONE, Group
from lina_lab.config.experiment import Experiment
from lina_lab.data.autoencoder import decoder
from lina_lab.data.datasets import Dataset, load_dataset
from lina_lab.data.examples import fingerprint
from lina_lab.distributed.launch import train_together
from lina_lab.errors import LabError
from lina_lab.evaluation.enough import check_batch, check_enough
from lina_lab.evaluation.evaluate import Measurement
from lina_lab.evaluation.extractors import load_extractor
from lina_lab.evaluation.reference import load_also, load_reference
from lina_lab.files import write_atomic
from lina_lab.ledger.cells import read_experiment
from lina_lab.ledger.metrics import append_metrics, read_metrics, rewind_metrics
from lina_lab.ledger.result import Result, write_result
from lina_lab.ledger.status import write_state
from lina_lab.model.execution import arithmetic, device
from lina_lab.model.lina import Lina
from lina_lab.provenance import Provenance, checkout, of_cell, provenance
from lina_lab.published.import_cell import imported_from
from lina_lab.sampling.image_set import DrawingProgress, DrawnSet, write_set
from lina_lab.sampling.request import labels_and_prompts, requests
from lina_lab.sampling.workers import draw_set, drawer
from lina_lab.training.recorder import Stopped
from lina_lab.training.train import build_model, find_start, train

logger = logging.getLogger(__name__)


def run_cell(
    folder: Path, stop: threading.Event | None = None, until: int = 0, group: Group = ALONE
) -> Literal["done", "diverged", "stopped", "paused"]:
    """Bring a cell to its result, or, once `stop` is set or step `until` is done, to a checkpoint.

    The caller holds the claim. A group trains in processes of its own; this one samples and evaluates.

    Raises:
        LabError: if the cell cannot be run as it is described.
    """
    experiment = read_experiment(folder)
    group.check(experiment)
    record = replace(provenance(), group=None if group.size == 1 else group._asdict())
    if record.code and (changed := record.code.changed):
        logger.warning("what runs was loaded before these files of the package changed: %s", ", ".join(changed))
    check_contents(experiment)
    dataset = load_dataset(experiment.data, pixels=experiment.evaluation.reference is None)
    extractor = load_extractor(experiment.evaluation.extractor)
    check_enough(experiment.data, experiment.evaluation, dataset.sizes)
    check_batch(experiment, dataset.sizes)
    reference, also = load_reference(experiment.evaluation, extractor), load_also(experiment.evaluation)
    check_contents(experiment)  # nor was anything replaced while it was read
    check_same_data(folder, dataset)
    decoder(experiment.data, torch.device("cpu"))  # an autoencoder that is not there is told before training
    steps = experiment.training.steps
    (folder / "samples").mkdir(parents=True, exist_ok=True)
    if record.diff_sha256 is not None:
        write_atomic(folder / "diff.patch", checkout().diff)
    try:
        trained = _trained(folder, experiment, dataset, stop or threading.Event(), until, group)
        seconds = {} if math.isnan(trained.seconds) else {"training": trained.seconds}
        record = replace(record, arithmetic=arithmetic(trained.model, experiment))
        if trained.diverged_at is not None:
            _finish(folder, experiment, record, seconds, diverged_at=trained.diverged_at)
            return "diverged"

        drawn = _draw(folder, experiment, dataset, trained.model, stop or threading.Event(), group)
    except Stopped:
        return "stopped" if stop is not None and stop.is_set() else "paused"
    write_state(folder, phase="evaluating", step=steps, steps=steps)
    request, _ = requests(experiment, dataset)
    write_set(drawn, folder / "samples" / "generated.npz", labels_and_prompts(request))
    seconds["sampling"] = drawn.seconds()

    started = time.monotonic()
    measured = measure(drawn.chunks(), request, dataset, extractor, experiment.seed, reference, also)
    seconds["evaluation"] = time.monotonic() - started
    _finish(folder, experiment, record, seconds, measured)
    shutil.rmtree(drawn.folder)
    return "done"


def check_same_data(folder: Path, dataset: Dataset) -> None:
    """Note what data a cell begins with: a key holds the files of a folder, or in older ones its path, not the pixels.

    Raises:
        LabError: if the cell began with other data.
    """
    path, found = folder / "data.sha256", fingerprint(dataset)
    if not path.exists():
        write_atomic(path, found)
    elif path.read_text(encoding="utf-8") != found:
        raise LabError(
            f"{path}: the cell began with other images, labels or captions than its data set has now; bring them back, "
            "and the version of LINA Lab that read them so; or start the same command again: other files have cells of "
            "their own"
        )


def _trained(
    folder: Path, experiment: Experiment, dataset: Dataset, stop: threading.Event, until: int, group: Group
) -> Trained:
    """Train, unless an earlier attempt or an import has: then its weights, and its metrics without an evaluation's."""
    seconds = training_seconds(folder)
    if seconds is not None:
        rewind_metrics(folder, experiment.training.steps, drop="eval/")
    elif experiment.training.imported is not None:
        raise LabError(f"{folder}: has no whole weights: {remedy(experiment)}")
    elif group.size == 1:
        trained = train(folder, experiment, dataset, stop, until)
        if trained.diverged_at is None:
            keep_trained(folder, trained)
        return trained
    else:
        ended = train_together(folder, find_start(folder, experiment), stop, until, group)
        if ended.diverged_at is not None:
            return Trained(build_model(experiment), ended.diverged_at, ended.seconds)
        seconds = ended.seconds
    return Trained(load_trained(folder)[1].to(device()), None, seconds)


def _finish(
    folder: Path,
    experiment: Experiment,
    record: Provenance,
    seconds: dict[str, float],
    measured: Measurement | None = None,
    diverged_at: int | None = None,
) -> None:
    """Write the result of a cell that was measured, or that diverged at a step."""
    steps = experiment.training.steps if diverged_at is None else diverged_at
    metrics: dict[str, float] = {}
    if measured is not None:
        metrics = {row.metric: row.value for row in read_metrics(folder)} | measured.metrics
        append_metrics(folder, steps, measured.metrics)
    result = Result(
        key=folder.resolve().name,
        name=experiment.name,
        seed=experiment.seed,
        parameters=cost.parameters(experiment.model, experiment.data.shape).as_dict(),
        flops={"training": cost.training_flops(experiment), "sampling": cost.sampling_flops(experiment)},
        steps=steps,
        samples_seen=steps * experiment.training.batch_size,
        ema_share=None if experiment.training.imported else experiment.training.ema_share,
        imported=imported_from(folder),
        seconds=seconds,
        state="done" if diverged_at is None else "diverged",
        diverged_at=diverged_at,
        metrics=metrics,
        evaluation=with_sampling(measured.evaluation, experiment.sampling) if measured else None,
        provenance=of_cell(record),
    )
    write_result(folder, result)
    write_state(folder, step=steps, steps=experiment.training.steps)


def _draw(
    folder: Path, experiment: Experiment, dataset: Dataset, model: Lina, stop: threading.Event, group: Group
) -> DrawnSet:
    """The images that are evaluated, drawn by a process on each GPU of the group on this node."""
    name, steps = f"drawn-{weights_digest(folder)[:12]}", experiment.training.steps
    drawn = DrawnSet(folder / "samples" / name, experiment.evaluation.num_samples)

    started, asked = time.monotonic(), 0

    def check() -> None:
        nonlocal asked
        asked += 1
        if stop.is_set():
            raise Stopped

    def tell(at: DrawingProgress) -> None:
        share, each = at.images / at.num_images, (time.monotonic() - started) / max(1, asked)
        told = {"images": at.images, "num_images": at.num_images, "share": share, "seconds_left": at.seconds_left}
        write_state(folder, phase="sampling", step=steps, steps=steps, step_seconds=each, **told)

    def decoding() -> None:
        if experiment.data.autoencoder is not None:
            write_state(folder, phase="decoding", step=steps, steps=steps)

    write_state(folder, phase="sampling", step=steps, steps=steps)
    draw_set(folder, {}, drawn, drawer(experiment, model, dataset, check, decoding), tell, group.devices)
    return drawn

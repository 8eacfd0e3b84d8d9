"""Import published weights as a cell of the ledger.

In addition to the files of every trained cell it has:
    imported.json         where the weights come from: files and their hashes, every tensor's name, type and shape
    imported.safetensors  tensors without a counterpart in our model, which `lab export` writes back
"""

import hashlib
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lina_lab.checkpoints.ema_weights import keep_weights, save_tensors
from lina_lab.config.experiment import Experiment
from lina_lab.config.load import load_experiment
from lina_lab.errors import LabError
from lina_lab.files import sha256_of, write_atomic
from lina_lab.ledger.cells import create_cell
from lina_lab.ledger.result import Imported
from lina_lab.provenance import provenance
from lina_lab.published.compatibility import misfits
from lina_lab.published.files import Checkpoint
from lina_lab.published.names import TEXT_ROWS, from_published, published_like, some

RECORD, REST = "imported.json", "imported.safetensors"
EXACT = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
"""Types whose values float32 represents exactly."""
STATED = ["steps", "samples_seen", "flops.training"]
"""Facts of a result that the experiment states about imported weights and nobody measured."""
SHIPPED = ("imagenet256-*.yaml", "t2i-*.yaml")
"""Experiments among which the one that fits a checkpoint is searched."""


def import_cell(runs: Path, checkpoint: Checkpoint, experiment: Experiment) -> Path:
    """Make a cell of a checkpoint under an experiment; after an error the ledger is unchanged.

    Raises:
        LabError: naming everything in which the two differ.
    """
    check_values(checkpoint.tensors)
    if reasons := misfits(checkpoint.tensors, experiment.model, experiment.data.shape):
        raise LabError(f"{_source(checkpoint)}: does not fit {experiment.name}:\n  " + "\n  ".join(reasons))
    cell = as_imported(experiment, digest(checkpoint.tensors))
    like, published = published_like(cell.model, cell.data.shape)
    tensors = {name: tensor.float() for name, tensor in checkpoint.tensors.items()}
    folder = create_cell(runs, cell)
    new = not (folder / RECORD).exists()
    try:
        save_tensors(folder / REST, _rest(tensors, published))
        write_atomic(folder / RECORD, json.dumps(_record(checkpoint, cell, published), indent=1))
        keep_weights(folder, from_published(tensors, like, cell.model), math.nan)
    except BaseException:
        if new:
            shutil.rmtree(folder)
        raise
    return folder


def as_imported(experiment: Experiment, sha256: str) -> Experiment:
    """The experiment of imported weights, named after both; without `init_from`, whose cell is not here."""
    training = experiment.training.model_copy(update={"imported": sha256, "init_from": None})
    name = f"{experiment.name.partition('-imported-')[0]}-imported-{sha256[:8]}"
    return experiment.model_copy(update={"training": training, "name": name})


def check_values(tensors: dict[str, Tensor]) -> None:
    """Refuse values that float32 cannot represent exactly, or that are not finite.

    Raises:
        LabError: naming the tensors.
    """
    other = [f"{name} ({tensor.dtype})" for name, tensor in tensors.items() if tensor.dtype not in EXACT]
    if other:
        raise LabError(f"tensors must be float32, bfloat16 or float16, not: {some(other)}")
    if broken := [name for name, tensor in tensors.items() if not tensor.isfinite().all()]:
        raise LabError(f"tensors must be finite, but there are infinities or NaN in: {some(broken)}")


def digest(tensors: dict[str, Tensor]) -> str:
    """SHA-256 of tensors as float32, in alphabetical order of names: independent of file format and type."""
    sha256 = hashlib.sha256()
    for name in sorted(tensors):
        sha256.update(f"{name}\0".encode())
        sha256.update(tensors[name].float().contiguous().flatten().view(torch.uint8).numpy().data)
    return sha256.hexdigest()


def find_experiment(checkpoint: Checkpoint, folder: Path) -> Path:
    """The shipped experiment that a checkpoint fits.

    Raises:
        LabError: if none does, or several do.
    """
    shipped = sorted(path for pattern in SHIPPED for path in folder.glob(pattern))
    fitting = []
    for path in shipped:
        experiment = load_experiment(path)
        if not misfits(checkpoint.tensors, experiment.model, experiment.data.shape):
            fitting.append(path)
    if len(fitting) != 1:
        names = some([path.name for path in fitting or shipped]) or "none"
        found = f"fits {names}" if fitting else f"fits none of {names}"
        raise LabError(f"{_source(checkpoint)}: {found} in {folder}/; name its experiment by --as EXPERIMENT.yaml")
    return fitting[0]


def imported_from(folder: Path) -> Imported | None:
    """The import record of a cell's result; None for a cell that was trained here."""
    path = folder / RECORD
    if not path.exists():
        return None
    record = json.loads(path.read_text(encoding="utf-8"))
    return Imported(**{name: record[name] for name in ("source", "sha256", "files", "as_stated")})


def _rest(tensors: dict[str, Tensor], published: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors without a counterpart in the model: unreachable text rows, and position tables that it makes itself."""
    rest = {name: tensor.contiguous() for name, tensor in tensors.items() if name not in published}
    if TEXT_ROWS in published:
        rest[TEXT_ROWS] = tensors[TEXT_ROWS][len(published[TEXT_ROWS]) :].contiguous()
    return rest


def _record(checkpoint: Checkpoint, cell: Experiment, published: dict[str, Tensor]) -> dict[str, Any]:
    tensors = checkpoint.tensors
    return {
        "source": _source(checkpoint),
        "files": {path.name: sha256_of(path) for path in checkpoint.files},
        "sha256": cell.training.imported,
        "prefix": checkpoint.prefix,
        "as_stated": STATED,
        "not_read": checkpoint.unread,
        "not_used": sorted(tensors.keys() - published.keys()),
        "tensors": {
            name: {"dtype": EXACT[tensor.dtype], "shape": list(tensor.shape)} for name, tensor in tensors.items()
        },
        "provenance": replace(provenance(), command="").as_json(),  # it may name a private folder
    }


def _source(checkpoint: Checkpoint) -> str:
    return checkpoint.files[0].name

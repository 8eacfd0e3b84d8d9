"""The EMA weights of a trained cell, on disk: ema.safetensors, and trained.json with its checksum.

Those of a point along the run are two such files in a folder of its own: see `point_folder`.
"""

import errno
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lina_lab.config.experiment import Experiment, points
from lina_lab.errors import LabError
from lina_lab.files import replacing, sha256_of, write_atomic
from lina_lab.ledger.cells import read_experiment
from lina_lab.ledger.merged import without_weights
from lina_lab.model.execution import accelerate
from lina_lab.model.lina import Lina


class Trained(NamedTuple):
    """A model that holds its EMA weights; the step at which it diverged, if it did; seconds of training."""

    model: Lina
    diverged_at: int | None
    seconds: float
    """NaN for imported weights: nobody measured it."""


def keep_trained(folder: Path, trained: Trained) -> None:
    """Write the EMA weights of a finished training."""
    keep_weights(folder, trained.model.state_dict(), trained.seconds)


def keep_weights(folder: Path, state: Mapping[str, Tensor], seconds: float) -> None:
    """Write weights as a cell's EMA weights. trained.json comes last: until it is there, they do not count."""
    sha256 = save_tensors(folder / "ema.safetensors", state)
    record = {"seconds": None if math.isnan(seconds) else seconds, "sha256": sha256}
    write_atomic(folder / "trained.json", json.dumps(record))


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> str:
    """Write a safetensors file atomically and return its SHA-256, without a second copy of the tensors in memory."""
    ready = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    with replacing(path) as part:
        try:
            save_file(ready, part, metadata)
        except SafetensorError as error:  # what safetensors raises on a full disk
            raise OSError(errno.EIO, str(error), str(path)) from error
        return sha256_of(part)


def training_seconds(folder: Path) -> float | None:
    """Seconds of a finished training, NaN if unknown; None if there is none, or its weights are missing or damaged."""
    try:
        record = json.loads((folder / "trained.json").read_text(encoding="utf-8"))
        whole = record["sha256"] == sha256_of(folder / "ema.safetensors")
        seconds = record["seconds"]
        return (math.nan if seconds is None else float(seconds)) if whole else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def load_trained(folder: Path, weights: Path | None = None) -> tuple[Experiment, Lina]:
    """The experiment of a trained cell, and its model with the EMA weights, in eval mode on the processor.

    `weights`: the folder of a point along the run, see `point_folder`; None for the end.

    Raises:
        LabError: if the cell has no trained weights, or they are damaged.
    """
    experiment = read_experiment(folder)
    path = _weights(weights or folder, experiment)
    model = Lina(experiment.model, experiment.data.shape)
    try:
        model.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError, OSError) as error:
        again = "train the cell again" if experiment.training.imported is None else remedy(experiment)
        raise LabError(f"{path}: damaged: {str(error).splitlines()[0]}; delete it and {again}") from error
    accelerate(model, experiment.execution)
    return experiment, model.eval()


def remedy(experiment: Experiment) -> str:
    """What to do where a cell's weights are missing."""
    if experiment.training.imported is None:
        return "the cell is not trained yet; lab train or lab sweep trains it"
    return "the cell's weights were imported, not trained; lab import their checkpoint again"


def point_folder(folder: Path, step: int) -> Path:
    """Where a cell keeps the EMA weights of a step before the last."""
    return folder / "points" / f"{step:07d}"


def lacking_points(folder: Path, experiment: Experiment, last: int) -> list[int]:
    """The steps up to `last` at which weights are to be measured, and which have none here or damaged ones."""
    return [s for s in points(experiment) if s <= last and training_seconds(point_folder(folder, s)) is None]


def weights_digest(folder: Path, weights: Path | None = None) -> str:
    """SHA-256 of the EMA weights of a trained cell, as hex; `weights` as in `load_trained`.

    Raises:
        LabError: if the cell has none.
    """
    return sha256_of(_weights(weights or folder, read_experiment(folder)))


def _weights(folder: Path, experiment: Experiment) -> Path:
    path = folder / "ema.safetensors"
    if not path.exists():
        raise LabError(f"{path}: no such file: {without_weights(folder) or remedy(experiment)}")
    return path

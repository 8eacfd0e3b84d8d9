"""What a training leaves: the averaged weights of a cell, and the record that they are whole."""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file, save

from lina_lab.config.experiment import Experiment
from lina_lab.errors import LabError
from lina_lab.files import write_atomic
from lina_lab.ledger import read_experiment
from lina_lab.model.execution import accelerate
from lina_lab.model.lina import Lina


class Trained(NamedTuple):
    """A model with its averaged weights; the step at which it diverged, if it did; seconds of training."""

    model: Lina
    diverged_at: int | None
    seconds: float


def keep_trained(folder: Path, trained: Trained) -> None:
    """Write the averaged weights, and then what says that they are whole."""
    weights = save({name: value.cpu().contiguous() for name, value in trained.model.state_dict().items()})
    record = {"seconds": trained.seconds, "sha256": hashlib.sha256(weights).hexdigest()}
    write_atomic(folder / "ema.safetensors", weights)
    write_atomic(folder / "trained.json", json.dumps(record))


def training_seconds(folder: Path) -> float | None:
    """What the training took, if its weights are there, every byte as it was written."""
    try:
        record = json.loads((folder / "trained.json").read_text(encoding="utf-8"))
        whole = record["sha256"] == hashlib.sha256((folder / "ema.safetensors").read_bytes()).hexdigest()
        return float(record["seconds"]) if whole else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def load_trained(folder: Path) -> tuple[Experiment, Lina]:
    """The experiment and the averaged model of a trained cell.

    Raises:
        LabError: if the cell has no trained weights, or they are damaged.
    """
    experiment, path = read_experiment(folder), folder / "ema.safetensors"
    _check_there(path)
    model = Lina(experiment.model, experiment.data.shape)
    try:
        model.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError, OSError) as error:
        raise LabError(f"{path}: damaged: {str(error).splitlines()[0]}; delete it and train the cell again") from error
    accelerate(model, experiment.execution)
    return experiment, model.eval()


def weights_digest(folder: Path) -> str:
    """SHA-256 of the averaged weights of a trained cell, as hex.

    Raises:
        LabError: if the cell has none.
    """
    path = folder / "ema.safetensors"
    _check_there(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_there(path: Path) -> None:
    if not path.exists():
        raise LabError(f"{path}: no such file: the cell is not trained yet; lab train or lab sweep trains it")

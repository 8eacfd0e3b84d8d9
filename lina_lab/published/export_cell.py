"""Write a cell's weights as a published checkpoint."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from lina_lab.checkpoints.ema_weights import load_trained, save_tensors
from lina_lab.config.data import DataShape
from lina_lab.config.experiment import Experiment
from lina_lab.errors import LabError
from lina_lab.files import write_atomic
from lina_lab.published.import_cell import EXACT, RECORD, REST
from lina_lab.published.names import TEXT_ROWS, some, to_published, unpublished

WEIGHTS = Path("transformer", "diffusion_pytorch_model.safetensors")
TEXT_TABLE = 512
"""Rows of the published table of fixed text features; those beyond a prompt's tokens are never read."""
DTYPES = {name: dtype for dtype, name in EXACT.items()}


def export_cell(folder: Path, out: Path, dtype: str = "fp32") -> int:
    """Write the EMA weights under published names, with their metadata; returns the number of tensors.

    Raises:
        LabError: if the cell has no weights, the published code has no such design, or the type is too narrow.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise LabError(f"{out}: must be a new or an empty folder")
    experiment, model = load_trained(folder)
    if lacks := unpublished(experiment.model, experiment.data.shape):
        raise LabError(f"{folder.name}: no published names are known of a design with {', '.join(lacks)}")
    tensors = _as_imported(folder, to_published(model.state_dict(), experiment.model), experiment.data.shape)
    sha256 = save_tensors(out / WEIGHTS, _narrowed(tensors, dtype), {"format": "pt"})
    config = _config(folder, experiment, dtype) | {"sha256": sha256}
    write_atomic(out / "config.json", json.dumps(config, indent=1))
    return len(tensors)


def _as_imported(folder: Path, tensors: dict[str, Tensor], data: DataShape) -> dict[str, Tensor]:
    """Add the tensors that an import set aside, in their shapes; for a cell trained here, those of published files."""
    if (folder / RECORD).exists():
        known = json.loads((folder / RECORD).read_text(encoding="utf-8"))["tensors"]
        rest = load_file(folder / REST)
    else:
        known = {}
        rest = {} if data.text is None else {TEXT_ROWS: torch.zeros(_spare_rows(data.text.tokens), data.text.features)}
    if TEXT_ROWS in tensors:
        rest[TEXT_ROWS] = torch.cat([tensors[TEXT_ROWS], rest[TEXT_ROWS]])
    whole = tensors | rest
    return {name: t.reshape(known[name]["shape"]) if name in known else t for name, t in whole.items()}


def _spare_rows(tokens: int) -> int:
    return max(0, TEXT_TABLE - tokens)


def _narrowed(tensors: dict[str, Tensor], dtype: str) -> dict[str, Tensor]:
    narrow = {name: tensor.detach().to(DTYPES[dtype]).contiguous() for name, tensor in tensors.items()}
    if beyond := [name for name, tensor in narrow.items() if not tensor.isfinite().all()]:
        raise LabError(f"--dtype {dtype}: these tensors have values beyond its range: {some(beyond)}")
    return narrow


def _config(folder: Path, experiment: Experiment, dtype: str) -> dict[str, Any]:
    return {
        "made_by": "lab export",
        "holds": "the transformer alone: autoencoder, text encoder and scheduler are not in here",
        "cell": folder.resolve().name,
        "dtype": dtype,
        "experiment": experiment.model_dump(mode="json"),
    }

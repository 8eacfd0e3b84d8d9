"""Initial weights from a cell that was trained at another resolution.

Position tables are not weights: the model makes them for its own grid. Position gates have one value for each token, so
they restart at 1 or are interpolated. Every other tensor is copied.
"""

import re
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from lina_lab.checkpoints.ema_weights import load_trained
from lina_lab.config.experiment import Experiment
from lina_lab.config.layout import near_square
from lina_lab.config.settings import InitConfig
from lina_lab.errors import LabError
from lina_lab.model.lina import Lina

Grid = tuple[int, int]
GATE = re.compile(r"\.gates\.\w+$")
"""Names of position gates. Gates computed from the input end in `.weight` or `.bias`, and are copied."""


@torch.no_grad()
def warm_start(model: Lina, init: InitConfig, source: Lina) -> None:
    """Load the weights of a source into a model.

    Raises:
        LabError: if a tensor other than a gate is missing in the source or has another shape there.
    """
    weights = source.state_dict()
    for name, tensor in model.state_dict().items():
        # Gates first: they may differ in shape, or be absent in a source without gates.
        if GATE.search(name) and (name not in weights or weights[name].shape != tensor.shape):
            tensor.copy_(_gate(name, tensor, weights.get(name), init, source, model))
        elif name not in weights or weights[name].shape != tensor.shape:
            shape = tuple(weights[name].shape) if name in weights else "none"
            raise LabError(f"training.init_from {init.cell}: {name} must be {tuple(tensor.shape)} as here, not {shape}")
        else:
            tensor.copy_(weights[name])


def load_initial_weights(model: Lina, experiment: Experiment, runs: Path) -> None:
    """Load the weights that an experiment starts from, if it names a cell.

    Raises:
        LabError: if that cell is not there, not trained, or does not fit.
    """
    init = experiment.training.init_from
    if init is None:
        return
    folder = runs / init.cell
    if not folder.exists():
        raise LabError(f"training.init_from {init.cell}: {runs} has no such cell; train it first")
    warm_start(model, init, load_trained(folder)[1])


def _gate(name: str, like: Tensor, gate: Tensor | None, init: InitConfig, source: Lina, model: Lina) -> Tensor:
    if gate is None or init.gates == "reset":
        return torch.ones_like(like)
    if len(gate) != len(like):
        raise LabError(f"training.init_from {init.cell}: {name} must have {len(like)} heads, not {len(gate)}")
    segment = name.partition(".")[0]
    return interpolated(gate, _grids(source, segment), _grids(model, segment))


def _grids(model: Lina, segment: str) -> tuple[Grid, Grid]:
    """The two grids that make up a segment's sequence: prompt and context, or context and image."""
    context = near_square(model.config.context_tokens)
    return ((1, model.data.prompt_tokens), context) if segment == "context" else (context, model.grid)


def interpolated(gate: Tensor, old: tuple[Grid, ...], new: tuple[Grid, ...]) -> Tensor:
    """A gate (H, N) over consecutive grids, each resized bilinearly."""
    per_grid = gate.split([height * width for height, width in old], dim=1)
    resized = [
        F.interpolate(values.unflatten(1, before).unsqueeze(0), after, mode="bilinear")[0].flatten(1)
        for values, before, after in zip(per_grid, old, new, strict=True)
    ]
    return torch.cat(resized, dim=1)

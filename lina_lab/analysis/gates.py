"""Learnt key and value weights of every layer and head, each at its place on the context or image grid.

A gate is a vector over a segment's sequence: the context stack has 1 label token and P context tokens, the decoder P
context tokens and N image tokens. P lies on the grid nearest to a square, N on the latent's grid, both in raster order.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open

from lina_lab.config.data import DataShape
from lina_lab.config.layout import near_square
from lina_lab.config.model import ModelConfig
from lina_lab.design.gates import KV_GATE
from lina_lab.errors import LabError
from lina_lab.ledger.merged import GATES as GATES_ALONE
from lina_lab.ledger.merged import without_weights

GATE = re.compile(r"^(context|encoder|decoder)\.(\d+)\.attention\.gates\.(key|value|mass)$")
GATES = ("key", "mass", "value")
"""In the order of the figures; `mass` weighs the keys in the normaliser alone (kv_gate `key_value_split`)."""
COLUMNS = ("segment", "layer", "head", "gate", "region", "row", "column", "position", "weight")
Weights = Mapping[str, np.ndarray]


def gates_file(folder: Path) -> Path:
    """Where a cell's gates are: in its averaged weights, or, of a cell that was merged without these, by themselves."""
    path = folder / "ema.safetensors"
    return path if path.exists() or not (folder / GATES_ALONE).exists() else folder / GATES_ALONE


def read_gates(path: Path) -> dict[str, np.ndarray]:
    """The gates (H, N) in a safetensors file by their names, whatever else it holds.

    Raises:
        LabError: if the file is missing or damaged.
    """
    if not path.exists():
        why = without_weights(path.parent) or "the cell is not trained yet; --checkpoint reads one of its checkpoints"
        raise LabError(f"{path}: no such file: {why}")
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys() if GATE.match(name)}  # noqa: SIM118, no mapping
    except (SafetensorError, OSError) as error:
        raise LabError(f"{path}: damaged: {str(error).splitlines()[0]}") from error


def gates_table(weights: Weights, model: ModelConfig, data: DataShape) -> pd.DataFrame:
    """One row a weight, `COLUMNS`: where it is in the model, and where its token lies on its grid.

    Gates shared by all heads are listed as head 0. Other tensors are ignored.

    Raises:
        LabError: if there are no gates, or one does not fit the model.
    """
    matches = [(match, weights[name]) for name in weights if (match := GATE.match(name))]
    if not matches:
        raise LabError(no_gates(model))
    tables = [
        _gate_rows(match[1], int(match[2]), match[3], weight, model, data)
        for match, weight in sorted(matches, key=lambda m: (m[0][1], int(m[0][2]), GATES.index(m[0][3])))
    ]
    return pd.concat(tables, ignore_index=True)


def no_gates(model: ModelConfig) -> str:
    """Why a model has no gates, and which axis would give it some."""
    values = ", ".join(word for word, value in KV_GATE.values.items() if value.needs_grid)
    return (
        f"there are no gates of positions: model.decoder.kv_gate is {model.decoder.kv_gate} and "
        f"model.context.kv_gate is {model.context.kv_gate}; the axis model.attention.kv_gate gives them to the "
        f"decoder, model.context.kv_gate to the context stack (values: {values})"
    )


def _gate_rows(
    segment: str, layer: int, gate: str, weight: np.ndarray, model: ModelConfig, data: DataShape
) -> pd.DataFrame:
    places = token_places(segment, model, data)
    if weight.ndim != 2 or weight.shape[1] != len(places) or weight.shape[0] not in {1, model.num_heads}:
        raise LabError(
            f"{segment}.{layer}.attention.gates.{gate} must have shape ({model.num_heads}, {len(places)}) or "
            f"(1, {len(places)}) as the experiment says, not {tuple(weight.shape)}"
        )
    heads = [places.assign(head=head, weight=values) for head, values in enumerate(weight.astype(np.float64))]
    return pd.concat(heads).assign(segment=segment, layer=layer, gate=gate)[list(COLUMNS)]


def token_places(segment: str, model: ModelConfig, data: DataShape) -> pd.DataFrame:
    """Region, row, column and position of every token of a segment's sequence."""
    side = data.side // model.patch
    context = ("context", *near_square(model.context_tokens))
    prompt = ("label", 1, 1) if data.text is None else ("text", 1, data.prompt_tokens)
    grids = [prompt, context] if segment == "context" else [context, ("image", side, side)]
    places = [(region, r, c) for region, height, width in grids for r in range(height) for c in range(width)]
    return pd.DataFrame(places, columns=["region", "row", "column"]).assign(position=range(len(places)))


def gates_summary(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each layer and gate: mean, SD, least and largest weight, and the share below 0."""
    rows: list[dict[str, Any]] = []
    for (segment, layer, gate), part in table.groupby(["segment", "layer", "gate"], sort=False):
        weight = part["weight"]
        rows.append({
            "segment": segment,
            "layer": layer,
            "gate": gate,
            "mean": weight.mean(),
            "sd": weight.std(ddof=0),
            "min": weight.min(),
            "max": weight.max(),
            "below_0": (weight < 0).mean(),
        })  # fmt: skip
    return pd.DataFrame(rows)


def summary_lines(table: pd.DataFrame) -> Iterable[str]:
    """'decoder layer 1, key: mean 1.02, SD 0.10 (0.71 to 1.40), 0.0 % below 0' for each layer and gate."""
    for row in gates_summary(table).to_dict("records"):
        yield (
            f"{row['segment']} layer {row['layer']}, {row['gate']}: mean {row['mean']:.3f}, SD {row['sd']:.3f} "
            f"({row['min']:.3f} to {row['max']:.3f}), {row['below_0']:.1%} below 0"
        )

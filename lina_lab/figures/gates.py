"""Gate maps: the learnt weight of every token at its place, context grid and image grid beside each other, to scale."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lina_lab.analysis.gates import GATES, gates_summary, gates_table, summary_lines
from lina_lab.config.experiment import Experiment
from lina_lab.figures.panels import WIDTHS, panel_grid
from lina_lab.figures.style import COLUMN, SMALL, save, style
from lina_lab.files import write_atomic

START = 1.0
"""Initial value of every gate: the middle of the colour map."""
GAP = 1
"""Blank tokens between grids."""
MANY, ABREAST = 36, 8
"""Up to so many (layer, head) pairs, and so many heads, have a panel each; beyond, a layer has mean and SD of them."""
WITHIN = 0.99
"""Fraction of weights inside the colour range, so that a few outliers do not bleach the rest."""
BESIDE, BELOW = 0.8, 1.1
"""Inches beside the panels of a row, for names, and below them, for the colour bars."""
TOKEN_INCHES = 0.1
"""Of a token's side, at most."""


class Place(NamedTuple):
    """Position of a grid on a sheet, in tokens: its top left corner and size, and its gate and region."""

    gate: str
    region: str
    top: int
    left: int
    height: int
    width: int


def places(part: pd.DataFrame) -> list[Place]:
    """The grids of one layer and head: gates down, regions across, in a raster of tokens with blanks between."""
    gates = [gate for gate in GATES if gate in set(part["gate"])]
    sizes = part.groupby("region", sort=False)[["row", "column"]].max() + 1
    band, left, grids = int(sizes["row"].max()) + GAP, 0, []
    for region, (height, width) in zip(sizes.index, sizes.to_numpy().tolist(), strict=True):
        grids += [
            Place(gate=gate, region=str(region), top=band * n, left=left, height=height, width=width)
            for n, gate in enumerate(gates)
        ]
        left += width + GAP
    return grids


def sheet(part: pd.DataFrame, value: str = "weight") -> np.ndarray:
    """The grids of one layer and head as one array: a token a pixel, NaN where there is no token."""
    place_of = {(place.gate, place.region): place for place in places(part)}
    array = np.full(_extent(part), np.nan)
    for (gate, region), rows in part.groupby(["gate", "region"]):
        place = place_of[str(gate), str(region)]
        array[place.top + rows["row"], place.left + rows["column"]] = rows[value]
    return array


def _extent(part: pd.DataFrame) -> tuple[int, int]:
    grids = places(part)
    return max(p.top + p.height for p in grids), max(p.left + p.width for p in grids)


def gate_maps(table: pd.DataFrame) -> Figure:
    """Layers down, heads across, one panel a pair; the table holds one segment.

    In the context stack the square that stands alone is the label token.
    """
    heads = sorted(set(table["head"]))
    titles = ["all heads share" if heads == [0] else f"head {head}" for head in heads]
    columns = [(table[table["head"] == head], title) for head, title in zip(heads, titles, strict=True)]
    with style():
        figure, panels = _grid(table, len(columns))
        colours = _diverging(table["weight"])
        for across, (part, title) in enumerate(columns):
            _fill(panels[:, across], part, "weight", colours)
            panels[0, across].set_title(title)
        _name_rows(panels, table)
        _bar(figure, panels, colours, "gate weight")
    return figure


def gate_overview(table: pd.DataFrame) -> Figure:
    """Layers down; across, the mean over the heads of each gate, then their SD; the table holds one segment."""
    over = ["layer", "gate", "region", "row", "column", "position"]
    heads = table.groupby(over, sort=False)["weight"].agg(mean="mean", SD=lambda w: w.std(ddof=0)).reset_index()
    gates = [gate for gate in GATES if gate in set(heads["gate"])]
    colours = {"SD": _grey(heads["SD"]), "mean": _diverging(heads["mean"])}
    with style():
        figure, panels = _grid(heads[heads["gate"] == gates[0]], 2 * len(gates))
        for across, (value, gate) in enumerate((value, gate) for value in ("mean", "SD") for gate in gates):
            _fill(panels[:, across], heads[heads["gate"] == gate], value, colours[value])
            panels[0, across].set_title(f"{gate}: {value}")
        for value, scale in colours.items():
            _bar(figure, panels, scale, f"{value} over heads")
        _name_rows(panels, heads[heads["gate"] == gates[0]])
        for panel in panels[:, 0]:
            panel.set_yticks([])  # the titles name the gates
    return figure


class Colours(NamedTuple):
    """A colour map and its ends; `extend` says beyond which of them values lie."""

    colours: Colormap
    norm: Normalize
    extend: str = "neither"


def _diverging(weights: pd.Series) -> Colours:
    """Blue below the start, red above, white at it; the ends hold `WITHIN` of the weights."""
    distance = (weights - START).abs()
    reach = _reach(distance)
    extend = "both" if distance.max() > reach else "neither"
    return Colours(colormaps["RdBu_r"], Normalize(START - reach, START + reach), extend)


def _grey(spread: pd.Series) -> Colours:
    reach = _reach(spread)
    return Colours(colormaps["Greys"], Normalize(0, reach), "max" if spread.max() > reach else "neither")


def _reach(values: pd.Series) -> float:
    """The `WITHIN` quantile; the largest where that is 0, and 1 where all are."""
    return float(values.quantile(WITHIN)) or float(values.max()) or 1.0


def _grid(table: pd.DataFrame, across: int) -> tuple[Figure, np.ndarray]:
    layers = sorted(set(table["layer"]))
    height, width = (size + 2 for size in _extent(_one(table, layers[0])))
    columns = 1 if across * width * TOKEN_INCHES < COLUMN - BESIDE else 2
    token = min((WIDTHS[columns] - BESIDE) / (across * width), TOKEN_INCHES)
    grid = panel_grid(len(layers) * across, columns, height * token, across, heights=[*[height * token] * len(layers)])
    grid.figure.set_figheight(grid.figure.get_figheight() + BELOW)
    grid.figure.set_layout_engine("compressed")  # panels of a fixed aspect stand side by side without blanks
    return grid.figure, np.array(grid.panels).reshape(len(layers), across)


def _one(table: pd.DataFrame, layer: int) -> pd.DataFrame:
    """The rows of one layer and its first head, where there are heads."""
    part = table[table["layer"] == layer]
    return part[part["head"] == part["head"].min()] if "head" in part else part


def _fill(panels: np.ndarray, table: pd.DataFrame, value: str, colours: Colours) -> None:
    for panel, (_, part) in zip(panels, table.groupby("layer", sort=True), strict=True):
        panel.imshow(sheet(part, value), cmap=colours.colours, norm=colours.norm, interpolation="nearest")
        panel.grid(visible=False)
        panel.set_xticks([])
        panel.set_yticks([])
        panel.spines[:].set_visible(False)
        for place in places(part):
            corner = (place.left - 0.5, place.top - 0.5)
            panel.add_patch(
                Rectangle(corner, place.width, place.height, fill=False, edgecolor="#999999", linewidth=0.4)
            )


def _name_rows(panels: np.ndarray, table: pd.DataFrame) -> None:
    """Layers and gates at the left edge, regions at the lower edge."""
    for layer, panel in zip(sorted(set(table["layer"])), panels[:, 0], strict=True):
        ticks = {place.gate: place.top + (place.height - 1) / 2 for place in places(_one(table, layer))}
        panel.set_yticks(list(ticks.values()), list(ticks), fontsize=SMALL)
        panel.set_ylabel(f"layer {layer}")
    grids = {p.region: p for p in places(_one(table, table["layer"].max())) if p.region != "label"}
    for panel in panels[-1]:
        panel.set_xticks([p.left + (p.width - 1) / 2 for p in grids.values()], list(grids), fontsize=SMALL)
    for panel in panels.flat:
        panel.tick_params(length=0)


def _bar(figure: Figure, panels: np.ndarray, colours: Colours, label: str) -> None:
    """A colour bar of at most 2 inches below the panels."""
    shrink = min(0.9, 2.0 / figure.get_figwidth())
    mapping = ScalarMappable(colours.norm, colours.colours)
    where: dict[str, Any] = {"location": "bottom", "shrink": shrink, "aspect": 25, "pad": 0.02}
    bar = figure.colorbar(mapping, ax=list(panels.flat), extend=colours.extend, **where)
    cut = f" ({1 - WITHIN:.0%} lie beyond the ends)" if colours.extend != "neither" else ""
    bar.set_label(f"{label}{cut}", fontsize=SMALL)
    bar.outline.set_visible(False)


def gates_figure(table: pd.DataFrame) -> Figure | None:
    """The maps of one cell's decoder, or of its context stack; over many heads, their mean and spread. None if none."""
    if table.empty:
        return None
    segment = "decoder" if "decoder" in set(table["segment"]) else table["segment"].iloc[0]
    part = table[table["segment"] == segment]
    return gate_overview(part) if _many(part) else gate_maps(part)


def _many(part: pd.DataFrame) -> bool:
    return part["head"].nunique() > ABREAST or len(part[["layer", "head"]].drop_duplicates()) > MANY


def write_gates(experiment: Experiment, weights: Mapping[str, np.ndarray], out: Path, *, atlas: bool) -> list[str]:
    """Write `gates.csv`, `gates-summary.csv` and the maps of each segment: lines that say what they show.

    `atlas` also writes a panel for every pair of layer and head where there are many.

    Raises:
        LabError: if there are no gates.
    """
    table = gates_table(weights, experiment.model, experiment.data.shape)
    write_atomic(out / "gates.csv", table.to_csv(index=False))
    write_atomic(out / "gates-summary.csv", gates_summary(table).to_csv(index=False))
    for segment, part in table.groupby("segment", sort=False):
        many = _many(part)
        save(gate_overview(part) if many else gate_maps(part), out / f"gates-{segment}.png", ("png", "pdf", "svg"))
        if many and atlas:
            save(gate_maps(part), out / f"gates-{segment}-atlas.png", ("png", "pdf"))
    return list(summary_lines(table))

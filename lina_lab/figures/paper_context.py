"""Published ImageNet FID of several models against size, for context."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lina_lab.analysis.literature import DESIGNS, LINA, NO_GUIDANCE, on_curves
from lina_lab.figures.panels import entitle, legend_below, panel_grid
from lina_lab.figures.paper_lina import FID_LABEL, size_axis
from lina_lab.figures.style import OTHER_COLOURS, design_style, style
from lina_lab.figures.ticks import log_axis

GREEN, PINK, YELLOW, SKY, BLACK = OTHER_COLOURS
MODELS = {"DiT": BLACK, "MAR": GREEN, "VAR": PINK, "LlamaGen": YELLOW, "U-ViT": SKY}
"""Colours of the models that are not LINA."""
MARKERS = ("s", "^", "v", "P")
"""One for each curve of a model, in the order of the file."""


def context_figure(fid: pd.DataFrame, columns: int = 2) -> Figure:
    """Every curve of the published values: without guidance, and with guidance as each source chose it."""
    rows = on_curves(fid)
    plain = rows["guidance"] == NO_GUIDANCE
    with style():
        grid = panel_grid(2, columns, 2.4, columns)
        entitle(grid, ("no guidance", "guidance as each source chose it"))
        for panel, part in zip(grid.panels, (rows[plain], rows[~plain]), strict=True):
            _draw_curves(panel, part, rows)
            panel.set_ylabel(FID_LABEL)
            size_axis(panel)
            log_axis(panel.yaxis)
        legend_below(grid.figure)
    return grid.figure


def _draw_curves(panel: Axes, rows: pd.DataFrame, everything: pd.DataFrame) -> None:
    looks = curve_looks(everything)
    for curve in dict.fromkeys(everything["curve"]):
        part = rows[rows["curve"] == curve].sort_values("params")
        if len(part):
            panel.plot(part["params"], part["fid"], label=curve, **looks[curve])


def curve_looks(rows: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Line and marker of every curve: LINA's designs as everywhere, other models a colour each."""
    looks: dict[str, dict[str, Any]] = {"LINA (final)": design_style(LINA)}
    looks |= {f"LINA {name}": design_style(values) for name, values in DESIGNS.items()}
    for model, colour in MODELS.items():
        curves = dict.fromkeys(rows.loc[rows["model"] == model, "curve"])
        for curve, marker in zip(curves, MARKERS, strict=False):
            looks[curve] = {"color": colour, "marker": marker, "linestyle": (0, (1, 1))}
    return {curve: look | {"markersize": 4, "linewidth": 1.1} for curve, look in looks.items()}

"""What was forecast beside what was reached: a row a design and size."""

import math
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lina_lab.analysis.forecast_score import HIT, Score, percent
from lina_lab.analysis.names import design_names
from lina_lab.analysis.scale import RATIO
from lina_lab.analysis.study_metric import StudyMetric
from lina_lab.analysis.table import SIZE_AXIS, design_axes, human
from lina_lab.figures.panels import legend_below, panel_grid
from lina_lab.figures.style import Looks, style
from lina_lab.figures.ticks import log_axis
from lina_lab.ledger.plan import Plan

MISSED = "#c0392b"
ROW_INCHES = 0.2
BEYOND = 3.0
"""The axis ends at this factor beyond the lowest and highest forecast or value; a wider bar leaves it."""


def forecast_figure(found: Score, plan: Plan, metric: StudyMetric, looks: Looks) -> Figure | None:
    """Intervals with a tick at the forecast, and above them the seeds' values; None if nothing was forecast."""
    if found.cells.empty:
        return None
    axes_of = design_axes(plan)
    rows = list(found.cells.groupby([*axes_of, "parameters", "low", "high"], sort=False, dropna=False))
    with style():
        grid = panel_grid(1, 2, 0.5 + ROW_INCHES * len(rows))
        (axes,) = grid.panels
        for height, (_, cells) in enumerate(rows):
            first = cells.iloc[0]
            look = looks({axis: first[axis] for axis in axes_of})
            _draw(axes, height, cells, look["color"])
        axes.set_yticks(range(len(rows)), [_name(cells, plan) for _, cells in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(metric.axis)
        if metric.scale == RATIO:
            centre = pd.concat([found.cells["predicted"], found.cells["reached"].dropna()])
            high = axes.get_xlim()[1]
            axes.set_xscale("log")
            ends = (
                max(found.cells[["low", "power_low"]].min().min() / 1.05, centre.min() / BEYOND),
                min(high, centre.max() * BEYOND),
            )
            axes.set_xlim(*ends)
            log_axis(axes.xaxis)
        _legend(axes, found)
        legend_below(grid.figure)
    return grid.figure


def _draw(axes: Axes, height: int, cells: pd.DataFrame, colour: str) -> None:
    first = cells.iloc[0]
    bar: dict[str, Any] = {"color": colour, "linewidth": 5, "alpha": 0.35, "solid_capstyle": "butt"}
    axes.plot([first["low"], first["high"]], [height, height], **bar)
    axes.plot(first["predicted"], height, "|", color=colour, markersize=9, markeredgewidth=1.5)
    if not math.isnan(first["power_low"]):
        axes.plot([first["power_low"], first["power_high"]], [height + 0.25] * 2, color="#999999", linewidth=1)
    known = cells.dropna(subset=["reached"])
    hit = known[known["outcome"] == HIT]["reached"]
    miss = known[known["outcome"] != HIT]["reached"]
    axes.plot(hit, [height] * len(hit), "o", color=colour, markersize=4, markeredgecolor="white", markeredgewidth=0.5)
    axes.plot(miss, [height] * len(miss), "x", color=MISSED, markersize=6, markeredgewidth=1.8)


def _name(cells: pd.DataFrame, plan: Plan) -> str:
    first = cells.iloc[0]
    label = design_names(plan)({axis: first[axis] for axis in design_axes(plan)})
    size = f"{first[SIZE_AXIS]}, " if SIZE_AXIS in cells else ""
    return f"{label}, {size}{human(first['parameters'])}"


def _legend(axes: Axes, found: Score) -> None:
    grey = "#555555"
    handles = [
        Line2D([], [], color=grey, linewidth=5, alpha=0.35, label=f"{percent(found.level)} interval"),
        Line2D([], [], color=grey, marker="|", linestyle="none", markersize=9, label="forecast"),
        Line2D([], [], color="#999999", linewidth=1, label="as a power law"),
        Line2D([], [], color=grey, marker="o", linestyle="none", markersize=4, label="reached, inside"),
        Line2D([], [], color=MISSED, marker="x", linestyle="none", label="reached, outside"),
    ]
    for handle in handles:
        axes.add_line(handle)

"""The metric against size: one line a design, with its measured uncertainty; of one size, a row a design."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lina_lab.analysis.interval import Interval, mean_interval
from lina_lab.analysis.match_cells import MAX_RATIO
from lina_lab.analysis.names import Names, design_names
from lina_lab.analysis.scale import RATIO
from lina_lab.analysis.scaling_fit.fits import fit, predict
from lina_lab.analysis.study_metric import StudyMetric, study_metric
from lina_lab.analysis.table import design_axes, designs, human, refuse_mixtures
from lina_lab.figures.panels import (
    BEHIND,
    Design,
    Group,
    entitle,
    grouped,
    legend_below,
    name_ends,
    names_in,
    others,
    panel_grid,
)
from lina_lab.figures.style import COLUMN, SMALL, Look, Looks, design_looks, fitted, note, style
from lina_lab.figures.ticks import log_axis
from lina_lab.ledger.plan import Plan

PANEL_INCHES = 2.1
ROW_INCHES, LINE_INCHES = 0.19, 0.12
"""Of a design, where there is one size, and of every further line of its name."""
LAW_SIZES = 4
"""Fewest sizes of a design whose power law is drawn: three leave it one degree of freedom, too few to see whether there
is a law, and a line that misses all three hides that each size improved."""
BESIDE = 1.035
"""Bars of one size stand side by side, each this factor of the parameters from the next."""


def scaling_figure(table: pd.DataFrame, plan: Plan) -> Figure:
    """The metric against parameters, with power laws; small dots are cells.

    A metric that may be zero or negative has a linear axis and no law, nor has a design with fewer than `LAW_SIZES`
    sizes: its points are joined. Many designs stand in panels: see `grouped`. `bars` says what the error bars are.
    Models of one size have no law, and a row a design.

    Raises:
        LabError: if no cell has the metric, or they cannot be compared.
    """
    metric = study_metric(table, plan)
    refuse_mixtures(table, metric.column)
    of_designs = list(designs(table, design_axes(plan)))
    looks = design_looks(values for values, _ in of_designs)
    with style():
        if one_size(table.dropna(subset=[metric.column])):
            figure = _by_design(of_designs, metric, looks, design_names(plan))
        else:
            figure = _by_size(grouped(of_designs, design_axes(plan), design_names(plan)), metric, looks)
        diverged = "; x: a cell that diverged" if (table["state"] == "diverged").any() else ""
        note(figure, f"{bars(table, metric)}{diverged}")
    return figure


def one_size(table: pd.DataFrame) -> bool:
    """Whether all models are of one size: their designs differ by a few parameters."""
    return bool(table["parameters"].max() <= MAX_RATIO * table["parameters"].min())


def _by_size(groups: Sequence[Group], metric: StudyMetric, looks: Looks) -> Figure:
    across = 1 if len(groups) == 1 else 2 if len(groups) in {2, 4} else 3
    grid = panel_grid(len(groups), min(across, 2), PANEL_INCHES, across, "both")
    at_ends, name = names_in(groups)
    for panel, group in zip(grid.panels, groups, strict=True):
        for _, rows in others(groups, group):
            panel.plot(*_means(rows.dropna(subset=[metric.column]), metric), **BEHIND)
        for place, (values, rows) in enumerate(group.designs):
            beside = BESIDE ** (place - (len(group.designs) - 1) / 2)
            measured = rows.dropna(subset=[metric.column])
            draw_design(panel, measured, metric, looks(values), name(group, values), beside)
            _mark_diverged(panel, rows, looks(values)["color"])
    for panel in grid.panels:
        log_axis(panel.xaxis, human, most=3)
        if metric.scale == RATIO:
            log_axis(panel.yaxis)
    for panel in grid.lowest:
        panel.set_xlabel("parameters")
    for panel in grid.left:
        panel.set_ylabel(fitted(metric.axis, PANEL_INCHES - 0.5))
    entitle(grid, [group.title for group in groups])
    if at_ends:
        name_ends(grid.figure, grid.panels)
    else:
        legend_below(grid.figure)
    return grid.figure


def _by_design(of_designs: Sequence[Design], metric: StudyMetric, looks: Looks, name: Names) -> Figure:
    """A row a design, of models of one size."""
    names = [fitted(name(values), COLUMN / 2, SMALL) for values, _ in of_designs]
    lines = max(name.count("\n") for name in names)
    grid = panel_grid(1, 1, 0.5 + (ROW_INCHES + LINE_INCHES * lines) * len(of_designs))
    (panel,) = grid.panels
    for height, (values, rows) in enumerate(of_designs):
        measured = rows.dropna(subset=[metric.column])
        look = looks(values) | {"linestyle": "none"}
        for at in _points(measured, metric):
            left, right = at.value.mean - at.value.low, at.value.high - at.value.mean
            panel.errorbar(at.value.mean, height, xerr=[[left], [right]], capsize=2, elinewidth=0.8, **look)
        _cells(panel, measured[metric.column].tolist(), [float(height)] * len(measured), look["color"])
        if (rows["state"] == "diverged").any():
            panel.plot(0.98, height, "x", color=look["color"], transform=panel.get_yaxis_transform())
    panel.set_yticks(range(len(of_designs)), names)
    panel.set_ylim(len(of_designs) - 0.4, -0.6)
    panel.tick_params(axis="y", length=0)
    panel.grid(visible=False, axis="y")
    panel.set_xlabel(fitted(metric.axis, COLUMN / 2))
    if metric.scale == RATIO:
        log_axis(panel.xaxis, most=4)
    return grid.figure


def bars(table: pd.DataFrame, metric: StudyMetric) -> str:
    """What the error bars of the scaling figure are."""
    measured = table.dropna(subset=[metric.column])
    if len(set(measured["seed"])) > 1:
        return "bars: 95 % t interval over training seeds"
    if metric.error in table:
        return f"bars: ±1 {metric.error_words}; one seed, so the spread over training seeds is not in them"
    return f"one seed, and {metric.label} has no error of its own: no error bars"


class Point(NamedTuple):
    """A design at one size."""

    parameters: float
    value: Interval
    """The mean with a t interval over seeds; of one seed its value with its own error, where it has one."""


def _points(rows: pd.DataFrame, metric: StudyMetric) -> list[Point]:
    return [Point(float(cells["parameters"].iloc[0]), _value(cells, metric)) for _, cells in rows.groupby("parameters")]


def _value(cells: pd.DataFrame, metric: StudyMetric) -> Interval:
    over_seeds = mean_interval([float(metric.scale.forward(v)) for v in cells[metric.column]])
    if over_seeds is not None:
        return metric.scale.interval(over_seeds)
    value = float(cells[metric.column].iloc[0])
    spread = cells.get(metric.error)
    deviation = 0.0 if spread is None or pd.isna(spread.iloc[0]) else float(spread.iloc[0])
    return Interval(
        value, value - (min(deviation, 0.999 * value) if metric.scale == RATIO else deviation), value + deviation
    )


def _means(rows: pd.DataFrame, metric: StudyMetric) -> tuple[list[float], list[float]]:
    points = _points(rows, metric)
    return [point.parameters for point in points], [point.value.mean for point in points]


def draw_design(
    axes: Axes, rows: pd.DataFrame, metric: StudyMetric, look: Look, name: str, beside: float = 1.0
) -> None:
    """A design's points, cells and power law, all at `beside` times their parameters."""
    points = _points(rows, metric)
    if not points:
        return
    x = [beside * point.parameters for point in points]
    y = [point.value.mean for point in points]
    ends = [[p.value.mean - p.value.low for p in points], [p.value.high - p.value.mean for p in points]]
    line = {"linestyle": "none"} if _has_law(rows, metric) else {}
    axes.errorbar(x, y, yerr=ends, label=name, capsize=1.5, elinewidth=0.7, capthick=0.7, **look | line)
    _cells(axes, (beside * rows["parameters"]).tolist(), rows[metric.column].tolist(), look["color"])
    if _has_law(rows, metric):
        at = np.array([rows["parameters"].min(), rows["parameters"].max()])
        law = fit("power", rows["parameters"].to_numpy(dtype=float), rows[metric.column].to_numpy(dtype=float))
        axes.plot(
            beside * at,
            predict("power", law.params, at),
            color=look["color"],
            linestyle=look["linestyle"],
            linewidth=0.9,
        )


def _cells(axes: Axes, x: Sequence[float], y: Sequence[float], colour: str) -> None:
    """Every cell as a small dot, where there are several of a size."""
    axes.plot(x, y, ".", color=colour, markersize=2.5, markeredgewidth=0, alpha=0.6)


def _has_law(rows: pd.DataFrame, metric: StudyMetric) -> bool:
    return metric.has_law and rows["parameters"].nunique() >= LAW_SIZES


def _mark_diverged(axes: Axes, rows: pd.DataFrame, colour: str) -> None:
    """A cross at the upper edge for each cell that diverged, at its size."""
    x = rows.loc[rows["state"] == "diverged", "parameters"]
    axes.plot(x, [0.98] * len(x), "x", color=colour, markersize=4, transform=axes.get_xaxis_transform())

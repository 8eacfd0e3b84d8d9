"""Parallel coordinates: a line a design and size through its axis values and metrics, coloured by the metric."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lina_lab.analysis.names import Names, design_names
from lina_lab.analysis.scale import scale_of
from lina_lab.analysis.study_metric import StudyMetric
from lina_lab.analysis.table import SIZE_AXIS, designs
from lina_lab.figures.panels import panel_grid
from lina_lab.figures.style import SMALL, fitted, note, style
from lina_lab.ledger.plan import Plan
from lina_lab.metric_names import METRICS, heading

MOST_METRICS = 4
SPREAD = 0.06
"""Share of an axis over which the lines of one value lie side by side, so that they can be told apart."""


def parallel_figure(table: pd.DataFrame, plan: Plan, metric: StudyMetric) -> Figure | None:
    """The axes in the order of the plan, then metrics, the study's own last; means over seeds.

    Values of axes stand evenly, numbers of metrics on their scale, upwards. None for fewer than three axes and metrics,
    or two lines.
    """
    measured, names_of = table.dropna(subset=[metric.column]), design_names(plan)
    axes = [axis for axis in plan.axes if len(set(measured[axis].map(str))) > 1]
    metrics = [*_others(measured, metric), metric.column]
    cells = [rows for _, rows in designs(measured, list(plan.axes))]
    if len(axes) + len(metrics) < 3 or len(cells) < 2:
        return None
    means = pd.DataFrame([{**rows.iloc[0][list(plan.axes)], **rows[metrics].mean()} for rows in cells])
    values = means[metric.column]
    with style():
        (panel,) = (grid := panel_grid(1, 2, 2.6)).panels
        heights = pd.DataFrame(
            {name: _evenly(means[name], values) for name in axes} | {name: _measured(means[name]) for name in metrics}
        )
        colours = colormaps["viridis" if metric.better == "lower" else "viridis_r"]
        for line in heights.to_numpy():
            panel.plot(range(len(line)), line, color=colours(line[-1]), linewidth=0.8, alpha=0.85)
        names = [axis if axis == SIZE_AXIS else axis.replace("_", " ") for axis in axes]
        _label(panel, [*names, *(heading(name, table.columns) for name in metrics)], grid.inches)
        for place, axis in enumerate(axes):
            _name_values(panel, place, means[axis], names_of, grid.inches * 0.98 / len(heights.columns))
        for place, name in enumerate(metrics, start=len(axes)):
            _name_ends(panel, place, means[name])
        note(
            grid.figure,
            f"a line a design and size, the mean over its seeds, in the colour of its {metric.label} at the right; "
            "lines of one value lie side by side",
        )
    return grid.figure


def _others(measured: pd.DataFrame, metric: StudyMetric) -> list[str]:
    """Metrics with a direction that every cell has, in the order of tables."""
    found = [
        str(column)
        for known in METRICS
        if known.brief and known.better and not known.label.startswith(metric.label)  # FID to train says FID again
        for column in measured.columns
        if known.covers(str(column)) and column != metric.column and measured[column].notna().all()
    ]
    return [name for name in found if measured[name].max() > measured[name].min()][:MOST_METRICS]


def _places(column: "pd.Series[Any]") -> "pd.Series[float]":
    """The number of each value, in the order in which they come."""
    order = {value: place for place, value in enumerate(dict.fromkeys(column.map(str)))}
    return column.map(str).map(order).astype(float)


def _evenly(column: "pd.Series[Any]", metric: "pd.Series[float]") -> "pd.Series[float]":
    """Values from 0 to 1, those of one value side by side in the order of the metric."""
    places = _places(column)
    rank = metric.groupby(places).rank(method="first", pct=True) - 0.5
    return places / max(places.max(), 1.0) + SPREAD * rank


def _measured(column: "pd.Series[float]") -> "pd.Series[float]":
    """Numbers from 0 to 1, logarithmic where they are compared by their ratio."""
    scaled = pd.Series(scale_of(str(column.name), column).forward(column))
    return (scaled - scaled.min()) / (scaled.max() - scaled.min() or 1.0)


def _label(panel: Axes, names: Sequence[str], inches: float) -> None:
    width = inches * 0.98 / len(names)
    panel.set_xticks(range(len(names)), [fitted(name, width, SMALL) for name in names])
    panel.set_xlim(-0.3, len(names) - 0.4)
    panel.set_ylim(-0.1, 1.1)
    panel.set_yticks([])
    panel.spines["left"].set_visible(False)
    for place in range(len(names)):
        panel.axvline(place, color="#999999", linewidth=0.6, zorder=0.5)


BACK = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.5}


def _name_values(panel: Axes, place: int, column: "pd.Series[Any]", name: Names, inches: float) -> None:
    values = dict.fromkeys(column)
    for number, value in enumerate(values):
        height = number / max(len(values) - 1, 1)
        text = fitted(name({str(column.name): value}), inches, SMALL)
        panel.text(place + 0.04, height, text, va="center", fontsize=SMALL, bbox=BACK)


def _name_ends(panel: Axes, place: int, column: "pd.Series[float]") -> None:
    for height, value, side in ((-0.03, column.min(), "top"), (1.03, column.max(), "bottom")):
        panel.text(place, height, f"{value:.3g}", va=side, ha="center", fontsize=SMALL)

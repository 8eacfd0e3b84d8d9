"""What changes along a run against samples seen, a panel a size, a row a few designs: held-out loss, and FID."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from lina_lab.analysis.lengths import RUN
from lina_lab.analysis.names import design_names
from lina_lab.analysis.scale import RATIO
from lina_lab.analysis.study_metric import StudyMetric
from lina_lab.analysis.table import SIZE_AXIS, design_axes, designs, human
from lina_lab.figures.panels import (
    BEHIND,
    entitle,
    fullest,
    grouped,
    legend_below,
    name_ends,
    names_in,
    others,
    panel_grid,
)
from lina_lab.figures.style import Look, design_looks, fitted, style
from lina_lab.figures.ticks import log_axis
from lina_lab.ledger.plan import Plan

PANEL_INCHES = 1.5
ACROSS = 5
"""Panels side by side at most."""


def training_figure(curves: pd.DataFrame, table: pd.DataFrame, plan: Plan) -> Figure | None:
    """Held-out loss of the averaged weights; None if no cell has a validation."""
    if curves.empty:
        return None
    return _along_runs(curves.assign(value=curves["loss"]), table, plan, "held-out loss, averaged weights")


def length_figure(points: pd.DataFrame, table: pd.DataFrame, plan: Plan, metric: StudyMetric) -> Figure | None:
    """The metric at every point along the runs and at their ends, against samples seen; None where no point has it.

    The axis of samples is logarithmic; that of the metric, where its values are compared by their ratio.
    """
    if metric.column not in points or points[metric.column].isna().all():
        return None
    rows = pd.concat([points, table[table[RUN].isin(points[RUN])]]).dropna(subset=[metric.column])
    curves = rows.assign(samples=rows["samples_seen"], value=rows[metric.column])
    return _along_runs(curves, table, plan, metric.axis, (True, metric.scale == RATIO))


def _along_runs(
    curves: pd.DataFrame, table: pd.DataFrame, plan: Plan, label: str, logarithmic: tuple[bool, bool] = (False, False)
) -> Figure:
    """The mean of `value` over seeds against `samples`, with a band from the lowest to the highest.

    `logarithmic` is of the axis of samples, and of that of the value.
    """
    sizes = list(dict.fromkeys(table[SIZE_AXIS])) if SIZE_AXIS in table else [None]
    of_designs = list(designs(table, design_axes(plan)))
    looks, groups = (
        design_looks(values for values, _ in of_designs),
        grouped(of_designs, design_axes(plan), design_names(plan)),
    )
    at_ends, name = names_in(groups)
    places = [(group, size) for group in groups for size in sizes]
    with style():
        across = min(len(sizes), ACROSS) if len(sizes) > 1 else min(len(groups), 2)
        grid = panel_grid(len(places), min(across, 2), PANEL_INCHES, across, "both")
        for panel, (group, size) in zip(grid.panels, places, strict=True):
            for _, rows in others(groups, group):
                mean = curves[curves[RUN].isin(_of(rows, size)[RUN])].groupby("samples")["value"].mean()
                panel.plot(mean.index, mean, **BEHIND)
            for values, rows in group.designs:
                _draw(panel, curves[curves[RUN].isin(_of(rows, size)[RUN])], looks(values), name(group, values))
            panel.xaxis.set_major_locator(MaxNLocator(3))
            panel.xaxis.set_major_formatter(FuncFormatter(lambda n, _: human(n)))
        entitle(grid, [", ".join(filter(None, (group.title, size))) for group, size in places], 0.7)
        for panel in grid.left:
            panel.set_ylabel(fitted(label, PANEL_INCHES - 0.4))
        for panel in grid.lowest:
            panel.set_xlabel("samples seen")
        for panel in grid.panels:
            if logarithmic[0]:
                log_axis(panel.xaxis, human, most=3)
            if logarithmic[1]:
                log_axis(panel.yaxis, most=4)
        if at_ends:
            of_groups = [grid.panels[first : first + len(sizes)] for first in range(0, len(places), len(sizes))]
            name_ends(grid.figure, map(fullest, of_groups))
        else:
            legend_below(grid.figure)
    return grid.figure


def _of(rows: pd.DataFrame, size: str | None) -> pd.DataFrame:
    return rows if size is None else rows[rows[SIZE_AXIS] == size]


def _draw(panel: Axes, curves: pd.DataFrame, look: Look, name: str) -> None:
    look = look | {"markersize": 2.5, "linewidth": 0.9}
    seeds = curves.groupby("samples")["value"].agg(["mean", "min", "max"])
    panel.plot(seeds.index, seeds["mean"], label=name, **look)
    panel.fill_between(seeds.index, seeds["min"], seeds["max"], color=look["color"], alpha=0.12, linewidth=0)

"""What changes along a run against samples seen, a panel a size, a row a few designs: held-out loss, and FID."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from lina_lab.analysis.lengths import RUN
from lina_lab.analysis.scale import RATIO
from lina_lab.analysis.study_metric import StudyMetric
from lina_lab.analysis.table import SIZE_AXIS, design_axes, designs, human
from lina_lab.config.sweep import Scalar
from lina_lab.figures.panels import grouped
from lina_lab.figures.style import Look, design_looks, named, new_figure, style
from lina_lab.figures.ticks import log_axis
from lina_lab.ledger.plan import Plan


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
    looks, groups = design_looks(values for values, _ in of_designs), grouped(of_designs, design_axes(plan))
    with style():
        figure = new_figure(2.2 + 2.6 * len(sizes), 3.4 * len(groups))
        grid = figure.subplots(len(groups), len(sizes), sharex="col", sharey=True, squeeze=False)
        for (title, group), panels in zip(groups, grid, strict=True):
            for panel, size in zip(panels, sizes, strict=True):
                for values, rows in group:
                    part = rows if size is None else rows[rows[SIZE_AXIS] == size]
                    _draw(panel, values, curves[curves[RUN].isin(part[RUN])], looks(values))
                panel.xaxis.set_major_formatter(FuncFormatter(lambda n, _: human(n)))
            panels[0].set_ylabel(label)
            handles, labels = panels[0].get_legend_handles_labels()
            panels[-1].legend(handles, labels, title=title or None, fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
        for panel, size in zip(grid[0], sizes, strict=True):
            panel.set_title(size or "")
        for panel in grid[-1]:
            panel.set_xlabel("training samples seen")
        for panel in grid.flat:
            if logarithmic[0]:
                log_axis(panel.xaxis, human, most=4)
            if logarithmic[1]:
                log_axis(panel.yaxis)
    return figure


def _draw(panel: Axes, values: Mapping[str, Scalar], curves: pd.DataFrame, look: Look) -> None:
    look = look | {"markersize": 3, "linewidth": 1.0}
    seeds = curves.groupby("samples")["value"].agg(["mean", "min", "max"])
    panel.plot(seeds.index, seeds["mean"], label=named(values), **look)
    panel.fill_between(seeds.index, seeds["min"], seeds["max"], color=look["color"], alpha=0.12, linewidth=0)

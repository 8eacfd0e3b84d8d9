"""The metric against size: one line a design, with its measured uncertainty."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lina_lab.analysis.interval import mean_interval
from lina_lab.analysis.scale import RATIO, Scale
from lina_lab.analysis.scaling_fit.fits import fit, predict
from lina_lab.analysis.study_metric import StudyMetric, study_metric
from lina_lab.analysis.table import design_axes, designs, human, refuse_mixtures
from lina_lab.config.sweep import Scalar
from lina_lab.figures.panels import grouped, rows_of
from lina_lab.figures.style import Looks, design_looks, named, new_figure, style
from lina_lab.figures.ticks import log_axis
from lina_lab.ledger.plan import Plan


def scaling_figure(table: pd.DataFrame, plan: Plan) -> Figure:
    """The metric against parameters, with power laws, and the cells' residuals from them below.

    A metric that may be zero or negative has a linear axis and no law, nor has a design with fewer than `LAW_SIZES`
    sizes: its points are joined. Many designs stand in panels: see `grouped`. `bars` says what the error bars are.

    Raises:
        LabError: if no cell has the metric, or they cannot be compared.
    """
    metric = study_metric(table, plan)
    refuse_mixtures(table, metric.column)
    of_designs = list(designs(table, design_axes(plan)))
    looks, groups = design_looks(values for values, _ in of_designs), grouped(of_designs, design_axes(plan))
    laws = any(_has_law(rows, metric) for _, rows in of_designs)
    down, across = rows_of(len(groups))
    with style():
        figure = new_figure(0.9 + 4.7 * across, (5.0 if laws else 4.0) * down)
        # The panels of a row, and below them their residuals, where there are any.
        heights = (3, 1) * down if laws else (1,) * down
        grid = figure.subplots(len(heights), across, squeeze=False, gridspec_kw={"height_ratios": heights})
        panels, residuals = list(grid[:: 2 if laws else 1].flat), list(grid[1::2].flat) if laws else []
        for (title, group), axes in zip(groups, panels, strict=False):
            for values, rows in group:
                draw_design(axes, values, rows.dropna(subset=[metric.column]), metric, looks)
                _mark_diverged(axes, values, rows, looks)
            _label(axes, "\n".join(filter(None, (title, bars(table, metric)))))
        for (_, group), below in zip(groups, residuals, strict=False):
            for values, rows in group:
                _draw_residuals(below, values, rows.dropna(subset=[metric.column]), metric, looks)
            below.axhline(0, color="#999999", linewidth=0.8)
        _share(panels[: len(groups)], residuals[: len(groups)], metric.scale)
        for unused in (*panels[len(groups) :], *residuals[len(groups) :]):
            unused.set_visible(False)
        for lowest in residuals or panels:
            lowest.set_xlabel("parameters")
        for axes in panels[::across]:
            axes.set_ylabel(metric.axis)
        for below in residuals[::across]:
            below.set_ylabel("off the law, %")
    return figure


def _share(panels: Sequence[Axes], residuals: Sequence[Axes], scale: Scale) -> None:
    """The same range of sizes and values in all panels, once all are drawn."""
    for axes in (*panels[1:], *residuals):
        axes.sharex(panels[0])
    for axes in panels[1:]:
        axes.sharey(panels[0])
    for axes in residuals[1:]:
        axes.sharey(residuals[0])
    for axes in panels:
        axes.autoscale_view()
        log_axis(axes.xaxis, human)
        if scale == RATIO:
            log_axis(axes.yaxis)
        axes.tick_params(labelbottom=not residuals)


LAW_SIZES = 4
"""Fewest sizes of a design whose power law is drawn: three leave it one degree of freedom, too few to see whether there
is a law, and a line that misses all three hides that each size improved."""
TWO_COLUMNS = 30
"""Longest legend line, in characters, for which the legend has two columns."""


def _label(axes: Axes, title: str) -> None:
    """The legend above the panel, where it hides no point."""
    widest = max((len(line) for text in axes.get_legend_handles_labels()[1] for line in text.split("\n")), default=1)
    axes.legend(
        title=title,
        title_fontsize=8,
        alignment="left",
        fontsize=7,
        ncols=2 if widest <= TWO_COLUMNS else 1,
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        borderaxespad=0.3,
    )


def bars(table: pd.DataFrame, metric: StudyMetric) -> str:
    """What the error bars of the scaling figure are."""
    measured = table.dropna(subset=[metric.column])
    if len(set(measured["seed"])) > 1:
        return "bars: 95 % t interval over training seeds"
    if metric.error in table:
        return f"bars: ±1 {metric.error_words}; one seed,\nso the spread over training seeds is not in them"
    return f"one seed, and {metric.label} has no error of its own: no error bars"


def draw_design(
    axes: Axes, values: Mapping[str, Scalar], rows: pd.DataFrame, metric: StudyMetric, looks: Looks
) -> None:
    """A design's points and power law: means with a t interval over seeds, or single values with their own error."""
    points = []
    for parameters, group in rows.groupby("parameters", sort=True):
        over_seeds = mean_interval([float(metric.scale.forward(v)) for v in group[metric.column]])
        if over_seeds is not None:
            interval = metric.scale.interval(over_seeds)
            points.append((parameters, interval.mean, interval.mean - interval.low, interval.high - interval.mean))
        else:
            value = group[metric.column].iloc[0]
            spread = group.get(metric.error)
            deviation = 0.0 if spread is None or pd.isna(spread.iloc[0]) else float(spread.iloc[0])
            points.append(
                (parameters, value, min(deviation, 0.999 * value) if metric.scale == RATIO else deviation, deviation)
            )
    if points:
        x, y, low, high = zip(*points, strict=True)
        look = looks(values) | ({"linestyle": "none"} if _has_law(rows, metric) else {})
        axes.errorbar(x, y, yerr=[low, high], label=named(values), capsize=2, elinewidth=0.9, **look)
    if _has_law(rows, metric):
        look = looks(values)
        ends = np.array([rows["parameters"].min(), rows["parameters"].max()])
        axes.plot(
            ends, _law(rows, metric.column, ends), color=look["color"], linestyle=look["linestyle"], linewidth=1.0
        )


def _has_law(rows: pd.DataFrame, metric: StudyMetric) -> bool:
    return metric.has_law and rows["parameters"].nunique() >= LAW_SIZES


def _law(rows: pd.DataFrame, metric: str, at: np.ndarray) -> np.ndarray:
    """The power law of a design's cells, at some sizes."""
    x, y = rows["parameters"].to_numpy(dtype=float), rows[metric].to_numpy(dtype=float)
    return predict("power", fit("power", x, y).params, at)


def _draw_residuals(
    below: Axes, values: Mapping[str, Scalar], rows: pd.DataFrame, metric: StudyMetric, looks: Looks
) -> None:
    """How far each cell is from its design's power law, in percent."""
    if not _has_law(rows, metric):
        return
    x = rows["parameters"].to_numpy(dtype=float)
    off = 100 * (rows[metric.column] / _law(rows, metric.column, x) - 1)
    look = {name: value for name, value in looks(values).items() if name not in {"linestyle", "linewidth"}}
    below.plot(x, off, linestyle="none", alpha=0.7, **(look | {"markersize": 4}))


def _mark_diverged(axes: Axes, values: Mapping[str, Scalar], rows: pd.DataFrame, looks: Looks) -> None:
    """A cross at the upper edge for each cell that diverged, at its size."""
    for parameters in rows.loc[rows["state"] == "diverged", "parameters"]:
        colour = looks(values)["color"]
        axes.plot(
            parameters,
            0.98,
            marker="x",
            color=colour,
            linestyle="none",
            transform=axes.get_xaxis_transform(),
            label=f"{named(values)}: diverged",
        )

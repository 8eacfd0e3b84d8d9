"""Quality against size: one line a design, with the uncertainty that was measured."""

import math
from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from lina_lab.analysis.compare import log_interval
from lina_lab.analysis.table import design_axes, design_label, designs, human, main_metric, refuse_mixtures
from lina_lab.config.sweep import Scalar
from lina_lab.figures.style import design_style, new_figure, style
from lina_lab.ledger import StoredPlan


def scaling_figure(table: pd.DataFrame, plan: StoredPlan) -> Figure:
    """FID against parameters, both logarithmic; `bars` says what the error bars are.

    Raises:
        LabError: if no cell has a FID, or they cannot be compared.
    """
    metric = main_metric(table)
    refuse_mixtures(table, metric)
    with style():
        figure = new_figure(5.6, 3.9)
        axes = figure.add_subplot()
        for values, rows in designs(table, design_axes(plan)):
            draw_design(axes, values, rows.dropna(subset=[metric]), metric)
            _mark_diverged(axes, values, rows)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("parameters")
        axes.set_ylabel(f"FID ({metric.removeprefix('eval/fid/')}), lower is better")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda n, _: human(n)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda n, _: f"{n:g}"))
        axes.yaxis.set_minor_formatter(FuncFormatter(lambda n, _: f"{n:g}" if _few_decades(axes) else ""))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.legend(title=bars(table), title_fontsize=7, alignment="left", loc="best")
    return figure


def bars(table: pd.DataFrame) -> str:
    """What the error bars of the scaling figure are."""
    if len(set(table["seed"])) > 1:
        return "bars: 95 % t interval over training seeds"
    if any(column.startswith("eval/fid_bootstrap_sd/") for column in table.columns):
        return "bars: ±1 SD of resampled images; one seed,\nso the spread over training seeds is not in them"
    return "one seed: no error bars"


def draw_design(axes: Axes, values: Mapping[str, Scalar], rows: pd.DataFrame, metric: str) -> None:
    """A design's line: geometric means with a t interval over seeds, or values with their resampling SD."""
    points = []
    for parameters, group in rows.groupby("parameters", sort=True):
        interval = log_interval([math.log(v) for v in group[metric]])
        if interval is not None:
            points.append((parameters, interval.mean, interval.mean - interval.low, interval.high - interval.mean))
        else:
            value = group[metric].iloc[0]
            spread = group.get(metric.replace("eval/fid/", "eval/fid_bootstrap_sd/"))
            deviation = 0.0 if spread is None or pd.isna(spread.iloc[0]) else float(spread.iloc[0])
            points.append((parameters, value, min(deviation, 0.999 * value), deviation))
    if points:
        x, y, low, high = zip(*points, strict=True)
        label = design_label(values)
        axes.errorbar(x, y, yerr=[low, high], label=label, capsize=2, elinewidth=0.9, **design_style(values))


def _mark_diverged(axes: Axes, values: Mapping[str, Scalar], rows: pd.DataFrame) -> None:
    """A cross at the upper edge for each cell that diverged, at its size."""
    for parameters in rows.loc[rows["state"] == "diverged", "parameters"]:
        colour = design_style(values)["color"]
        axes.plot(
            parameters,
            0.98,
            marker="x",
            color=colour,
            linestyle="none",
            transform=axes.get_xaxis_transform(),
            label=f"{design_label(values)}: diverged",
        )


def _few_decades(axes: Axes) -> bool:
    low, high = axes.get_ylim()
    return high / low < 15

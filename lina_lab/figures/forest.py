"""The ablation as a forest plot: a row an effect, its interval, and the line of no effect."""

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

from lina_lab.analysis.ablation import ALL_SIZES, ONE_SEED
from lina_lab.analysis.scale import RATIO, Scale
from lina_lab.analysis.study_metric import StudyMetric
from lina_lab.figures.style import new_figure, style
from lina_lab.figures.ticks import log_axis

ROW_INCHES = 0.2
SPACE = 0.6
"""Rows left free between the effects of two values."""
ALL, EACH = "black", "#777777"


def forest_figure(effects: pd.DataFrame, metric: StudyMetric) -> Figure | None:
    """Ratio of the metric to the axis's first value, logarithmic, or the difference: all sizes black, each grey.

    None if nothing can be compared. Markers are hollow where one seed gives no interval.
    """
    if effects.empty:
        return None
    heights = _heights(effects)
    with style():
        figure = new_figure(7.0, 0.9 + ROW_INCHES * (heights[-1] + 1))
        axes = figure.add_subplot()
        axes.axvline(metric.scale.neutral, color="#999999", linewidth=0.8)
        for height, row in zip(heights, effects.to_dict("records"), strict=True):
            _draw_effect(axes, height, row, metric.scale)
        axes.set_ylim(heights[-1] + 0.8, -0.8)
        _label(axes, effects, heights, metric.scale)
        word, one = metric.scale.word, f"{metric.scale.neutral:g}"
        to = "to" if metric.scale == RATIO else "from"
        what = f"{metric.label}, {word} {to} the first value of the axis (below {one}: lower)"
        axes.set_xlabel(f"{what}\n{_what_bars_are(effects)}")
        if metric.scale == RATIO:
            log_axis(axes.xaxis)
    return figure


def _heights(effects: pd.DataFrame) -> list[float]:
    """Height of each row: a value's sizes follow closely below it."""
    starts = (effects["size"] == ALL_SIZES).cumsum() - 1
    return [number + SPACE * start for number, start in enumerate(starts)]


def _draw_effect(axes: Axes, height: float, row: Mapping[Hashable, Any], scale: Scale) -> None:
    whole = row["size"] == ALL_SIZES
    colour, size = (ALL, 6.0) if whole else (EACH, 3.5)
    known = not pd.isna(row["low"])
    if known:
        axes.plot([row["low"], row["high"]], [height, height], color=colour, linewidth=2.0 if whole else 1.0)
    face = colour if known else "white"
    axes.plot(row[scale.word], height, "D" if whole else "o", color=colour, markersize=size, markerfacecolor=face)


def _label(axes: Axes, effects: pd.DataFrame, heights: list[float], scale: Scale) -> None:
    """What is compared at the left, the numbers at the right."""
    records = effects.to_dict("records")
    names = [f"{r['axis']}: {r['value']} / {r['baseline']}" if r["size"] == ALL_SIZES else r["size"] for r in records]
    axes.set_yticks(heights, names)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    beside = blended_transform_factory(axes.transAxes, axes.transData)
    for height, name, row in zip(heights, axes.get_yticklabels(), records, strict=True):
        whole = row["size"] == ALL_SIZES
        name.set(fontweight="bold" if whole else "normal", fontsize=8 if whole else 7, color=ALL if whole else EACH)
        axes.text(
            1.02, height, _numbers(row, scale), transform=beside, va="center", fontsize=7, color=ALL if whole else EACH
        )


def _numbers(row: Mapping[Hashable, Any], scale: Scale) -> str:
    mean = scale.shortly(row[scale.word])
    interval = "" if pd.isna(row["low"]) else f" ({scale.shortly(row['low'])} to {scale.shortly(row['high'])})"
    count = f"{row['pairs']} pair{'s' if row['pairs'] != 1 else ''}"
    note = str(row["note"]).replace(ONE_SEED, "").strip("; ")
    return f"{mean}{interval}, {count}{f'; {note}' if note else ''}"


def _what_bars_are(effects: pd.DataFrame) -> str:
    if effects["low"].isna().all():
        return ONE_SEED
    return "bars: 95 % t interval over training seeds" + ("; hollow: one seed" if effects["low"].isna().any() else "")

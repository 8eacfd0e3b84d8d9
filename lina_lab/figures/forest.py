"""The ablation as a forest plot: a row an effect, its interval, and the line of no effect."""

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

from lina_lab.analysis.ablation import ALL_SIZES, ONE_SEED, UNEVEN
from lina_lab.analysis.names import design_names
from lina_lab.analysis.scale import RATIO, Scale
from lina_lab.analysis.study_metric import StudyMetric
from lina_lab.figures.panels import panel_grid
from lina_lab.figures.style import COLUMN, SMALL, fitted, note, style, versus
from lina_lab.figures.ticks import log_axis
from lina_lab.ledger.plan import Plan

ROW_INCHES = 0.15
TITLE_INCHES = 0.24
ALL, EACH = "black", "#666666"


def forest_figure(effects: pd.DataFrame, metric: StudyMetric, plan: Plan) -> Figure | None:
    """Ratio of the metric to the axis's first value, logarithmic, or the difference: a panel a value, a row a size.

    All sizes are black, each grey. Markers are hollow where one seed gives no interval. None if nothing can be
    compared.
    """
    if effects.empty:
        return None
    of_values = [rows for _, rows in effects.groupby((effects["size"] == ALL_SIZES).cumsum(), sort=False)]
    titles = [fitted(_title(rows, metric.scale, plan), 0.75 * COLUMN, most=3) for rows in of_values]
    heights = [
        TITLE_INCHES * (1 + title.count("\n") / 2) + ROW_INCHES * len(_shown(rows))
        for rows, title in zip(of_values, titles, strict=True)
    ]
    with style():
        grid = panel_grid(len(of_values), 1, 0.0, share="x", heights=heights)
        for panel, rows, title in zip(grid.panels, of_values, titles, strict=True):
            _draw(panel, _shown(rows), metric.scale)
            panel.set_title(title, loc="left", fontweight="bold", fontsize=SMALL)
            panel.tick_params(axis="x", length=0)
        word, one = metric.scale.word, f"{metric.scale.neutral:g}"
        grid.panels[-1].set_xlabel(fitted(f"{metric.label}, {word} (below {one}: lower)", COLUMN * 0.8))
        if metric.scale == RATIO:
            log_axis(grid.panels[-1].xaxis, most=4)
        note(grid.figure, _what_bars_are(effects))
    return grid.figure


def _shown(rows: pd.DataFrame) -> pd.DataFrame:
    """Where there is one size, the row over all sizes says the same."""
    return rows.iloc[:1] if len(rows) == 2 else rows


def _title(rows: pd.DataFrame, scale: Scale, plan: Plan) -> str:
    first = rows.iloc[0]
    axis, between = first["axis"], "/" if scale == RATIO else "-"
    values = {str(cell.values[axis]): cell.values[axis] for cell in plan.cells}
    pairs = f"{first['pairs']} pair{'' if first['pairs'] == 1 else 's'}"
    return f"{versus(axis, values[first['value']], values[first['baseline']], design_names(plan), between)}, {pairs}"


def _draw(panel: Axes, rows: pd.DataFrame, scale: Scale) -> None:
    """A row a size: its name at the left, its numbers at the right."""
    panel.axvline(scale.neutral, color="#999999", linewidth=0.8)
    beside = blended_transform_factory(panel.transAxes, panel.transData)
    for height, row in enumerate(rows.to_dict("records")):
        _draw_effect(panel, height, row, scale)
        colour = ALL if row["size"] == ALL_SIZES else EACH
        panel.text(1.03, height, _numbers(row, scale), transform=beside, va="center", fontsize=SMALL, color=colour)
    panel.set_yticks(range(len(rows)), [_row_name(size) for size in rows["size"]])
    panel.set_ylim(len(rows) - 0.4, -0.6)
    panel.tick_params(axis="y", length=0)
    panel.grid(visible=False, axis="y")


def _row_name(size: str) -> str:
    return "all sizes" if size == ALL_SIZES else size


def _draw_effect(axes: Axes, height: float, row: Mapping[Hashable, Any], scale: Scale) -> None:
    whole = row["size"] == ALL_SIZES
    colour, size = (ALL, 4.5) if whole else (EACH, 3.0)
    known = not pd.isna(row["low"])
    if known:
        axes.plot([row["low"], row["high"]], [height, height], color=colour, linewidth=2.0 if whole else 1.0)
    face = colour if known else "white"
    axes.plot(row[scale.word], height, "D" if whole else "o", color=colour, markersize=size, markerfacecolor=face)


def _numbers(row: Mapping[Hashable, Any], scale: Scale) -> str:
    mean = scale.shortly(row[scale.word])
    interval = "" if pd.isna(row["low"]) else f" ({scale.shortly(row['low'])} to {scale.shortly(row['high'])})"
    return f"{mean}{interval}{'*' if UNEVEN in str(row['note']) else ''}"


def _what_bars_are(effects: pd.DataFrame) -> str:
    uneven = f"; *: {UNEVEN}" if effects["note"].str.contains(UNEVEN).any() else ""
    if effects["low"].isna().all():
        return f"{ONE_SEED}{uneven}"
    hollow = "; hollow: one seed" if effects["low"].isna().any() else ""
    return f"bars: 95 % t interval over training seeds{hollow}{uneven}"

"""The metric against training cost, sampling time against size, and attention cost against sequence length."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lina_lab.analysis.match_cells import MAX_RATIO
from lina_lab.analysis.names import design_names
from lina_lab.analysis.profile import PROFILE_COLUMNS, main_designs, read_profile
from lina_lab.analysis.scale import RATIO
from lina_lab.analysis.study_metric import study_metric
from lina_lab.analysis.table import design_axes, designs, human, refuse_mixtures
from lina_lab.errors import LabError
from lina_lab.escape import shortened
from lina_lab.figures.panels import (
    BEHIND,
    Design,
    Group,
    fullest,
    grouped,
    legend_below,
    name_ends,
    names_in,
    others,
    panel_grid,
)
from lina_lab.figures.style import Look, Looks, design_looks, fitted, note, save, style
from lina_lab.figures.ticks import log_axis, si
from lina_lab.ledger.plan import Plan
from lina_lab.metric_names import axis_label

DESIGN = ["normalization", "conv_kernel", "kv_gate"]
"""The design axes of a profile."""
LABELS = {"parameters": human, "tokens": human, "flops_training": si, "flops": si}
"""Formats of tick labels that are not plain numbers."""
PANEL_INCHES = 1.9


class Panel(NamedTuple):
    """One column against another, with their labels."""

    x: str
    y: str
    x_label: str
    y_label: str
    log: bool = True
    """Whether y is logarithmic."""


def efficiency_figure(table: pd.DataFrame, plan: Plan) -> Figure | None:
    """The metric against training FLOPs and seconds, and sampling seconds of an image against parameters.

    A small dot is a cell; the line joins means over seeds, geometric where axes are logarithmic. None where no
    panel has different costs.

    Raises:
        LabError: if no cell has the metric, or they cannot be compared.
    """
    metric = study_metric(table, plan)
    refuse_mixtures(table, metric.column)
    if {"sampling_seconds", "num_generated"} <= set(table):
        table = table.assign(image_seconds=table["sampling_seconds"] / table["num_generated"])
    quality, log = axis_label(metric.column), metric.scale == RATIO
    seconds = "sampling seconds an image"
    panels = [
        Panel(x="flops_training", y=metric.column, x_label="training FLOPs", y_label=quality, log=log),
        Panel(x="training_seconds", y=metric.column, x_label="training seconds", y_label=quality, log=log),
        Panel(x="parameters", y="image_seconds", x_label="parameters", y_label=seconds),
    ]
    shown = [panel for panel in panels if {panel.x, panel.y} <= set(table) and _spread(_known(table, panel)[panel.x])]
    if not shown:
        return None
    of_designs = list(designs(table, design_axes(plan)))
    looks = design_looks(values for values, _ in of_designs)
    groups = grouped(of_designs, design_axes(plan), design_names(plan))
    figure = _drawn([(group, others(groups, group)) for group in groups], shown, looks, by="parameters")
    with style():
        note(figure, f"seconds on {_where(table)}")
    return figure


def _spread(values: "pd.Series[float]") -> bool:
    """Whether there is anything to see against an axis: more than one size of cost."""
    return len(values) > 0 and bool(values.max() > MAX_RATIO * values.min())


def _drawn(rows: Sequence[tuple[Group, Sequence[Design]]], panels: Sequence[Panel], looks: Looks, by: str) -> Figure:
    """A row of panels for each group of designs, with the designs that are grey behind it."""
    across = len(panels)
    at_ends, name = names_in([group for group, _ in rows])
    with style():
        grid = panel_grid(len(rows) * across, 1 if across == 1 else 2, PANEL_INCHES, across)
        places = [(group, behind, panel) for group, behind in rows for panel in panels]
        for axes, (group, behind, panel) in zip(grid.panels, places, strict=True):
            for _, part in behind:
                axes.plot(*_means(_known(part, panel), panel, by), **BEHIND)
            for values, part in group.designs:
                _draw_design(axes, _known(part, panel), panel, looks(values), name(group, values), by=by)
            _finish(axes, panel, grid.inches)
        for axes, (group, _) in zip(grid.left, rows, strict=True):
            axes.set_title(fitted(group.title, 2 * grid.inches), loc="left")
        if at_ends:
            name_ends(grid.figure, map(fullest, grid.rows))
        else:
            legend_below(grid.figure)
    return grid.figure


def _where(table: pd.DataFrame) -> str:
    """The processor that seconds were measured on: those of different ones are not comparable."""
    kinds = sorted(table["cpu"].dropna().unique()) if "cpu" in table else []
    if len(kinds) == 1:
        return shortened(str(kinds[0]))
    return f"{len(kinds)} kinds of processor: not comparable" if kinds else "a processor that is not known"


def profile_figure(profile: pd.DataFrame) -> Figure | None:
    """FLOPs, peak memory and time of one attention module against sequence length, a row of panels a device.

    Of many designs the main ones are drawn; with a column `roofline` there is a panel of it. None where
    `PROFILE_COLUMNS` are missing or nothing was measured.
    """
    if profile.empty or not set(PROFILE_COLUMNS) <= set(profile):
        return None
    profile = main_designs(profile)
    profile = profile.assign(
        flops=2 * profile["macs"],
        mebibytes=profile["peak_bytes"] / 2**20,
        milliseconds=profile["forward_ms"] + profile["backward_ms"],
    )
    panels = [
        Panel(x="tokens", y="flops", x_label="tokens", y_label="FLOPs, forward"),
        Panel(x="tokens", y="mebibytes", x_label="tokens", y_label="peak memory, MiB"),
        Panel(x="tokens", y="milliseconds", x_label="tokens", y_label="forward and backward, ms"),
    ]
    if "roofline" in profile:
        panels.append(Panel(x="tokens", y="roofline", x_label="tokens", y_label="share of the roofline"))
    panels = [panel for panel in panels if len(_known(profile, panel))]
    looks = design_looks(values for values, _ in designs(profile, DESIGN))
    rows = []
    for device, part in profile.groupby("device", sort=False):
        groups = grouped(list(designs(part, DESIGN)), DESIGN)
        for group in groups:
            title = ", ".join(filter(None, (shortened(str(device)), group.title)))
            rows.append((group._replace(title=title), others(groups, group)))
    return _drawn(rows, panels, looks, by="tokens")


def _draw_design(axes: Axes, rows: pd.DataFrame, panel: Panel, look: Look, name: str, by: str) -> None:
    """Dots, and a line through the geometric mean of each group that agrees in `by`."""
    if rows.empty:
        return
    x, y = _means(rows, panel, by)
    axes.plot(x, y, label=name, **look | {"markersize": 3.5})
    if len(x) < len(rows):
        axes.plot(rows[panel.x], rows[panel.y], ".", color=look["color"], markersize=2.5, markeredgewidth=0, alpha=0.6)


def _means(rows: pd.DataFrame, panel: Panel, by: str) -> tuple[list[float], list[float]]:
    groups = [group for _, group in rows.groupby(by, sort=True)]
    y = [_mean(group[panel.y]) if panel.log else float(group[panel.y].mean()) for group in groups]
    return [_mean(group[panel.x]) for group in groups], y


def _known(rows: pd.DataFrame, panel: Panel) -> pd.DataFrame:
    """The rows that have both values; what is missing is not above 0."""
    return rows[(rows[panel.x] > 0) & ((rows[panel.y] > 0) | (not panel.log and rows[panel.y].notna()))]


def _mean(values: "pd.Series[float]") -> float:
    """The geometric mean; exact where all are equal."""
    first = float(values.iloc[0])
    return first * math.exp((values / first).map(math.log).mean())


def _finish(axes: Axes, panel: Panel, inches: float) -> None:
    axes.set_xlabel(fitted(panel.x_label, inches - 0.4))
    axes.set_ylabel(fitted(panel.y_label, PANEL_INCHES - 0.4))
    log_axis(axes.xaxis, LABELS.get(panel.x, "{:g}".format), most=3)
    if panel.log:
        log_axis(axes.yaxis, LABELS.get(panel.y, "{:g}".format), most=5)


def write_profile(file: Path, out: Path) -> Path:
    """Write profile.png, .pdf and .svg from a CSV with `PROFILE_COLUMNS`: the path of the PNG.

    Raises:
        LabError: if the file is no such table, or empty.
    """
    figure = profile_figure(read_profile(file))
    if figure is None:
        raise LabError(f"{file}: must have rows of measurements, not none")
    save(figure, out / "profile.png", ("png", "pdf", "svg"))
    return out / "profile.png"

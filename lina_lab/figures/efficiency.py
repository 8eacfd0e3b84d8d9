"""The metric against training cost, sampling time against size, and attention cost against sequence length."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lina_lab.analysis.profile import PROFILE_COLUMNS, main_designs, read_profile
from lina_lab.analysis.scale import RATIO
from lina_lab.analysis.study_metric import study_metric
from lina_lab.analysis.table import design_axes, designs, human, refuse_mixtures
from lina_lab.config.sweep import Scalar
from lina_lab.errors import LabError
from lina_lab.escape import shortened
from lina_lab.figures.panels import Group, grouped
from lina_lab.figures.style import Looks, design_looks, named, new_figure, save, style
from lina_lab.figures.ticks import log_axis, si
from lina_lab.ledger.plan import Plan
from lina_lab.metric_names import axis_label

DESIGN = ["normalization", "conv_kernel", "kv_gate"]
"""The design axes of a profile."""
LABELS = {"parameters": human, "tokens": human, "flops_training": si, "flops": si}
"""Formats of tick labels that are not plain numbers."""
PANEL_INCHES = (2.6, 2.9)


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

    A small dot is a cell; the line joins means over seeds, geometric where axes are logarithmic. None where all of
    these columns are missing.

    Raises:
        LabError: if no cell has the metric, or they cannot be compared.
    """
    metric = study_metric(table, plan)
    refuse_mixtures(table, metric.column)
    if {"sampling_seconds", "num_generated"} <= set(table):
        table = table.assign(image_seconds=table["sampling_seconds"] / table["num_generated"])
    quality, where = axis_label(metric.column), _where(table)
    log = metric.scale == RATIO
    panels = [
        Panel(x="flops_training", y=metric.column, x_label="training FLOPs", y_label=quality, log=log),
        Panel(
            x="training_seconds",
            y=metric.column,
            x_label=f"training seconds\n{where}",
            y_label=quality,
            log=log,
        ),
        Panel(x="parameters", y="image_seconds", x_label="parameters", y_label=f"sampling seconds an image\n{where}"),
    ]
    shown = [panel for panel in panels if {panel.x, panel.y} <= set(table) and len(_known(table, panel))]
    if not shown:
        return None
    of_designs = list(designs(table, design_axes(plan)))
    looks = design_looks(values for values, _ in of_designs)
    return _drawn([(group, shown) for group in grouped(of_designs, design_axes(plan))], looks, by="parameters")


def _drawn(rows: Sequence[tuple[Group, Sequence[Panel]]], looks: Looks, by: str) -> Figure:
    """A row of panels for each group of designs, each with its own legend where there are several."""
    with style():
        figure = _figure(len(rows), len(rows[0][1]))
        places = [(group, panel, panel is panels[0]) for group, panels in rows for panel in panels]
        for axes, (group, panel, first) in zip(figure.axes, places, strict=True):
            for values, part in group.designs:
                _draw_design(axes, values, part, panel, looks, by=by)
            _finish(axes, panel)
            if first:
                axes.set_title(group.title, loc="left")
        _legend(figure)
    return figure


def _where(table: pd.DataFrame) -> str:
    """The processor that seconds were measured on: those of different ones are not comparable."""
    kinds = sorted(table["cpu"].dropna().unique()) if "cpu" in table else []
    if len(kinds) == 1:
        return f"({kinds[0]})"
    return f"({len(kinds)} kinds of processor: not comparable)" if kinds else "(processor not known)"


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
    rows = [
        (Group(", ".join(filter(None, (shortened(str(device)), title))), group), panels)
        for device, part in profile.groupby("device", sort=False)
        for title, group in grouped(list(designs(part, DESIGN)), DESIGN)
    ]
    return _drawn(rows, looks, by="tokens")


LEGEND_INCHES = 0.18
"""Height of a legend row; the figure grows by it, the panels keep their size."""


def _figure(rows: int, columns: int) -> Figure:
    width, height = PANEL_INCHES
    figure = new_figure(max(width * columns, 3.4), height * rows)
    figure.subplots(rows, columns, squeeze=False)
    return figure


def _draw_design(
    axes: Axes, values: Mapping[str, Scalar], rows: pd.DataFrame, panel: Panel, looks: Looks, by: str
) -> None:
    """Dots, and a line through the geometric mean of each group that agrees in `by`."""
    rows = _known(rows, panel)
    if rows.empty:
        return
    look = looks(values) | {"markersize": 4}
    groups = [
        (_mean(group[panel.x]), _mean(group[panel.y]) if panel.log else group[panel.y].mean())
        for _, group in rows.groupby(by, sort=True)
    ]
    axes.plot(*zip(*groups, strict=True), label=named(values), **look)
    if len(groups) < len(rows):
        axes.plot(rows[panel.x], rows[panel.y], ".", color=look["color"], markersize=3, alpha=0.5)


def _known(rows: pd.DataFrame, panel: Panel) -> pd.DataFrame:
    """The rows that have both values; what is missing is not above 0."""
    return rows[(rows[panel.x] > 0) & ((rows[panel.y] > 0) | (not panel.log and rows[panel.y].notna()))]


def _mean(values: "pd.Series[float]") -> float:
    """The geometric mean; exact where all are equal."""
    first = float(values.iloc[0])
    return first * math.exp((values / first).map(math.log).mean())


def _finish(axes: Axes, panel: Panel) -> None:
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)
    log_axis(axes.xaxis, LABELS.get(panel.x, "{:g}".format), most=4)
    if panel.log:
        log_axis(axes.yaxis, LABELS.get(panel.y, "{:g}".format))


def _legend(figure: Figure) -> None:
    handles = {
        label: handle
        for axes in figure.axes
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }  # fmt: skip
    widest = max(map(len, handles), default=1)
    columns = max(1, min(len(handles), int(figure.get_figwidth() / (0.5 + 0.065 * widest))))
    figure.set_figheight(figure.get_figheight() + LEGEND_INCHES * (math.ceil(len(handles) / columns) - 1))
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=columns)


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

"""LINA's four published designs: FID and loss against size, loss against samples seen, and one's own results beside."""

from typing import Any, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from lina_lab.analysis.literature import DESIGNS, NO_GUIDANCE, SOFTMAX, at_equal_samples
from lina_lab.analysis.names import Names
from lina_lab.analysis.study_metric import StudyMetric
from lina_lab.analysis.table import designs, human
from lina_lab.figures.panels import entitle, grouped, legend_below, panel_grid
from lina_lab.figures.scaling import bars, draw_design
from lina_lab.figures.style import design_looks, design_style, named, note, style
from lina_lab.figures.ticks import log_axis
from lina_lab.metric_names import axis_label

FID_LABEL = "FID (Inception, ImageNet)"
LATE_SAMPLES = 50e6
"""From here on the lower panels of the losses show them."""


class Own(NamedTuple):
    """One's own results: the sweep's name, its table, its design axes, its FID and its designs' names."""

    name: str
    table: pd.DataFrame
    axes: list[str]
    metric: StudyMetric
    names: Names


def scaling_figure(fid: pd.DataFrame, losses: pd.DataFrame, columns: int = 2) -> Figure:
    """FID without and with guidance, and training loss at equal samples seen, against parameters."""
    guided = [rows for guidance, rows in fid.groupby("guidance", sort=True) if guidance != NO_GUIDANCE]
    lina = [rows for rows in [fid[fid["guidance"] == NO_GUIDANCE], *guided] if len(rows)]
    lina = [part for rows in lina if len(part := rows[rows["curve"].isin([f"LINA {name}" for name in DESIGNS])])]
    equal = at_equal_samples(losses)
    with style():
        count = len(lina) + 1
        grid = panel_grid(count, columns, 1.9, count if columns == 2 else 1)
        axes = grid.panels
        for panel, rows in zip(axes, lina, strict=False):
            draw_published(panel, rows)
        for name, values in DESIGNS.items():
            rows = equal[equal["variant"] == name].sort_values("params_M")
            panel = axes[-1]
            panel.errorbar(
                1e6 * rows["params_M"], rows["loss"], yerr=rows["loss_se"], label=name, **_look(values), **BARS
            )
        axes[-1].set_ylabel("training loss")
        entitle(grid, [*map(conditions, lina), f"loss at {human(equal['samples'].iloc[0])} samples seen"])
        _same_sizes(axes, equal)
        axes[-1].yaxis.set_major_locator(MaxNLocator(5))
        legend_below(grid.figure)
    return grid.figure


def _same_sizes(axes: list[Axes], rows: pd.DataFrame) -> None:
    """The same range of parameters in every panel, with ticks at the published widths."""
    sizes = (1e6 * rows.groupby("width")["params_M"].min()).tolist()
    for panel in axes:
        panel.set(xlabel="parameters", xscale="log", xlim=(sizes[0] / 1.25, sizes[-1] * 1.25))
        panel.xaxis.set_major_locator(FixedLocator(sizes))
        panel.xaxis.set_major_formatter(FuncFormatter(lambda n, _: human(n)))
        panel.xaxis.set_minor_locator(NullLocator())


MARKED = 6
"""Markers on a curve of many values: enough to tell it from others in print."""
BARS: dict[str, Any] = {"capsize": 2, "elinewidth": 0.9}


def _look(values: dict[str, Any]) -> dict[str, Any]:
    return design_style(values) | {"markersize": 4, "linewidth": 1.2}


def draw_published(panel: Axes, rows: pd.DataFrame) -> None:
    """LINA's designs as published: a line where there are several sizes; FID logarithmic."""
    for name, values in DESIGNS.items():
        part = rows[rows["curve"] == f"LINA {name}"].sort_values("params")
        if len(part):
            panel.plot(part["params"], part["fid"], label=name, **_look(values))
    panel.set_ylabel(FID_LABEL)
    log_axis(panel.yaxis)


def conditions(rows: pd.DataFrame) -> str:
    """'no guidance, 200k steps': what rows of a panel have in common."""
    guidance = str(rows["guidance"].iloc[0])
    steps = " or ".join(human(count) for count in sorted(set(rows["steps"])))
    return f"{'no guidance' if guidance == NO_GUIDANCE else f'guidance {guidance}'}, {steps} steps"


def size_axis(panel: Axes) -> None:
    panel.set_xlabel("parameters")
    log_axis(panel.xaxis, human, most=4)


def loss_figure(losses: pd.DataFrame, columns: int = 2) -> Figure:
    """Loss of every window against samples seen, a band of one standard error; a panel a width, whole and late."""
    widths = sorted(set(losses["width"]))
    kinds = [(width, late) for late in (False, True) for width in widths]
    if columns == 1:  # the panels of a width side by side
        kinds = [(width, late) for width in widths for late in (False, True)]
    titles = []
    with style():
        grid = panel_grid(len(kinds), columns, 1.6, len(widths) if columns == 2 else 2)
        for panel, (width, late) in zip(grid.panels, kinds, strict=True):
            rows = losses[losses["width"] == width]
            shown = rows[rows["samples"] >= LATE_SAMPLES] if late else rows
            _draw_losses(panel, shown, list(DESIGNS) if late else [*DESIGNS, "softmax"])
            what = f"from {human(LATE_SAMPLES)}" if late else f"batch {rows['global_batch'].iloc[0]}"
            titles.append(f"width {width}, {what}")
            panel.xaxis.set_major_locator(MaxNLocator(4 if columns == 2 else 2))
        for kind in (False, True):
            _share_y([panel for panel, (_, late) in zip(grid.panels, kinds, strict=True) if late == kind])
        entitle(grid, titles)
        for panel in grid.lowest:
            panel.set_xlabel("samples seen")
        for panel in grid.left:
            panel.set_ylabel("training loss")
        legend_below(grid.figure)
    return grid.figure


def _draw_losses(panel: Axes, rows: pd.DataFrame, names: list[str]) -> None:
    for name in names:
        run = rows[rows["variant"] == name]
        look = design_style(DESIGNS.get(name, SOFTMAX))
        line = look | {"linewidth": 1.0, "markersize": 3.5, "markevery": max(1, len(run) // MARKED)}
        if len(run):
            label = name if name in DESIGNS else f"{name} (diverged)"
            panel.plot(run["samples"], run["loss"], label=label, **line)
            low, high = run["loss"] - run["loss_se"], run["loss"] + run["loss_se"]
            panel.fill_between(run["samples"], low, high, color=line["color"], alpha=0.12, linewidth=0)
    panel.xaxis.set_major_formatter(FuncFormatter(lambda n, _: human(n)))


def _share_y(row: list[Axes]) -> None:
    low = min(panel.get_ylim()[0] for panel in row)
    high = max(panel.get_ylim()[1] for panel in row)
    for panel in row:
        panel.set_ylim(low, high)


def beside_figure(fid: pd.DataFrame, own: Own, columns: int = 2) -> Figure:
    """LINA's published FID without guidance, and one's own results: never on one axis, the metrics are not the same."""
    lina = [f"LINA {name}" for name in DESIGNS]
    rows = fid[(fid["guidance"] == NO_GUIDANCE) & fid["curve"].isin(lina)]
    of_designs = list(designs(own.table.dropna(subset=[own.metric.column]), own.axes))
    looks, groups = design_looks(values for values, _ in of_designs), grouped(of_designs, own.axes, own.names)
    with style():
        grid = panel_grid(1 + len(groups), columns, 2.4, columns)
        left, *right = grid.panels
        draw_published(left, rows)
        size_axis(left)
        left.legend()
        for panel, group in zip(right, groups, strict=True):
            for values, cells in group.designs:
                draw_design(panel, cells, own.metric, looks(values), group.label(values) or named(values))
            panel.set_ylabel(axis_label(own.metric.column))
            log_axis(panel.yaxis)
            size_axis(panel)
            panel.legend()
        own_titles = [", ".join(filter(None, (f"own: {own.name}", group.title))) for group in groups]
        entitle(grid, [f"published: {conditions(rows)}", *own_titles])
        note(grid.figure, f"own: {bars(own.table, own.metric)}")
    return grid.figure

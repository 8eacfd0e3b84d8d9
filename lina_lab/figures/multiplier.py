"""What an axis's first value needs of the training FLOPs: a panel for each value, a place for each pair of sizes."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lina_lab.analysis.findings import Finding
from lina_lab.analysis.multiplier import ALL, FLOPS, WORDS, Compute, Multiplier
from lina_lab.analysis.names import Names, design_label
from lina_lab.figures.panels import MOST, entitle, legend_below, panel_grid
from lina_lab.figures.style import Look, Looks, design_looks, fitted, named, style, versus
from lina_lab.figures.ticks import log_axis

WIDTH = 0.7
"""Of a place, shared by its designs."""
TOGETHER: Look = {"color": "black", "marker": "D", "markersize": 4.5}
BEYOND = 1.6
"""A panel ends at this factor beyond the highest and lowest number of all."""
PANEL_INCHES = 1.9
ACROSS = 4
"""Panels side by side at most."""
CROWD: Look = {"color": "#bbbbbb", "marker": ".", "markersize": 3}
"""Of designs that are too many to be told apart."""


def multiplier_figure(
    findings: Sequence[Finding], looks: Looks | None = None, name: Names = design_label
) -> Figure | None:
    """Factors with their intervals; an arrow where nothing that was measured ends one. None if none is known.

    Black is one factor for all designs. A hollow marker is a factor without an interval; none is drawn where the curves
    do not meet within what was measured. Of more than `MOST` designs each is a grey dot.
    """
    shown = [finding for finding in findings if any(_drawn(of.verdict.compute) for of in finding.contrasts)]
    if not shown:
        return None
    looks = looks or design_looks(contrast.pair.a for finding in findings for contrast in finding.contrasts)
    of_panels = [_lines(finding, looks, name) for finding in shown]
    found = [m for lines in of_panels for line in lines for m in line.multipliers]
    ends = [1.0, *(v for m in found for v in (m.low, m.high, m.times) if 0 < v < math.inf)]
    across = min(len(shown), ACROSS)
    with style():
        grid = panel_grid(len(shown), 1 if across <= 2 else 2, PANEL_INCHES, across, "y")
        grid.panels[0].set(yscale="log", ylim=(min(ends) / BEYOND, max(ends) * BEYOND))
        for panel, lines in zip(grid.panels, of_panels, strict=True):
            _draw(panel, lines)
        log_axis(grid.panels[0].yaxis)
        for panel in grid.left:
            panel.set_ylabel(fitted(f"times the {WORDS[FLOPS]} for the same {shown[0].metric.label}", PANEL_INCHES))
        entitle(grid, [versus(finding.axis, finding.baseline, finding.value, name) for finding in shown])
        legend_below(grid.figure)
    return grid.figure


class Line(NamedTuple):
    """The factors of a design, or of all."""

    label: str
    look: Look
    multipliers: list[Multiplier]


def _lines(finding: Finding, looks: Looks, name: Names) -> list[Line]:
    of_designs = [(of, _drawn(of.verdict.compute)) for of in finding.contrasts]
    crowded = len(of_designs) > MOST
    lines = [
        Line("each design" if crowded else named(of.pair.a, name), CROWD if crowded else looks(of.pair.a), found)
        for of, found in of_designs
    ]
    return [*lines, Line("all designs", TOGETHER, _drawn(finding.compute))] if len(lines) > 1 else lines


def _drawn(of: Sequence[Compute]) -> list[Multiplier]:
    """Between sizes, then over all; those with a value or an end."""
    found = [m for compute in of if compute.cost == FLOPS for m in (*compute.sizes, compute.overall) if m is not None]
    return [m for m in found if m.bounded or not math.isnan(m.times)]


def _draw(panel: Axes, lines: Sequence[Line]) -> None:
    costs = {m.size: m.cost for line in lines for m in line.multipliers if m.size != ALL}
    names = sorted(costs, key=lambda size: costs[size])
    places = [*names, ALL]
    panel.axhline(1, color="#999999", linewidth=0.8)
    for number, (label, look, multipliers) in enumerate(lines):
        shift = WIDTH * ((number + 0.5) / len(lines) - 0.5)
        panel.plot([], [], label=label if multipliers else "_", **{**look, "linestyle": "none"})  # "_": not named
        for multiplier in multipliers:
            _draw_one(panel, places.index(multiplier.size) + shift, multiplier, look)
    panel.axvline(len(names) - 0.5, color="#cccccc", linewidth=0.8)
    panel.set_xlim(-0.5, len(places) - 0.5)
    panel.set_xticks(range(len(places)), [*(name.replace(" to ", "\nto ") for name in names), "all\nsizes"])
    panel.tick_params(axis="x", length=0)
    panel.grid(visible=False, axis="x")


def _draw_one(panel: Axes, x: float, found: Multiplier, look: Look) -> None:
    """A bar that nothing ends has an arrow at the panel's edge; without a value the design's marker is at its end."""
    colour = look["color"]
    if found.bounded:
        open_above, open_below = found.high == math.inf, not found.low
        bottom, top = panel.get_ylim()
        low, high = bottom if open_below else found.low, top if open_above else found.high
        panel.plot([x, x], [low, high], color=colour, linewidth=0.9, solid_capstyle="butt")
        own = {**look, "linestyle": "none"} if math.isnan(found.times) else {"color": colour, "marker": "_"}
        for end in (found.high, found.low):
            if 0 < end < math.inf:
                panel.plot([x], [end], **{**own, "markersize": 4})
        if open_above:
            panel.plot([x], [top / 1.06], color=colour, marker="^", markersize=3, clip_on=False)
        if open_below:
            panel.plot([x], [bottom * 1.06], color=colour, marker="v", markersize=3, clip_on=False)
    if not math.isnan(found.times):
        face = {} if found.bounded else {"markerfacecolor": "white", "markerfacecoloralt": "white"}
        panel.plot([x], [found.times], **{**look, **face, "linestyle": "none"})

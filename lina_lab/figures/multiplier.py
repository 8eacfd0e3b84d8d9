"""What an axis's first value needs of the training FLOPs: a panel for each value, a place for each pair of sizes."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lina_lab.analysis.findings import Finding
from lina_lab.analysis.multiplier import ALL, FLOPS, WORDS, Compute, Multiplier
from lina_lab.figures.style import Look, Looks, design_looks, named, new_figure, style
from lina_lab.figures.ticks import log_axis

WIDTH = 0.7
"""Of a place, shared by its designs."""
TOGETHER: Look = {"color": "black", "marker": "D", "markersize": 5}
LEGEND_INCHES = 0.15
"""Height of a row of a legend, which stands below its panel."""
BEYOND = 1.6
"""A panel ends at this factor beyond its highest and lowest number."""


def multiplier_figure(findings: Sequence[Finding], looks: Looks | None = None) -> Figure | None:
    """Factors with their intervals; an arrow where nothing that was measured ends one. None if none is known.

    Black is one factor for all designs. A hollow marker is a factor without an interval; none is drawn where the curves
    do not meet within what was measured.
    """
    shown = [finding for finding in findings if any(_drawn(of.verdict.compute) for of in finding.contrasts)]
    if not shown:
        return None
    looks = looks or design_looks(contrast.pair.a for finding in findings for contrast in finding.contrasts)
    across = math.ceil(math.sqrt(len(shown)))
    down = math.ceil(len(shown) / across)
    with style():
        most = max(len(finding.contrasts) for finding in shown) + 1
        figure = new_figure(0.6 + 3.3 * across, 0.4 + (3.2 + LEGEND_INCHES * most) * down)
        panels = figure.subplots(down, across, squeeze=False).ravel()
        for panel, finding in zip(panels, shown, strict=False):
            _draw(panel, finding, looks)
        for panel in panels[len(shown) :]:
            panel.set_visible(False)
    return figure


def _drawn(of: Sequence[Compute]) -> list[Multiplier]:
    """Between sizes, then over all; those with a value or an end."""
    found = [m for compute in of if compute.cost == FLOPS for m in (*compute.sizes, compute.overall) if m is not None]
    return [m for m in found if m.bounded or not math.isnan(m.times)]


def _draw(panel: Axes, finding: Finding, looks: Looks) -> None:
    lines = [(named(of.pair.others), looks(of.pair.a), _drawn(of.verdict.compute)) for of in finding.contrasts]
    if len(lines) > 1:
        lines.append(("all designs", TOGETHER, _drawn(finding.compute)))
    found = [multipliers for *_, multipliers in lines]
    costs = {m.size: m.cost for multipliers in found for m in multipliers if m.size != ALL}
    names = sorted(costs, key=lambda size: costs[size])
    places = [*names, ALL]
    ends = [v for of in found for m in of for v in (m.low, m.high, m.times) if 0 < v < math.inf]
    bottom, top = min([*ends, 1.0]) / BEYOND, max([*ends, 1.0]) * BEYOND
    panel.axhline(1, color="#999999", linewidth=0.8)
    panel.set_yscale("log")
    panel.set_ylim(bottom, top)
    for number, (label, look, multipliers) in enumerate(lines):
        shift = WIDTH * ((number + 0.5) / len(lines) - 0.5)
        panel.plot([], [], label=label if multipliers else "_", **{**look, "linestyle": "none"})  # "_": not named
        for multiplier in multipliers:
            _draw_one(panel, places.index(multiplier.size) + shift, multiplier, look)
    panel.axvline(len(names) - 0.5, color="#cccccc", linewidth=0.8)
    panel.set_xlim(-0.5, len(places) - 0.5)
    panel.set_xticks(range(len(places)), [*(name.replace(" to ", "\nto ") for name in names), "all sizes"])
    panel.tick_params(axis="x", length=0)
    panel.grid(visible=False, axis="x")
    log_axis(panel.yaxis)
    panel.set_title(finding.name)
    panel.set_ylabel(f"{WORDS[FLOPS]} of {finding.baseline} / {finding.value}\nfor the same {finding.metric.label}")
    panel.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.14))


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
                panel.plot([x], [end], **{**own, "markersize": 5})
        if open_above:
            panel.plot([x], [top / 1.06], color=colour, marker="^", markersize=4, clip_on=False)
        if open_below:
            panel.plot([x], [bottom * 1.06], color=colour, marker="v", markersize=4, clip_on=False)
    if not math.isnan(found.times):
        face = {} if found.bounded else {"markerfacecolor": "white", "markerfacecoloralt": "white"}
        panel.plot([x], [found.times], **{**look, **face, "linestyle": "none"})

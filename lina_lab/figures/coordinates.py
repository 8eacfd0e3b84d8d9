"""How far every layer moves in the first steps, against the width: a panel a parametrization, a line a layer."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from lina_lab.analysis.coordinates import TOLERANCE, Check
from lina_lab.figures.panels import entitle, legend_below, panel_grid
from lina_lab.figures.style import style
from lina_lab.figures.ticks import log_axis

COLOURS = {"context": "#56B4E9", "encoder": "#009E73", "decoder": "#0072B2", "head": "#D55E00", "other": "#999999"}
"""By the first part of a layer's name (Okabe and Ito)."""


def coordinates_figure(checks: Sequence[Check]) -> Figure:
    """Of each check the last step; a layer whose slope is out of tolerance is dashed."""
    titles: list[str] = []
    with style():
        grid = panel_grid(len(checks), 1 if len(checks) == 1 else 2, 2.4, len(checks), "y")
        panels = grid.panels
        for panel, check in zip(panels, checks, strict=True):
            last = max(growth.step for growth in check.growths)
            growths = [growth for growth in check.growths if growth.step == last]
            for growth in growths:
                part = growth.layer.partition(".")[0]
                colour = COLOURS[part if part in COLOURS else "other"]
                line = "-" if growth.passed else (0, (3, 2))
                panel.plot([*growth.change], [*growth.change.values()], color=colour, linestyle=line, linewidth=1)
            widths = sorted({width for growth in growths for width in growth.change})
            panel.set_xscale("log", base=2)
            log_axis(panel.yaxis)
            panel.xaxis.set_major_locator(FixedLocator(widths))
            panel.xaxis.set_minor_locator(NullLocator())
            panel.xaxis.set_major_formatter(FuncFormatter(lambda width, _: f"{width:g}"))
            panel.set_xlabel("width D")
            within = sum(growth.passed for growth in growths)
            titles.append(f"{check.parametrization}: slopes of {within} of {len(growths)} layers within ±{TOLERANCE:g}")
        entitle(grid, titles)
        panels[0].set_ylabel(f"mean |x{chr(0x2009)}(step {last}) - x(start)|")
        for name, colour in COLOURS.items():
            panels[0].plot([], [], color=colour, label=name)
        panels[0].plot([], [], color="black", linestyle=(0, (3, 2)), label="out of tolerance")
        legend_below(grid.figure)
    return grid.figure

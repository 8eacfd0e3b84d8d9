"""One grid of panels for all figures, as wide as a paper's column or page, and few enough designs in each panel.

Many designs stand in small multiples: a panel for each value of an axis, the same range in all, and all other designs
in light grey behind. Names stand at the ends of lines where they are short; otherwise there is one legend below.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from scipy.optimize import isotonic_regression

from lina_lab.analysis.names import Names, design_label
from lina_lab.config.sweep import Scalar
from lina_lab.figures.style import COLUMN, FONT, PAGE, SMALL, fitted, grow, named, new_figure

MOST = 5
"""Most designs in one panel."""
SHORT = 24
"""Letters of the longest name that stands at the end of a line."""
WIDTHS = {1: COLUMN, 2: PAGE}
"""Inches by the columns of a page that a figure fills."""
BEHIND: dict[str, Any] = {"color": "#d4d4d4", "linewidth": 0.8, "zorder": 0.5}
"""Designs of other panels."""
TOP = 0.15
"""Inches above the panels and below."""
Design = tuple[Mapping[str, Scalar], pd.DataFrame]
Designs = Sequence[Design]


class Group(NamedTuple):
    """Designs that share a panel, and its title; empty if there is only one panel."""

    title: str
    designs: Designs
    said: tuple[str, ...] = ()
    """Axes whose value the title says, for all designs of the panel."""
    name: Names = design_label

    def label(self, values: Mapping[str, Scalar]) -> str:
        """A design without what the title says; empty if that is all."""
        rest = {axis: value for axis, value in values.items() if axis not in self.said}
        return self.name(rest) if rest or not self.said else ""


def grouped(of_designs: Designs, axes: Sequence[str], name: Names = design_label, most: int = MOST) -> list[Group]:
    """All designs in one panel, or a panel for each value of an axis, or of several: the fewest panels with `most`
    designs at most, by the earlier axis where two make as many.

    Designs of one axis alone are dealt evenly, in order.
    """
    if len(of_designs) <= most:
        return [Group("", of_designs, name=name)]
    several = [axis for axis in axes if len({str(values[axis]) for values, _ in of_designs}) > 1]
    if len(several) < 2:
        count = math.ceil(len(of_designs) / most)
        size = math.ceil(len(of_designs) / count)
        what = several[0] if several else "designs"
        dealt = [of_designs[first : first + size] for first in range(0, len(of_designs), size)]
        titles = [f"{what}, {number} of {len(dealt)}" for number in range(1, len(dealt) + 1)]
        return [Group(title, part, name=name) for title, part in zip(titles, dealt, strict=True)]
    ways = [_by(of_designs, by, name) for count in range(1, len(several) + 1) for by in combinations(several, count)]
    few = [way for way in ways if max(len(group.designs) for group in way) <= most]
    return min(few, key=len)


def _by(of_designs: Designs, axes: tuple[str, ...], name: Names) -> list[Group]:
    """A group for each setting of some axes."""
    groups: dict[str, list[Design]] = {}
    for values, rows in of_designs:
        groups.setdefault(str([values[axis] for axis in axes]), []).append((values, rows))
    titles = [name({axis: designs[0][0][axis] for axis in axes}) for designs in groups.values()]
    return [
        Group(title=title, designs=designs, said=axes, name=name)
        for title, designs in zip(titles, groups.values(), strict=True)
    ]


class Grid(NamedTuple):
    """A figure with its panels, in reading order."""

    figure: Figure
    panels: list[Axes]
    across: int

    @property
    def left(self) -> list[Axes]:
        return self.panels[:: self.across]

    @property
    def rows(self) -> list[list[Axes]]:
        return [self.panels[first : first + self.across] for first in range(0, len(self.panels), self.across)]

    @property
    def lowest(self) -> list[Axes]:
        """The panels with none below."""
        return self.panels[-self.across :]

    @property
    def inches(self) -> float:
        """Width of a panel with its labels."""
        return float(self.figure.get_figwidth()) / self.across


Share = Literal["", "x", "y", "both"]
"""Which ranges all panels share."""


def panel_grid(
    count: int, columns: int, height: float, across: int = 1, share: Share = "", heights: Sequence[float] = ()
) -> Grid:
    """`count` panels, `across` side by side, `height` inches each, or with `heights` of their own for every row."""
    down = math.ceil(count / across)
    total = sum(heights) if heights else down * height
    figure = new_figure(WIDTHS[columns], total + 2 * TOP)
    places = (
        figure.subplots(
            down,
            across,
            squeeze=False,
            height_ratios=heights or None,
            sharex=share in {"x", "both"},
            sharey=share in {"y", "both"},
        )
        .ravel()
        .tolist()
    )
    for unused in places[count:]:
        unused.remove()
    grid = Grid(figure, places[:count], across)
    for panel in grid.lowest:
        panel.tick_params(labelbottom=True)
    return grid


def entitle(grid: Grid, titles: Iterable[str], share: float = 0.8) -> None:
    """A title over each panel, in lines that fit a share of its place; the figure grows by them."""
    texts = [fitted(title, share * grid.inches, most=3) for title in titles]
    for panel, text in zip(grid.panels, texts, strict=True):
        panel.set_title(text)
    for first in range(0, len(texts), grid.across):
        grow(grid.figure, max(len(text.split("\n")) for text in texts[first : first + grid.across]) - 1, FONT)


def names_in(groups: Sequence[Group]) -> tuple[bool, Callable[[Group, Mapping[str, Scalar]], str]]:
    """Whether names can stand at the ends of lines, and what the name of a design in its panel then is.

    In a legend for all panels it is the whole name.
    """
    at_ends = all(len(group.label(values)) <= SHORT for group in groups for values, _ in group.designs)
    if at_ends:
        return True, lambda group, values: group.label(values)
    return False, lambda group, values: named(values, group.name)


def others(groups: Sequence[Group], own: Group) -> list[Design]:
    """The designs of all other panels."""
    return [design for group in groups if group is not own for design in group.designs]


def fullest(row: Sequence[Axes]) -> Axes:
    """The panel of a row that can name most lines; the last of equals."""
    return max(reversed(row), key=lambda panel: len(panel.get_legend_handles_labels()[1]))


def name_ends(figure: Figure, panels: Iterable[Axes]) -> None:
    """The name of every line at its end, in its colour, at the height of the end or as near as leaves room."""
    figure.draw_without_rendering()
    for panel in panels:
        ends = [_end(handle) for handle in panel.get_legend_handles_labels()[0]]
        names = panel.get_legend_handles_labels()[1]
        shown = [(name, *end) for name, end in zip(names, ends, strict=True) if name and end]
        if not shown:
            continue
        room = 1.25 * SMALL / 72 * figure.dpi / panel.get_window_extent().height
        to_panel = panel.transData + panel.transAxes.inverted()
        heights = [float(to_panel.transform((x, y))[1]) for _, x, y, _ in shown]
        for (name, x, y, colour), place in zip(shown, apart(heights, room), strict=True):
            panel.annotate(
                name,
                (x, y),
                (1.06, place),
                "data",
                "axes fraction",
                ha="left",
                va="center",
                fontsize=SMALL,
                color=colour,
                annotation_clip=False,
                arrowprops={
                    "arrowstyle": "-",
                    "color": colour,
                    "linewidth": 0.4,
                    "shrinkA": 1,
                    "shrinkB": 2,
                    "relpos": (0, 0.5),
                },
            )


def apart(heights: Sequence[float], room: float) -> list[float]:
    """The places nearest to some heights (least squares) that lie `room` apart, in their order."""
    order = np.argsort(heights, kind="stable")
    steps = room * np.arange(len(heights))
    placed = np.empty(len(heights))
    placed[order] = isotonic_regression(np.asarray(heights, dtype=float)[order] - steps).x + steps
    return [float(place) for place in placed]


def _end(handle: Any) -> tuple[float, float, Any] | None:
    """The last point of a line, and its colour; None if it has none."""
    line = handle.lines[0] if isinstance(handle, ErrorbarContainer) else handle
    points = np.asarray(line.get_xydata(), dtype=float)
    points = points[np.isfinite(points).all(axis=1)]
    return (float(points[-1, 0]), float(points[-1, 1]), line.get_color()) if len(points) else None


def legend_below(figure: Figure, **more: Any) -> None:
    """One legend for all panels, each name once, in as many columns as fit; the figure grows by its height."""
    handles: dict[str, Artist] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    if not handles:
        return
    width = figure.get_figwidth() * figure.dpi
    for columns in range(min(len(handles), 6), 0, -1):
        legend = figure.legend(
            list(handles.values()),
            list(handles),
            loc="outside lower center",
            ncols=columns,
            columnspacing=1.2,
            handletextpad=0.5,
            **more,
        )
        size = legend.get_window_extent(figure.canvas.get_renderer())  # type: ignore[attr-defined]
        if size.width <= width or columns == 1:
            figure.set_figheight(figure.get_figheight() + size.height / figure.dpi)
            return
        legend.remove()

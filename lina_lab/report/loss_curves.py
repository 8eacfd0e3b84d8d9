"""Loss curves as SVG, written by hand: matplotlib would take seconds for what a page draws anew every few seconds.

A design has the colour, line and marker of the figures. All sizes are in the units of a panel's view box, in which a
point of print is 1.
"""

import math
from collections.abc import Iterable, Sequence
from functools import cache, partial, reduce
from html import escape
from typing import Any, NamedTuple

import numpy as np
from matplotlib.markers import MarkerStyle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from lina_lab.analysis.table import human
from lina_lab.figures.style import Look
from lina_lab.report.watch import Curve

WIDTH, HEIGHT = 360, 230
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 22, 30
ACROSS, DOWN = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
BUCKETS = 120
"""A line is drawn through the lowest and the highest value in each of so many stretches of a run."""
MARKER = 3.5
MOST_TICKS = 7


class Run(NamedTuple):
    """One seed."""

    curve: Curve
    diverged: bool = False


class DesignRuns(NamedTuple):
    """A design at a size: its seeds that have begun."""

    name: str
    look: Look
    runs: Sequence[Run]


class Span(NamedTuple):
    """What an axis of loss shows; in decades where all of it is above 0."""

    low: float
    high: float

    @property
    def is_log(self) -> bool:
        return self.low > 0

    def places(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,): heights in a panel. Values at or below 0 of a logarithmic axis are below it."""
        if self.is_log:
            low, high, at = math.log(self.low), math.log(self.high), np.log(np.maximum(values, self.low / 1e3))
        else:
            low, high, at = self.low, self.high, values
        return HEIGHT - BOTTOM - np.clip((at - low) / (high - low), -9, 9) * DOWN

    def ticks(self) -> list[float]:
        """Round values within: 1, 2 and 5 of a decade, or whole decades of many, where an axis has three of them."""
        if self.is_log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            for parts in ((1, 2, 5), (1,)):
                found = [part * 10.0**decade for decade in decades for part in parts]
                inside = [tick for tick in found if self.low <= tick <= self.high]
                if len(inside) <= MOST_TICKS:
                    break
            if len(inside) >= 3:
                return inside[:: -(-len(inside) // MOST_TICKS)]
        return _round_ticks(self.low, self.high)


def span(designs: Iterable[DesignRuns]) -> Span | None:
    """The axis for all values of runs that did not diverge, of all runs if every one did; None without a value."""
    runs = [run for design in designs for run in design.runs if len(run.curve.values)]
    kept = [run for run in runs if not run.diverged] or runs
    if not kept:
        return None
    low = min(float(run.curve.values.min()) for run in kept)
    high = max(float(run.curve.values.max()) for run in kept)
    if low > 0:
        return Span(low / 1.03, high * 1.03)
    margin = 0.03 * (high - low) or 1.0
    return Span(low - margin, high + margin)


class Seeds(NamedTuple):
    """What seeds have in common, and what is of single ones."""

    mean: Curve
    """At the steps that every seed has."""
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    single: list[Curve]
    """From the last common step on: a mean of fewer seeds would be of another thing. And seeds that diverged."""


def together(runs: Sequence[Run]) -> Seeds:
    """Mean, lowest and highest value of the seeds that did not diverge."""
    sound = [run.curve for run in runs if not run.diverged]
    empty = np.empty(0, np.int64)
    steps = reduce(partial(np.intersect1d, assume_unique=True), (c.steps for c in sound)) if sound else empty
    values = np.array([curve.values[np.isin(curve.steps, steps)] for curve in sound]).reshape(len(sound), len(steps))
    last = steps[-1] if len(steps) else -1
    after = [Curve(c.steps[c.steps >= last], c.values[c.steps >= last]) for c in sound]
    single = [curve for curve in after if len(curve.steps) > (len(steps) > 0)]
    return Seeds(
        mean=Curve(steps, values.mean(axis=0) if sound else values.sum(axis=0)),
        low=values.min(axis=0, initial=np.inf),
        high=values.max(axis=0, initial=-np.inf),
        single=single + [run.curve for run in runs if run.diverged],
    )


def thinned(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Places (k,) of the first, the last, and the lowest and highest value of every stretch: every peak is kept."""
    if len(values) <= 2 * BUCKETS:
        return np.arange(len(values))
    parts = np.array_split(np.arange(len(values)), BUCKETS)
    ends = [place for part in parts for place in (part[values[part].argmin()], part[values[part].argmax()])]
    return np.unique([0, *ends, len(values) - 1])


def panel(title: str, designs: Sequence[DesignRuns], steps: int, loss: Span) -> str:
    """One panel as SVG: a line a design, the mean of its seeds in a band from the lowest to the highest.

    steps: at the right end of the axis.
    """
    across = ACROSS + MARKER + 1  # with room for a marker at the end
    inside = f'x="{LEFT}" y="{TOP}" width="{across}" height="{DOWN}" viewBox="{LEFT} {TOP} {across} {DOWN}"'
    parts = [
        f'<svg class="panel" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">',
        *_axes(title, steps, loss),
        f"<svg {inside}>",  # what is outside is cut off
    ]
    drawn = [(design, together(design.runs)) for design in designs]
    parts += [_band(design.look, seeds, steps, loss) for design, seeds in drawn if len(design.runs) > 1]
    parts += [part for design, seeds in drawn for part in _lines(design, seeds, steps, loss)]
    return "".join([*parts, "</svg></svg>"])


def _axes(title: str, steps: int, loss: Span) -> Iterable[str]:
    yield f'<text x="{LEFT}" y="14" font-size="11" font-weight="600" fill="#1a1a1a">{escape(title)}</text>'
    right, floor = WIDTH - RIGHT, HEIGHT - BOTTOM
    for value, y in zip(loss.ticks(), loss.places(np.array(loss.ticks())), strict=True):
        yield f'<path d="M{LEFT},{y:.1f}H{right}" stroke="#e6e6e6"/>'
        yield f'<text x="{LEFT - 5}" y="{y + 3.5:.1f}" font-size="10" text-anchor="end" fill="#444">{value:.4g}</text>'
    for value in _round_ticks(0, steps):
        place = f'x="{LEFT + value / steps * ACROSS:.1f}" y="{floor + 13}"'
        yield f'<text {place} font-size="10" text-anchor="middle" fill="#444">{human(value)}</text>'
    yield f'<path d="M{LEFT},{TOP}V{floor}H{right}" stroke="#888" fill="none"/>'
    yield f'<text x="{right}" y="{HEIGHT - 4}" font-size="10" text-anchor="end" fill="#555">step</text>'


def _band(look: Look, seeds: Seeds, steps: int, loss: Span) -> str:
    at = np.unique([*thinned(seeds.low), *thinned(seeds.high)]) if len(seeds.low) else np.empty(0, np.int64)
    x = _across(seeds.mean.steps[at], steps)
    edge = [*zip(x, loss.places(seeds.high[at]), strict=True)]
    edge += [*zip(x[::-1], loss.places(seeds.low[at])[::-1], strict=True)]
    return f'<path d="{_path(edge)}Z" fill="{look["color"]}" fill-opacity=".15"/>' if edge else ""


def _lines(design: DesignRuns, seeds: Seeds, steps: int, loss: Span) -> Iterable[str]:
    look = design.look
    named = f"<title>{escape(design.name)}</title>"
    dash = f' stroke-dasharray="{dashes(look)}"' if dashes(look) else ""
    for curve, width in [*((curve, 0.7) for curve in seeds.single), (seeds.mean, 1.4)]:
        if not len(curve.steps):
            continue
        at = thinned(curve.values)
        places = [*zip(_across(curve.steps[at], steps), loss.places(curve.values[at]), strict=True)]
        drawn = _path(places) + ("h0" if len(places) == 1 else "")  # a dot, with a round end
        yield (
            f'<path d="{drawn}" fill="none" stroke="{look["color"]}" stroke-width="{width}" stroke-linecap="round"'
            f' stroke-linejoin="round"{dash}>{named}</path>'
        )
        if width > 1:
            x, y = places[-1]
            yield f'<g transform="translate({x:.1f},{y:.1f})">{named}{marker(_look(look))}</g>'


def dashes(look: Look) -> str:
    """The line of a look, 'solid' or matplotlib's (offset, lengths), as SVG says it; '' for a solid one."""
    line = look["linestyle"]
    return "" if isinstance(line, str) else " ".join(f"{2 * part:g}" for part in line[1])


def swatch(look: Look) -> str:
    """A line and marker for a legend."""
    dash = f' stroke-dasharray="{dashes(look)}"' if dashes(look) else ""
    line = f'<path d="M1,6H29" stroke="{look["color"]}" stroke-width="1.4"{dash}/>'
    return (
        f'<svg class="swatch" width="30" height="12" viewBox="0 0 30 12" aria-hidden="true">{line}'
        f'<g transform="translate(15,6)">{marker(_look(look))}</g></svg>'
    )


def _look(look: Look) -> tuple[str, Any, str, str]:
    return look["marker"], look["fillstyle"], look["color"], look["markerfacecolor"]


@cache
def marker(look: tuple[str, Any, str, str]) -> str:
    """Marker, filling, colour and colour of the face, around the origin."""
    shape, fill, colour, face = look
    style: Any = MarkerStyle(shape, fillstyle=fill)
    halves = [(style.get_path(), style.get_transform(), face)]
    if style.get_alt_path() is not None:
        halves.append((style.get_alt_path(), style.get_alt_transform(), "white"))
    parts = []
    for path, transform, inside in halves:
        # Matplotlib turns curves into lines as fine as pixels, and its heights go up.
        for polygon in path.transformed(transform.scale(40, -40)).to_polygons(closed_only=False):
            drawn = _path(polygon * MARKER / 20)
            parts.append(f'<path d="{drawn}Z" fill="{inside}" stroke="{colour}" stroke-width=".8"/>')
    return "".join(parts)


def _across(steps: NDArray[np.int64], end: int) -> NDArray[np.float64]:
    return LEFT + steps / end * ACROSS


def _path(places: Iterable[Sequence[float]]) -> str:
    return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _round_ticks(low: float, high: float) -> list[float]:
    """At least two within, if numbers are fine enough."""
    for parts in (4, 6, 8):
        ticks: Any = MaxNLocator(nbins=parts, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
        inside = [tick for tick in ticks.tolist() if low <= tick <= high]
        if len(inside) > 2:
            break
    return inside[:MOST_TICKS]

"""How many times the cost of A does B need for the same y: the shift between two curves of y over the log of cost.

A curve goes through a design's mean of log y (of y, where y has no ratios) and of log cost at every size, straight
between them, and ends at the size where it is best: more cost bought nothing. B is shifted by every h for which the
curves overlap, and the gap is the mean of A less B over the costs that both then have. B needs exp(h) times the cost
where that gap is 0. What straight lines miss of bent curves, both miss alike: of curves with floors the factor is
within 1 %, where reading B's curve at each value of A is up to 20 % too high.

The gap is a sum of means with known weights, so each h is tested by t; the interval is made of the h that are not
rejected (Fieller). A least is claimed only where B is surely worse at every lower cost, a most where it is surely
better at every higher one, hence nothing of flat curves, and nothing beyond what was measured.

Shapes: n pairs, K sizes, H shifts.
"""

import math
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lina_lab.analysis.interval import finite_or_null
from lina_lab.analysis.match_cells import DESIGN, SHARE, Array, Pairs
from lina_lab.analysis.scale import DIFFERENCE
from lina_lab.analysis.spread import sizes_of
from lina_lab.analysis.sums_of_means import Sums, intervals_of_sums
from lina_lab.fact_names import column

FLOPS, SECONDS = column("flops.training"), column("seconds.training")
COSTS = (FLOPS, SECONDS)
WORDS = {FLOPS: "training FLOPs", SECONDS: "training seconds"}
ALL = "all"
SHIFTS = 200
POINT = 1e-6
"""Overlaps narrower than this, in log cost, are points."""


class Multiplier(NamedTuple):
    """Cost of B over cost of A for the same y."""

    size: str
    """Of A: "all", or "nano to micro" for what it reaches between two sizes."""
    cost: float
    """Of A, the geometric middle."""
    times: float
    """NaN where B's curve reaches A's at none of the measured costs, or at all of them."""
    low: float
    """0 where nothing that was measured bounds it below."""
    high: float
    """inf where nothing that was measured bounds it above."""
    least: float
    most: float
    """What was measured shows factors from `least` to `most`."""

    @property
    def bounded(self) -> bool:
        """Whether the interval has an end."""
        return self.low > 0 or self.high < math.inf

    @property
    def sure(self) -> bool:
        """Whether the interval excludes 1."""
        return self.low > 1 or self.high < 1

    @property
    def told(self) -> bool:
        """Whether the interval says something: it has two ends, or excludes 1."""
        return self.sure or (self.low > 0 and self.high < math.inf)

    @property
    def interval(self) -> str:
        """'1.2 to 1.45', '2.1 or more', '0.8 or less'; '' if it has no end."""
        if not self.bounded:
            return ""
        if self.high == math.inf:
            return f"{self.low:.3g} or more"
        return f"{self.low:.3g} to {self.high:.3g}" if self.low > 0 else f"{self.high:.3g} or less"

    def text(self, before: str = "") -> str:
        """'1.3 times (1.2 to 1.45)', or 'at least 2.1 times' without a value; '' if nothing bounds it.

        before: what stands before the interval, as '95 % interval '.
        """
        if not self.bounded or not math.isnan(self.times):
            return f"{self.times:.3g} times ({before}{self.interval})" if self.bounded else ""
        if self.low > 0 and self.high < math.inf:
            return f"{self.interval} times"
        return f"at least {self.low:.3g} times" if self.low > 0 else f"at most {self.high:.3g} times"

    def as_json(self) -> dict[str, Any]:
        """size, cost, times, low, high, least, most; null where there is none."""
        numbers = {name: finite_or_null(value) for name, value in self._asdict().items() if name != "size"}
        return {"size": self.size, **numbers, "low": self.low or None}


class Curves(NamedTuple):
    """Of A and B, in this order; lower y is better."""

    cost: Array
    """(2, K): mean log cost, rising."""
    y: Array
    """(2, K): means."""
    best: tuple[int, int]
    """The size at which each is best."""
    pairs: Pairs
    """Their a and b are y, each at the mean cost of its size."""


class Compute(NamedTuple):
    """What B needs of one kind of cost."""

    cost: str
    """A column of the table."""
    overall: Multiplier | None
    """One factor for all sizes; None for a reason."""
    sizes: list[Multiplier]
    """Between neighbouring sizes of A, where its y improves."""
    reasons: list[str]
    """Against a claim; why nothing can be said, where `overall` is None."""
    curves: Curves | None = None
    """What it was read from; None for a reason."""

    @property
    def known(self) -> bool:
        """Whether the factor over all sizes says something, and nothing stands against it."""
        return self.overall is not None and self.overall.told and not self.reasons

    @property
    def words(self) -> str:
        return WORDS.get(self.cost, self.cost)

    def as_json(self) -> dict[str, Any]:
        """cost; overall and sizes, see `Multiplier.as_json`; reasons."""
        return {
            "cost": self.cost,
            "overall": self.overall and self.overall.as_json(),
            "sizes": [m.as_json() for m in self.sizes],
            "reasons": self.reasons,
        }


def compute_multiplier(pairs: Pairs, cost: str, *, sign: int = 1, level: float = 0.95) -> Compute:
    """What B needs of `cost`, a column of the table, for what A reaches: over all sizes, and between neighbours.

    sign: 1 where lower y is better, -1 where higher is. Each interval holds the factor in `level` of studies by itself.
    """
    logs, reasons = _log_costs(pairs, cost)
    if reasons:
        return Compute(cost=cost, overall=None, sizes=[], reasons=reasons)
    curves = _curves(pairs, logs, sign)
    return _whole(cost, [curves], level, [])._replace(curves=curves)


def over_designs(found: Sequence[Compute], level: float) -> Compute:
    """One factor for several pairs of designs that differ alike: the gap is the mean of theirs.

    found: of one cost. Those with reasons against them are left out, unless all have some.
    """
    whole = [of for of in found if of.curves and not of.reasons] or [of for of in found if of.curves]
    reasons = list(dict.fromkeys(reason for of in whole or found for reason in of.reasons))
    return _whole(found[0].cost, [of.curves for of in whole if of.curves], level, reasons)


def _whole(cost: str, several: Sequence[Curves], level: float, reasons: list[str]) -> Compute:
    """Over all sizes, and between each two neighbours by the curves that improve there."""
    if not several:
        return Compute(cost=cost, overall=None, sizes=[], reasons=reasons)
    parts: dict[str, list[tuple[int, int, int]]] = {ALL: [(n, 0, of.best[0]) for n, of in enumerate(several)]}
    for n, curves in enumerate(several):
        sizes, best = list(sizes_of(curves.pairs)), curves.best[0]
        for i in [i for i in range(best) if curves.y[0, i + 1] < curves.y[0, i]]:
            parts.setdefault(f"{sizes[i]} to {sizes[i + 1]}", []).append((n, i, i + 1))

    @cache
    def intervals(of: tuple[int, ...]) -> Sums:
        return intervals_of_sums(_stacked([several[n].pairs for n in of]), level)

    overall, *between = [
        _multiplier([(several[n], i, j) for n, i, j in own], intervals(tuple(n for n, *_ in own)), size)
        for size, own in parts.items()
    ]
    between.sort(key=lambda found: found.cost)
    return Compute(cost=cost, overall=overall, sizes=between, reasons=reasons)


def _stacked(several: Sequence[Pairs]) -> Pairs:
    """Pairs of several designs as if each had sizes of its own."""
    return several[0]._replace(
        x=np.concatenate([pairs.x for pairs in several]),
        a=np.concatenate([pairs.a for pairs in several]),
        b=np.concatenate([pairs.b for pairs in several]),
        size=[f"{number} {size}" for number, pairs in enumerate(several) for size in pairs.size],
        rows=pd.concat([pairs.rows[[DESIGN, SHARE]] for pairs in several]),
    )


def _log_costs(pairs: Pairs, cost: str) -> tuple[Array, list[str]]:
    """Log costs (2, n) of A's and B's cells, and why they make no curve."""
    places = list(sizes_of(pairs).values())
    designs, values = pairs.rows[DESIGN].to_numpy(), pairs.rows[cost].to_numpy(dtype=float)
    if len(places) < 2:
        return values, ["one size: there is no curve over cost"]
    if not (np.isfinite(values) & (values > 0)).all():
        return values, [f"{cost} is missing or not above 0 for some cells"]
    logs = np.log([values[designs == design] for design in "AB"])
    if cost.endswith("_seconds"):
        machines = pairs.rows.get("cpu")
        if machines is None or machines.isna().any():
            return logs, ["the table does not say on which machine the seconds passed (cpu)"]
        if len(kinds := sorted(machines.unique())) > 1:
            return logs, [f"seconds of different machines are not comparable: {', '.join(kinds)}"]
    falls = [d for d, of in zip("AB", logs, strict=True) if not (np.diff([of[at].mean() for at in places]) > 0).all()]
    return logs, [f"{cost} of {design} does not rise with size" for design in falls]


def _curves(pairs: Pairs, logs: Array, sign: int) -> Curves:
    """A cell that cost more than the mean of its size is moved to it along the curve: seconds differ between seeds."""
    places = list(sizes_of(pairs).values())
    cost, y = (np.empty((2, len(places))) for _ in range(2))
    moved = sign * pairs.scale.forward(np.stack([pairs.a, pairs.b]))  # (2, n)
    for side in range(2):
        cost[side], y[side] = ([of[side, at].mean() for at in places] for of in (logs, moved))
        slope = np.gradient(y[side], cost[side])
        for place, at in enumerate(places):
            moved[side, at] -= slope[place] * (logs[side, at] - cost[side, place])
    best = int(y[0].argmin()), int(y[1].argmin())
    at_means = pairs._replace(a=moved[0], b=moved[1], scale=DIFFERENCE)
    return Curves(cost=cost, y=y, best=best, pairs=at_means)


class Window(NamedTuple):
    """Log costs of A and B, (K,) each, and where A's curve is looked at and B's ends."""

    a: Array
    b: Array
    first: float
    last: float
    end: float


def _multiplier(parts: Sequence[tuple[Curves, int, int]], intervals: Sums, size: str) -> Multiplier:
    """What B needs for what A reaches from one of its sizes to another, by the mean gap of several curves."""
    windows = [
        Window(a=of.cost[0], b=of.cost[1], first=of.cost[0, i], last=of.cost[0, j], end=of.cost[1, of.best[1]])
        for of, i, j in parts
    ]
    least, most = max(w.b[0] - w.last for w in windows), min(w.end - w.first for w in windows)
    knots = np.concatenate([(w.b[:, None] - w.a).ravel() for w in windows])  # where weights bend
    shifts = np.union1d(np.linspace(least, most, SHIFTS), knots[(knots > least) & (knots < most)])
    gap, half = intervals(_weights(windows, shifts))
    middle, lower, upper = _first_above(shifts, gap, math.nan), -math.inf, math.inf
    if not np.isnan(half).any():
        lower = _first_above(shifts, gap + half, -math.inf)
        upper = -_first_above(-shifts[::-1], (half - gap)[::-1], -math.inf)
    middle = math.nan if middle in (least, most) else middle
    if lower == most:  # worse at its best, B is no better at its largest size
        lower = most = min(w.b[-1] - w.first for w in windows)
    cost = sum((w.first + w.last) / 2 for w in windows) / len(windows)
    logs = {"cost": cost, "times": middle, "low": lower, "high": upper, "least": least, "most": most}
    return Multiplier(size=size, **{name: math.exp(value) for name, value in logs.items()})


def _weights(windows: Sequence[Window], shifts: Array) -> Array:
    """Weights (H, 2K) of the means at all sizes, A's before B's, in the gap at every shift."""
    sides: tuple[list[Array], list[Array]] = [], []
    for w in windows:
        low, high = np.maximum(w.first, w.b[0] - shifts), np.minimum(w.last, w.end - shifts)
        sides[0].append(_mean_over(w.a, low, high))
        sides[1].append(-_mean_over(w.b, low + shifts, high + shifts))
    return np.concatenate([*sides[0], *sides[1]], axis=1) / len(windows)


def _first_above(x: Array, y: Array, none: float) -> float:
    """Where y first rises above 0; the last x if it stays below, `none` if it starts above."""
    above = np.flatnonzero(y > 0)
    if not len(above):
        return float(x[-1])
    i = int(above[0])
    return none if i == 0 else float(x[i] - y[i] * (x[i] - x[i - 1]) / (y[i] - y[i - 1]))


def _mean_over(knots: Array, low: Array, high: Array) -> Array:
    """Weights (H, K) of values at K knots in the mean, from low to high (H,), of the lines between them."""
    middle, half = (low + high) / 2, np.maximum((high - low) / 2, POINT)
    low, high = np.maximum(middle - half, knots[0]), np.minimum(middle + half, knots[-1])
    return (_integral(knots, high) - _integral(knots, low)) / (high - low)[:, None]


def _integral(knots: Array, x: Array) -> Array:
    """Weights (H, K) of values at K knots in the integral, from the first knot to x (H,), of the lines between them."""
    steps = np.diff(knots)
    share = np.clip((x[:, None] - knots[:-1]) / steps, 0, 1)  # (H, K - 1)
    weights = np.zeros((len(x), len(knots)))
    weights[:, :-1] += steps * (share - share**2 / 2)
    weights[:, 1:] += steps * share**2 / 2
    return weights

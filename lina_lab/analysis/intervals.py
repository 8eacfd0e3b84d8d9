"""95 % intervals of parameters and of the curve: profiles of least squares with an F quantile, and two bootstraps.

A profile keeps one quantity at a value and fits the rest: the interval holds the values with
S(value) <= S_min (1 + F(1, n - p) / (n - p)), where S is the sum of squares of log residuals. For the power law, a
line in the logarithms, that is the t interval of least squares. The reported parameters are those of the robust Huber
sum; where one lies outside, the interval is widened to hold it, so that coverage can only rise.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from lina_lab.analysis.fits import FORMS, Fit, Scale, predict, prepare, refit
from lina_lab.analysis.optimum import NEVER, Array, Bounds, Problem, log_curve, objective, places
from lina_lab.analysis.search import least_squares, starts

HEAVY = 1e4
"""Weight of the point that holds a curve's value; the profile is exact for any weight, see `_held_curve`."""
RAW = 400.0
"""Bound of log coefficients where x keeps its unit."""
RAISED = -4.0
"""log of the floor that a vanished one is raised to, in units of the geometric mean of y."""
CLOSE = 1e-6
"""Part of the way to the limit within which a profile has met it."""
FIRST, DOUBLINGS, SECANTS = 0.01, 24, 18
Trace = Callable[[Array], tuple[Array, Array]]
"""Wanted values -> the values reached and the least sum of squares with them."""


class Interval(NamedTuple):
    """A 95 % interval; None where the data set no limit."""

    low: float | None
    high: float | None


class _Squares(NamedTuple):
    """The least-squares optimum that the profiles start from."""

    problem: Problem
    bounds: Bounds
    at: Array
    """# (1, p)"""
    least: float
    limit: float


def intervals(found: Fit, x: ArrayLike, y: ArrayLike) -> dict[str, Interval | None]:
    """Every parameter's interval; None for all if there are no more points than parameters.

    A floor's interval that begins at 0 says that the data do not tell it from none.
    """
    names = FORMS[found.form].names
    if np.size(y) <= len(names):
        return dict.fromkeys(names)
    if len(names) == 2:
        line = _Line(x, y)
        raw = {"A": line.interval(0.0), "alpha": line.slope()}
    else:
        raw = {name: _parameter(found.form, name, x, y) for name in names}
    return {name: _hull(raw[name], found.params[name]) for name in names}


def prediction_interval(found: Fit, x: ArrayLike, y: ArrayLike, at: ArrayLike) -> Interval | None:
    """The interval of the curve (not of one more measurement, which scatters about it) at one new x, or (x, d)."""
    point = np.reshape(np.asarray(at, dtype=float), (1, -1))
    if np.size(y) <= len(FORMS[found.form].names):
        return None
    value = float(predict(found.form, found.params, at if point.shape[1] == 2 else point[0])[0])
    if found.form == "power":
        return _hull(_Line(x, y).interval(math.log(point[0, 0])), value)
    squares, scale = _squares(found.form, x, y)
    u = np.log(point) - scale.x
    start = float(log_curve(squares.problem._replace(u=u), squares.at)[1][0, 0])
    ends = _ends(_held_curve(squares, u), start, squares, -math.inf, math.inf)
    interval = Interval(*(None if end is None else math.exp(end + scale.y) for end in ends))
    return _hull(interval, value)


def parametric_bootstrap(found: Fit, x: ArrayLike, y: ArrayLike, rng: np.random.Generator, count: int) -> Array:
    """Refits to the curve times log-normal noise, its variance the residuals' over n - p.  # (count, p)"""
    curve = predict(found.form, found.params, x)
    free = len(curve) - len(FORMS[found.form].names)
    if free < 1:
        raise ValueError(f"a bootstrap needs more points than parameters, not {len(curve)}")
    deviation = math.sqrt(float(((np.log(y) - np.log(curve)) ** 2).sum()) / free)
    return refit(found.form, x, curve * np.exp(rng.normal(0, deviation, (count, len(curve)))), None, found)


def pairwise_bootstrap(found: Fit, x: ArrayLike, y: ArrayLike, rng: np.random.Generator, count: int) -> Array:
    """Refits to whole (size, seed) pairs drawn anew within each size, so that every size stays.  # (count, p)

    Its percentiles are no 95 % interval with few seeds: they hold the truth in 67 % with two and 86 % with five.
    """
    _, place = np.unique(np.reshape(np.asarray(x, dtype=float), (np.size(y), -1)), axis=0, return_inverse=True)
    weights = np.zeros((count, np.size(y)))
    for size in range(place.max() + 1):
        rows = np.flatnonzero(place == size)
        weights[:, rows] = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=count)
    return refit(found.form, x, y, weights, found)


class _Line:
    """log y = log A - alpha log x by least squares, and t intervals with n - 2 degrees of freedom."""

    def __init__(self, x: ArrayLike, y: ArrayLike) -> None:
        u, v = np.log(np.ravel(np.asarray(x, dtype=float))), np.log(np.asarray(y, dtype=float))
        self.middle, self.spread, self.count = float(u.mean()), float(((u - u.mean()) ** 2).sum()), len(u)
        self.falls = -float(((u - self.middle) * v).sum()) / self.spread
        self.height = float(v.mean())
        rest = v - self.height + self.falls * (u - self.middle)
        self.half = float(stats.t.ppf(0.975, self.count - 2)) * math.sqrt(float((rest**2).sum()) / (self.count - 2))

    def slope(self) -> Interval:
        half = self.half / math.sqrt(self.spread)
        return Interval(self.falls - half, self.falls + half)

    def interval(self, u: float) -> Interval:
        """Of the curve at log x = u; at 0 that is A."""
        half = self.half * math.sqrt(1 / self.count + (u - self.middle) ** 2 / self.spread)
        value = self.height - self.falls * (u - self.middle)
        return Interval(math.exp(value - half), math.exp(value + half))


def _hull(interval: Interval, point: float) -> Interval:
    low = None if interval.low is None else min(interval.low, point)
    return Interval(low, None if interval.high is None else max(interval.high, point))


def _squares(form: str, x: ArrayLike, y: ArrayLike, *, raw: bool = False) -> tuple[_Squares, Scale]:
    """The least-squares optimum; with `raw`, x keeps its unit, so that a coefficient inside is one outside."""
    problem, scale = prepare(form, x, y, None)
    bounds = FORMS[form].bounds
    at = least_squares(problem, starts(problem, 16, rising=None not in problem.terms), bounds)
    if raw:
        for place, column in places(problem.terms):
            at[:, place] += 0 if column is None else at[:, place + 1] * scale.x[column]
        problem, scale = problem._replace(u=problem.u + scale.x), scale._replace(x=np.zeros_like(scale.x))
        bounds = Bounds(*(np.where(np.isfinite(b) & (np.abs(b) == -NEVER), np.sign(b) * RAW, b) for b in bounds))
    least, free = float(objective(problem, at, math.inf)[0]), len(problem.u) - at.shape[1]
    limit = least * (1 + float(stats.f.ppf(0.95, 1, free)) / free) + 1e-20
    return _Squares(problem, bounds, at, least, limit), scale


def _parameter(form: str, name: str, x: ArrayLike, y: ArrayLike) -> Interval:
    """The profile over one parameter: coefficients in their logarithm, with 0 where nothing excludes it."""
    squares, scale = _squares(form, x, y, raw=name.isupper())
    index = FORMS[form].names.index(name)
    low, high = (float(side[0, index]) for side in squares.bounds)
    ends = _ends(_held_parameter(squares, index), float(squares.at[0, index]), squares, low, high)
    if not name.isupper():
        # Without a limit of its own an exponent beside a floor goes down to 0.
        return Interval(max(low, 0.0) if ends[0] is None and low == 0 else ends[0], ends[1])
    return Interval(
        *(edge if end is None else math.exp(end + scale.y) for end, edge in zip(ends, (0.0, None), strict=True))
    )


def _held_parameter(squares: _Squares, index: int) -> Trace:
    """The least sum of squares with one parameter held at each of some values."""
    near = np.repeat(squares.at, 2, axis=0)

    def trace(values: Array) -> tuple[Array, Array]:
        nonlocal near
        low, high = (np.repeat(side, len(values), axis=0) for side in squares.bounds)
        near[:, index] = low[:, index] = high[:, index] = values
        near = _nearest(squares.problem, near, Bounds(low, high))
        return values, objective(squares.problem, near, math.inf)

    return trace


def _held_curve(squares: _Squares, u: Array) -> Trace:
    """The least sum of squares with the curve's logarithm at u at about each of some values.

    A further point there, with a large weight, draws the curve to the wanted value. Whatever its weight, the fit is the
    best of all that have the value reached, since all these pay the same for that point.
    """
    problem = squares.problem
    drawn = problem._replace(u=np.concatenate([problem.u, u]), weights=np.append(problem.weights, [[HEAVY]], axis=1))
    near = np.repeat(squares.at, 2, axis=0)

    def trace(values: Array) -> tuple[Array, Array]:
        nonlocal near
        target = np.concatenate([np.repeat(problem.target, len(values), axis=0), values[:, None]], axis=1)
        near = _nearest(drawn._replace(target=target), near, squares.bounds)
        return log_curve(problem._replace(u=u), near)[1][:, 0], objective(problem, near, math.inf)

    return trace


def _nearest(problem: Problem, near: Array, bounds: Bounds) -> Array:
    """The least squares from where the last ended, and with the floor raised from there, whichever is lower.

    The logarithm of a floor that has vanished does not come back by itself.
    """
    raised = near.copy()
    raised[:, 0] = np.maximum(near[:, 0], RAISED)
    return least_squares(problem, np.stack([near, raised], axis=1), bounds, tolerance=1e-5)


def _ends(trace: Trace, start: float, squares: _Squares, low: float, high: float) -> tuple[float | None, float | None]:
    """Where the profile crosses the limit on either side; None where it does not before the bound.

    Steps are doubled until it has crossed, on both sides at once; then come secants, every third step a halving.
    """
    sides, edge = np.array([-1.0, 1.0]), np.array([low, high])
    inner, outer = np.full(2, start), np.full(2, start)
    crossed, step = np.zeros(2, dtype=bool), FIRST
    above, below = np.ones(2), np.full(2, -math.sqrt(squares.limit - squares.least))
    for _ in range(DOUBLINGS):
        trial = np.where(crossed, outer, np.clip(start + sides * step, low, high))
        _, value = trace(trial)
        past = _past(value, squares)
        inner, below = np.where(crossed | (past > 0), inner, trial), np.where(crossed | (past > 0), below, past)
        outer, above = trial, np.where(crossed, above, past)
        crossed |= past > 0
        step *= 2
        if (crossed | (outer == edge)).all():
            break
    for number in range(SECANTS):
        secant = (inner * above - outer * below) / np.where(above > below, above - below, 1)
        middle = np.where(crossed, (inner + outer) / 2 if number % 3 == 2 else secant, outer)
        reached, value = trace(middle)
        past = _past(value, squares)
        # The side that stays counts half (Illinois), or it would stay for good where the profile is bent.
        above, below = np.where(past > 0, past, above / 2), np.where(past > 0, below / 2, past)
        inner, outer = np.where(past > 0, inner, middle), np.where(past > 0, middle, outer)
        if (~crossed | (np.abs(past) < CLOSE * math.sqrt(squares.limit - squares.least))).all():
            break
    return tuple(float(r) if c else None for r, c in zip(reached, crossed, strict=True))  # type: ignore[return-value]


def _past(value: Array, squares: _Squares) -> Array:
    """How far above its limit a profile is, in the scale where it is nearly straight."""
    return np.sqrt(np.maximum(value - squares.least, 0)) - math.sqrt(squares.limit - squares.least)

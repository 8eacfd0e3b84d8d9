"""Profiles: the lowest objective with one quantity held at a value, and where it crosses a limit on either side.

Many are traced together. Shapes: R rows, each a quantity on one side of the optimum, or a resample; p parameters.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lina_lab.analysis.scaling_fit.fits import FORMS, LEAST_SQUARES, Fit, Scale, inner, prepare
from lina_lab.analysis.scaling_fit.solver import (
    DELTA,
    NEVER,
    Array,
    Bounds,
    FitProblem,
    log_curve,
    objective,
    places,
    settle,
)
from lina_lab.analysis.scaling_fit.starts import first_lowest, least_squares, starts

HEAVY = 1e4
"""Weight of the point that holds a curve's value; the profile is exact for any weight, see `drawn_to`."""
RAW = 400.0
"""Bound of log coefficients where x keeps its unit."""
RAISED = -4.0
"""log of a term that has vanished when it is tried again, in units of the geometric mean of y."""
CLOSE = 1e-4
"""A profile has met its limit within this fraction of the way to it."""
PATH = (10 * DELTA, DELTA)
"""Down to the robust objective, which has kinks; further steps before, and other starts, change no end seen."""
TOLERANCE = 1e-5
"""Of parameters: profiles need the objective alone, which is flat there."""
FIRST, DOUBLINGS, SECANTS = 0.01, 24, 18
Trace = Callable[[Array], tuple[Array, Array]]
"""Wanted values (R,) -> the values reached and the lowest objective with them."""


class Profile(NamedTuple):
    """The optimum that profiles start from."""

    problem: FitProblem
    bounds: Bounds
    at: Array
    """# (1, p)"""

    @property
    def least(self) -> float:
        return float(objective(self.problem, self.at)[0])


def of_squares(form: str, x: ArrayLike, y: ArrayLike) -> tuple[Profile, Scale]:
    """The optimum of least squares."""
    problem, scale = prepare(form, x, y, None, LEAST_SQUARES)
    bounds = FORMS[form].bounds
    at = least_squares(problem, starts(problem, 16, rising=None not in problem.terms), bounds)
    return Profile(problem=problem, bounds=bounds, at=at), scale


def of_fit(fitted: Fit, x: ArrayLike, y: ArrayLike) -> tuple[Profile, Scale]:
    """The optimum of a fit's own loss, which it has already."""
    problem, scale = prepare(fitted.form, x, y, None, fitted.loss)
    bounds, at = FORMS[fitted.form].bounds, inner(fitted, scale)[None]
    return Profile(problem=problem, bounds=bounds, at=at), scale


def in_own_units(profile: Profile, scale: Scale) -> Profile:
    """The same with x in its own unit, where a coefficient inside is one outside but for the scale of y."""
    at = profile.at.copy()
    for place, column in places(profile.problem.terms):
        at[:, place] += 0 if column is None else at[:, place + 1] * scale.x[column]
    never = [np.where(np.abs(side) == -NEVER, np.sign(side) * RAW, side) for side in profile.bounds]
    return profile._replace(
        problem=profile.problem._replace(u=profile.problem.u + scale.x), bounds=Bounds(*never), at=at
    )


def held_parameters(profile: Profile, index: NDArray[np.intp]) -> Trace:
    """Each row holds one parameter, by its place."""
    near = np.repeat(profile.at, len(index), axis=0)

    def trace(values: Array) -> tuple[Array, Array]:
        nonlocal near
        bounds = holding(profile, index, values)
        begin = with_raised(profile, np.clip(near, *bounds))
        begin.append(np.clip(_turned(profile, near, index, values), *bounds))
        near = lowest_from(profile.problem, begin, bounds)
        return values, objective(profile.problem, near)

    return trace


def _turned(profile: Profile, near: Array, index: NDArray[np.intp], values: Array) -> Array:
    """A start where a held coefficient's term keeps its height at the middle of x, and its exponent gives way."""
    turned = near.copy()
    for place, column in places(profile.problem.terms):
        if column is not None and (middle := profile.problem.u[:, column].mean()) > 1:
            rows = np.flatnonzero(index == place)
            turned[rows, place + 1] += (values[rows] - near[rows, place]) / middle
    return turned


def holding(profile: Profile, index: NDArray[np.intp], values: Array) -> Bounds:
    """The bounds of every row with one parameter, by its place, held at a value."""
    low, high = (np.repeat(side, len(index), axis=0) for side in profile.bounds)
    rows = np.arange(len(index))
    low[rows, index] = high[rows, index] = values
    return Bounds(low, high)


def held_curve(profile: Profile, u: Array) -> Trace:
    """Each row holds the curve's logarithm at u at about a value."""
    near = profile.at

    def trace(values: Array) -> tuple[Array, Array]:
        nonlocal near
        near = near if len(near) == len(values) else np.repeat(near, len(values), axis=0)
        drawn = drawn_to(profile.problem, u, values)
        near = lowest_from(drawn, with_raised(profile, near), profile.bounds)
        return log_curve(profile.problem._replace(u=u), near)[1][:, 0], objective(profile.problem, near)

    return trace


def drawn_to(problem: FitProblem, u: Array, values: Array) -> FitProblem:
    """With a further point at u whose large weight draws the curve to a value in every row.

    Whatever its weight, the fit is the best of all that have the value reached, since all these pay the same for it.
    """
    rows = np.ones((len(values), 1))
    return problem._replace(
        u=np.concatenate([problem.u, u]),
        target=np.concatenate([problem.target * rows, values[:, None]], axis=1),
        weights=np.append(problem.weights, np.full((len(problem.weights), 1), HEAVY), axis=1),
    )


def with_raised(profile: Profile, near: Array) -> list[Array]:
    """Starts: where the last ended, and with each small term raised from there.

    The logarithm of a coefficient that has vanished does not come back by itself.
    """
    begin, centre = [near], profile.problem.u.mean(axis=0)
    for place, column in places(profile.problem.terms):
        raised = near.copy()
        shift = 0.0 if column is None else raised[:, place + 1] * centre[column]
        raised[:, place] = np.maximum(near[:, place], RAISED + shift)
        if (raised != near).any():
            begin.append(raised)
    return begin


def lowest_from(problem: FitProblem, begin: list[Array], bounds: Bounds) -> Array:
    """The lowest optimum of every row that its starts lead to.  # (R, p)"""
    flat = np.concatenate(begin)
    every = np.tile(np.arange(len(begin[0])), len(begin))
    each, limits = problem.rows(every), bounds.rows(every)
    path = PATH if math.isfinite(problem.delta) else (math.inf,)
    settled = settle(each, flat, limits, path, TOLERANCE)
    return first_lowest(problem, settled.reshape(-1, *begin[0].shape).swapaxes(0, 1))


def ends(trace: Trace, start: Array, sides: Array, edge: Array, least: float, limit: Array) -> list[float | None]:
    """Where every profile crosses its limit; None where it does not before its edge.

    Steps are doubled until it has crossed; then come secants, every third step a halving.
    start, sides (-1 or 1), edge, limit: (R,).
    """
    whole = np.sqrt(limit - least)

    def past(value: Array) -> Array:
        """How far above its limit a profile is, in the scale where it is nearly straight."""
        return np.sqrt(np.maximum(value - least, 0)) / whole - 1

    inner, outer, reached = start.copy(), start.copy(), start
    crossed, step = np.zeros(len(start), dtype=bool), FIRST
    above, below = np.ones(len(start)), -np.ones(len(start))
    for _ in range(DOUBLINGS):
        trial = np.where(crossed, outer, _within(start + sides * step, sides, edge))
        high = past(trace(trial)[1])
        inner, below = np.where(crossed | (high > 0), inner, trial), np.where(crossed | (high > 0), below, high)
        outer, above = trial, np.where(crossed, above, high)
        crossed |= high > 0
        step *= 2
        if (crossed | (outer == edge)).all():
            break
    for number in range(SECANTS):
        secant = (inner * above - outer * below) / np.where(above > below, above - below, 1)
        middle = np.where(crossed, (inner + outer) / 2 if number % 3 == 2 else secant, outer)
        reached, value = trace(middle)
        high = past(value)
        # The side that stays counts half (Illinois), or it would stay for good where the profile is bent.
        above, below = np.where(high > 0, high, above / 2), np.where(high > 0, below / 2, high)
        inner, outer = np.where(high > 0, inner, middle), np.where(high > 0, middle, outer)
        if (~crossed | (np.abs(high) < CLOSE)).all():
            break
    return [float(r) if c else None for r, c in zip(reached, crossed, strict=True)]


def _within(values: Array, sides: Array, edge: Array) -> Array:
    return np.where(sides < 0, np.maximum(values, edge), np.minimum(values, edge))

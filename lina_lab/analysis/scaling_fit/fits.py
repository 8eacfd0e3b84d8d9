"""y = A x^-alpha, y = E + A x^-alpha and y = E + A x^-alpha + B d^-beta, fitted to sizes and seeds.

The loss of log residuals is half the sum of squares up to `FEW` points, and the sum of Huber(1e-3) of more. The method
is variable projection: only exponents are searched, on a grid, where the coefficients are a non-negative linear least
squares; the best starts are refined together by the Newton steps of `optimum`.
Of many starts of an ordinary minimiser few arrive, so that one start is never enough.
Rows with a weight of 0 are not there, whole weights are repetitions: a bootstrap is rows of weights.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lina_lab.analysis.scaling_fit.solver import (
    CHUNK,
    DELTA,
    NEVER,
    STEEPEST,
    Array,
    Bounds,
    FitProblem,
    descend,
    objective,
    places,
)
from lina_lab.analysis.scaling_fit.starts import first_lowest, least_squares, lowest, starts

SMALL = -20.0
"""Coefficients whose log, in units of the geometric mean of y, is below this are reported as 0."""
VANISHING = -8.0
"""Coefficients whose log is below this are also tried as 0, which a search in logarithms never reaches."""


class Form(NamedTuple):
    """A sum of terms, each a coefficient, and a power of a column of x except for the floor E."""

    formula: str
    names: tuple[str, ...]
    """Parameters in the order of their arrays."""
    terms: tuple[int | None, ...]
    """The column that each term falls with; None for the floor."""

    @property
    def columns(self) -> int:
        return max(column for column in self.terms if column is not None) + 1

    @property
    def bounds(self) -> Bounds:
        """All coefficients >= 0; exponents >= 0 beside a floor, any without one, where y may rise."""
        low = [NEVER if name.isupper() else 0 if None in self.terms else -math.inf for name in self.names]
        high = [-NEVER if name.isupper() else STEEPEST if None in self.terms else math.inf for name in self.names]
        return Bounds(np.array([low], dtype=float), np.array([high], dtype=float))


FORMS = {
    "power": Form("A x^-alpha", ("A", "alpha"), (0,)),
    "offset": Form("E + A x^-alpha", ("E", "A", "alpha"), (None, 0)),
    "surface": Form("E + A x^-alpha + B d^-beta", ("E", "A", "alpha", "B", "beta"), (None, 0, 1)),
}


class Fit(NamedTuple):
    """The best parameters of a form, in the units of x and y."""

    form: str
    params: dict[str, float]
    objective: float
    """Sum over points of Huber(1e-3) of log y - log ŷ, or of its square over two."""
    n: int
    loss: str
    """`LEAST_SQUARES` or `HUBER`."""

    @property
    def row(self) -> Array:
        return np.array(list(self.params.values()))


LEAST_SQUARES, HUBER = "least squares", "Huber"
DELTAS = {LEAST_SQUARES: math.inf, HUBER: DELTA}
FEW = 6
"""Most points that are fitted by least squares. A robust line goes through two of three points and misses the third.

Points are counted, not sizes: with one value a size, up to four sizes, a robust line is no better where 5 % of values
are outliers, and misses four times the largest size by 2 to 9 % more where none are. With three seeds it is 2.2 times
better with outliers and 8 to 18 % worse without, at three sizes already (60 simulated studies each)."""


class Scale(NamedTuple):
    """Geometric means: inside, log x and log y are about zero, where steps and bounds mean the same for all data."""

    x: Array
    y: float


def fit(form: str, x: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None) -> Fit:
    """The optimum of a form.

    x: (n,), or (n, 2) for the surface. At the boundary a coefficient is exactly 0, and its exponent 0 as well.

    Raises:
        ValueError: if x has too few distinct sizes, or something is not positive.
    """
    problem, scale = prepare(form, x, y, weights)
    best = optimum(form, problem)
    value = float(objective(problem, best)[0])
    params = dict(zip(FORMS[form].names, _raw(form, best, scale)[0].tolist(), strict=True))
    loss = LEAST_SQUARES if math.isinf(problem.delta) else HUBER
    return Fit(form=form, params=params, objective=value, n=len(problem.u), loss=loss)


def optimum(form: str, problem: FitProblem) -> Array:
    """Two rounds: from a grid of exponents, then from all around the best of the first.  # (1, p)

    The second is needed where points are few: there the first misses the lowest optimum in a fit of 60.
    """
    bounds = FORMS[form].bounds
    if len(problem.terms) == 1:
        # A line in the logarithms: convex, so that one start arrives.
        return lowest(problem, starts(problem, 1, rising=True), bounds)
    count = min(max(4000 // len(problem.u), 16), 128)
    coarse = lowest(problem, starts(problem, count, rising=False), bounds)
    away = np.random.default_rng(0).normal(0, 1, (count, coarse.shape[1])) * np.geomspace(0.01, 1, count)[:, None]
    vanished = np.where([name.isupper() for name in FORMS[form].names] & (coarse < VANISHING), NEVER, coarse)
    around = descend(problem, coarse + away, bounds)
    best = first_lowest(problem, np.concatenate([vanished, coarse, around])[None])
    return _or_without_floor(form, problem, best)


def _or_without_floor(form: str, problem: FitProblem, with_floor: Array) -> Array:
    """The power law instead of a curve with a floor where it is as low: a curve that rises has no floor.  # (R, p)"""
    if form != "offset":
        return with_floor
    part = problem._replace(terms=FORMS["power"].terms)
    line = lowest(part, starts(part, 1, rising=True), FORMS["power"].bounds)
    plain = np.concatenate([np.full((len(line), 1), NEVER), line], axis=1)
    return first_lowest(problem, np.stack([plain, with_floor], axis=1))


def floored(x: ArrayLike, y: ArrayLike, weights: ArrayLike) -> Array:
    """The least squares of log y - log(E + A x^-alpha) for every row of y, of few points and little noise.  # (R, 3)

    Fast, for simulations and bootstraps: a start from a grid, one descent. Huber's loss would gain nothing where each
    point is a mean over seeds with Student's noise.
    """
    problem, scale = prepare("offset", x, y, weights, LEAST_SQUARES)
    begin = starts(problem, 2, rising=False)
    with_floor = least_squares(problem, begin, FORMS["offset"].bounds, tolerance=1e-6)
    return _raw("offset", _or_without_floor("offset", problem, with_floor), scale)


def predict(form: str, params: Mapping[str, float] | ArrayLike, x: ArrayLike) -> Array:
    """ŷ at every x.

    params: by name, or rows (..., p) in the order of the form's names; the answer is (..., n).
    """
    names, terms = FORMS[form].names, FORMS[form].terms
    values = np.asarray([params[name] for name in names] if isinstance(params, Mapping) else params, dtype=float)
    points = _columns(form, x)
    total = np.zeros((*values.shape[:-1], len(points)))
    for place, column in places(terms):
        power = 1 if column is None else points[:, column] ** -values[..., place + 1, None]
        total = total + values[..., place, None] * power
    return total


def refit(form: str, x: ArrayLike, y: ArrayLike, weights: ArrayLike | None, start: Fit) -> Array:
    """The optima for W rows of weights, or of y, by the loss of a fit that is near to all of them.  # (W, p)"""
    problem, scale = prepare(form, x, y, weights, start.loss)
    begin = inner(start, scale)[None]
    rows = max(len(problem.target), len(problem.weights))
    others = max(min(240 // len(problem.u), 16) - 1, int(begin.min() <= NEVER))
    refitted = np.empty((rows, len(FORMS[form].names)))
    for first in range(0, rows, CHUNK):
        index = np.arange(first, min(first + CHUNK, rows))
        part = problem.rows(index)
        near = np.repeat(begin[None], len(index), axis=0)
        if others:
            near = np.concatenate([near, starts(part, others, rising=None not in part.terms)], axis=1)
        refitted[index] = _or_without_floor(form, part, lowest(part, near, FORMS[form].bounds))
    return _raw(form, refitted, scale)


def refusal(form: str, x: ArrayLike) -> str | None:
    """Why a form cannot be fitted to these sizes; None if it can. Seeds of one size are one size."""
    points = _columns(form, x)
    sizes = [len(np.unique(column)) for column in points.T]
    if form == "surface":
        pairs = len(np.unique(points, axis=0))
        if min(sizes) > 1 and abs(np.corrcoef(np.log(points.T))[0, 1]) > 1 - 1e-9:
            return "a surface needs x and d that vary separately, not d as a power of x"
        if min(sizes) < 3 or pairs < 6:
            return f"a surface needs 3 distinct x, 3 distinct d and 6 pairs, not {sizes[0]}, {sizes[1]} and {pairs}"
        return None
    least = {"power": 2, "offset": 4}[form]
    if sizes[0] < least:
        return f"it needs {least} distinct sizes, not {sizes[0]}"
    return None


def prepare(
    form: str, x: ArrayLike, y: ArrayLike, weights: ArrayLike | None, loss: str | None = None
) -> tuple[FitProblem, Scale]:
    """Logarithms about zero of what is to be fitted.

    loss: by default least squares up to `FEW` points, and Huber's of more. A point that stands twice is one.

    Raises:
        ValueError: if x has too few distinct sizes, or something is not positive.
    """
    points, values = _columns(form, x), np.atleast_2d(np.asarray(y, dtype=float))
    weight = np.ones((1, len(points))) if weights is None else np.atleast_2d(np.asarray(weights, dtype=float))
    for name, array in (("x", points), ("y", values)):
        if not (np.isfinite(array).all() and (array > 0).all()):
            raise ValueError(f"{name} must be positive and finite, not {array[~(array > 0) | ~np.isfinite(array)][0]}")
    if values.shape[1] != len(points) or weight.shape[1] != len(points) or not (weight >= 0).all():
        raise ValueError(f"y and weights >= 0 must have {len(points)} values a row, not {values.shape}, {weight.shape}")
    reason = refusal(form, points[weight.any(axis=0)])
    if reason:
        raise ValueError(reason)
    scale = Scale(np.log(points).mean(axis=0), float(np.log(values).mean()))
    u, target = np.log(points) - scale.x, np.log(values) - scale.y
    if loss is None:
        there = np.concatenate([u, target.T], axis=1)[weight.any(axis=0)]
        loss = LEAST_SQUARES if len(np.unique(there, axis=0)) <= FEW else HUBER
    return FitProblem(terms=FORMS[form].terms, u=u, target=target, weights=weight, delta=DELTAS[loss]), scale


def _columns(form: str, x: ArrayLike) -> Array:
    points = np.asarray(x, dtype=float)
    points = points[:, None] if points.ndim == 1 else points
    if points.shape[1] != FORMS[form].columns:
        raise ValueError(f"x of the form {form} must have {FORMS[form].columns} columns, not {points.shape[1]}")
    return points


def _raw(form: str, inner: Array, scale: Scale) -> Array:
    """Parameters in the units of x and y."""
    raw = inner.copy()
    for place, column in places(FORMS[form].terms):
        shift = scale.y if column is None else scale.y + inner[:, place + 1] * scale.x[column]
        raw[:, place] = np.where(inner[:, place] <= SMALL, 0, np.exp(inner[:, place] + shift))
        if column is not None:
            raw[:, place + 1] = np.where(inner[:, place] <= SMALL, 0, inner[:, place + 1])
    return raw


def inner(fitted: Fit, scale: Scale) -> Array:
    """The parameters of a fit as its problem has them.  # (p,)"""
    raw = fitted.row
    for place, column in places(FORMS[fitted.form].terms):
        shift = scale.y if column is None else scale.y + raw[place + 1] * scale.x[column]
        raw[place] = math.log(raw[place]) - shift if raw[place] > 0 else NEVER
    return raw

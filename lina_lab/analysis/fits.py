"""y = A x^-alpha, y = E + A x^-alpha and y = E + A x^-alpha + B d^-beta, fitted to sizes and seeds.

The loss is the sum of Huber(1e-3) over residuals of log y. The method is variable projection: only exponents are searched,
on a grid, where the coefficients are a non-negative linear least squares; the best starts are refined together by the
Newton steps of `optimum`. Of many starts of an ordinary minimiser few arrive, so that one start is never enough.
Rows with a weight of 0 are not there, whole weights are repetitions: a bootstrap is rows of weights.
"""

import itertools
import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lina_lab.analysis.optimum import CHUNK, NEVER, STEEPEST, Array, Bounds, Problem, descend, objective, places, settle

STARTS = 16


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
    """Sum of Huber(1e-3) of log y - log ŷ."""
    n: int

    @property
    def row(self) -> Array:
        return np.array(list(self.params.values()))


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
    found = best(form, problem, starts(form, problem))
    value = float(objective(problem, found)[0])
    return Fit(
        form, dict(zip(FORMS[form].names, _raw(form, found, scale)[0].tolist(), strict=True)), value, len(problem.u)
    )


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
    """The optima for W rows of weights, or of y, from a fit that is near to all of them.  # (W, p)"""
    problem, scale = prepare(form, x, y, weights)
    begin = _inner(form, start.row, scale)[None]
    rows = max(len(problem.target), len(problem.weights))
    found = np.empty((rows, len(FORMS[form].names)))
    for first in range(0, rows, CHUNK):
        index = np.arange(first, min(first + CHUNK, rows))
        part = problem.rows(index)
        found[index] = settle(part, np.repeat(begin, len(index), axis=0), FORMS[form].bounds)
    return _raw(form, found, scale)


def refusal(form: str, x: ArrayLike) -> str | None:
    """Why a form cannot be fitted to these sizes; None if it can. Seeds of one size are one size."""
    points = _columns(form, x)
    sizes = [len(np.unique(column)) for column in points.T]
    if form == "surface":
        pairs = len(np.unique(points, axis=0))
        if min(sizes) < 3 or pairs < 6:
            return f"a surface needs 3 distinct x, 3 distinct d and 6 pairs of them, not {sizes[0]}, {sizes[1]} and {pairs}"
        if abs(np.corrcoef(np.log(points.T))[0, 1]) > 1 - 1e-9:
            return "a surface needs x and d that vary separately, not d as a power of x"
        return None
    least = {"power": 2, "offset": 4}[form]
    if sizes[0] < least:
        return f"the form {form} needs {least} distinct sizes, not {sizes[0]}"
    return None


def prepare(form: str, x: ArrayLike, y: ArrayLike, weights: ArrayLike | None) -> tuple[Problem, Scale]:
    """Logarithms about zero of what is to be fitted.

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
    return Problem(FORMS[form].terms, np.log(points) - scale.x, np.log(values) - scale.y, weight), scale


def starts(form: str, problem: Problem) -> Array:
    """The best points of a grid of exponents, with the coefficients of a non-negative least squares.  # (S, p)

    Relative residuals (ŷ - y) / y are linear in the coefficients and nearly those of log y.
    """
    terms = FORMS[form].terms
    span = [np.ptp(problem.u[:, c]) for c in range(FORMS[form].columns)]
    signs = (1,) if None in terms else (-1, 1)
    grids = [[s * g / width for s in signs for g in np.geomspace(0.05, 12, 14)] for width in span]
    found, values = [], []
    for exponents in itertools.product(*grids):
        basis = np.stack(
            [np.ones(len(problem.u)) if c is None else np.exp(-exponents[c] * problem.u[:, c]) for c in terms]
        )
        for support in _supports(len(terms)):
            root = np.sqrt(problem.weights[0])
            columns = (basis[list(support)] * np.exp(-problem.target[0]) * root).T
            coefficients, *_ = np.linalg.lstsq(columns, root, rcond=None)
            if (coefficients > 0).all():
                found.append(_start(terms, exponents, dict(zip(support, coefficients, strict=True))))
                values.append(((columns @ coefficients - root) ** 2).sum())
    order = np.argsort(values)[:STARTS]
    return np.array(found)[order]


def _supports(count: int) -> list[tuple[int, ...]]:
    return [s for size in range(1, count + 1) for s in itertools.combinations(range(count), size)]


def _start(terms: tuple[int | None, ...], exponents: tuple[float, ...], coefficients: dict[int, float]) -> list[float]:
    row: list[float] = []
    for index, column in enumerate(terms):
        row.append(math.log(coefficients[index]) if index in coefficients else NEVER)
        if column is not None:
            row.append(exponents[column])
    return row


def best(form: str, problem: Problem, begin: Array) -> Array:
    """The lowest of all optima reached.  # (1, p)"""
    bounds = FORMS[form].bounds
    found = settle(problem, descend(problem, begin, bounds, math.inf), bounds)
    return found[[int(np.argmin(objective(problem, found)))]]


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
        raw[:, place] = np.where(inner[:, place] <= NEVER / 2, 0, np.exp(inner[:, place] + shift))
    return raw


def _inner(form: str, raw: Array, scale: Scale) -> Array:
    inner = raw.copy()
    for place, column in places(FORMS[form].terms):
        shift = scale.y if column is None else scale.y + raw[place + 1] * scale.x[column]
        inner[place] = math.log(raw[place]) - shift if raw[place] > 0 else NEVER
    return inner

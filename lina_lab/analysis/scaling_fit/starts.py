"""Starting points and the choice among optima: a grid of exponents, then many descents at once.

Robust objectives of few points have many local optima, so that the number of starts grows as the points become fewer;
they then cost the same. Shapes: R rows, S starts, n points, G points of the grid, T terms, p parameters.
"""

import itertools
import math

import numpy as np

from lina_lab.analysis.scaling_fit.solver import LEVELS, NEVER, Array, Bounds, FitProblem, descend, objective, settle

FINE = {1: 48, 2: 14}
"""Exponents a column of x, by the number of columns."""
STARTS = 8
"""Descents of the squares, which have few local optima."""
FEW = 60
"""Points up to which the optimum may be a plateau, as with two seeds a size: a path from least squares decides."""


def starts(problem: FitProblem, count: int, *, rising: bool) -> Array:
    """Exponents of a grid with coefficients by non-negative least squares, the best of every row.  # (R, S, p)

    Relative residuals (ŷ - y) / y are linear in the coefficients and nearly those of log y. Rows of weights enter as
    one matrix product, since the grid is the same for all.
    """
    grid = _grid(problem, rising=rising)
    basis = np.stack(
        [
            np.ones((len(grid), len(problem.u))) if c is None else np.exp(-grid[:, [c]] * problem.u[:, c])
            for c in problem.terms
        ]
    )  # (T, G, n)
    inverse = np.exp(-problem.target) * np.ones_like(problem.weights)
    weights = problem.weights * np.ones_like(problem.target)
    moment = np.stack([(weights * inverse) @ b.T for b in basis], axis=-1)  # (R, G, T)
    gram = np.stack([np.stack([(weights * inverse**2) @ (a * b).T for a in basis], axis=-1) for b in basis], axis=-1)
    parameters, values = [], []
    for support in _supports(len(problem.terms)):
        kept = np.array(support)
        part, right = gram[..., kept[:, None], kept], moment[..., kept]
        ridge = 1e-12 * np.trace(part, axis1=-2, axis2=-1)[..., None, None] * np.eye(len(kept))
        coefficients = np.linalg.solve(part + ridge, right[..., None])[..., 0]
        parameters.append(
            _parameters(problem.terms, grid, dict(zip(support, np.moveaxis(coefficients, -1, 0), strict=True)))
        )
        values.append(np.where((coefficients > 0).all(axis=-1), -(coefficients * right).sum(axis=-1), np.inf))
    order = np.argsort(np.concatenate(values, axis=1), axis=1, kind="stable")[:, :count]
    return np.take_along_axis(np.concatenate(parameters, axis=1), order[..., None], axis=1)


def _grid(problem: FitProblem, *, rising: bool) -> Array:
    """Exponents by which a term falls over all sizes by factors of 1.05 to e^12, or rises.  # (G, columns)"""
    spans = np.ptp(problem.u, axis=0)
    signs = (-1, 1) if rising else (1,)
    axes = [np.ravel([sign * np.geomspace(0.05, 12, FINE[len(spans)]) / span for sign in signs]) for span in spans]
    return np.stack([axis.ravel() for axis in np.meshgrid(*axes)], axis=1)


def _supports(count: int) -> list[tuple[int, ...]]:
    """Which terms are not 0: all choices but none."""
    return [kept for size in range(1, count + 1) for kept in itertools.combinations(range(count), size)]


def _parameters(terms: tuple[int | None, ...], grid: Array, coefficients: dict[int, Array]) -> Array:
    rows, points = next(iter(coefficients.values())).shape
    columns = []
    for term, column in enumerate(terms):
        coefficient = coefficients.get(term)
        columns.append(
            np.full((rows, points), NEVER) if coefficient is None else np.log(np.maximum(coefficient, 1e-300))
        )
        if column is not None:
            columns.append(np.broadcast_to(grid[:, column], (rows, points)))
    return np.stack(columns, axis=-1)


def lowest(problem: FitProblem, begin: Array, bounds: Bounds) -> Array:
    """The lowest optimum that any start of a row leads to.  # (R, p)"""
    if math.isinf(problem.delta):
        return least_squares(problem, begin, bounds)
    rows, count, _ = begin.shape
    each = problem.rows(np.repeat(np.arange(rows), count))
    settled = settle(each, begin.reshape(rows * count, -1), bounds, (10 * LEVELS[-1], LEVELS[-1])).reshape(begin.shape)
    if len(problem.u) <= FEW:
        path = settle(problem, least_squares(problem, begin[:, :STARTS], bounds), bounds)
        settled = np.concatenate([path[:, None], settled], axis=1)
    return first_lowest(problem, settled)


def least_squares(problem: FitProblem, begin: Array, bounds: Bounds, tolerance: float = 1e-10) -> Array:
    """The optimum of the squares of log residuals.  # (R, p)"""
    rows, count, _ = begin.shape
    every = np.repeat(np.arange(rows), count)
    flat = begin.reshape(rows * count, -1)
    squares = problem._replace(delta=math.inf)
    settled = descend(squares.rows(every), flat, bounds.rows(every), tolerance=tolerance).reshape(begin.shape)
    return first_lowest(squares, settled)


def first_lowest(problem: FitProblem, optima: Array) -> Array:
    """The lowest optimum of every row; the first of those that differ by rounding alone."""
    values = np.stack([objective(problem, optima[:, i]) for i in range(optima.shape[1])], axis=1)
    equal = values <= values.min(axis=1, keepdims=True) * (1 + 1e-9) + 1e-28
    return optima[np.arange(len(optima)), equal.argmax(axis=1)]

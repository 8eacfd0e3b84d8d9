"""log ŷ = log Σ_k exp(c_k - e_k u_k) fitted to many rows at once: a start by variable projection, then damped Newton.

Every form is a sum of terms, each exp(c - e u) with u = log x, or the constant exp(c): in the logarithms c the model is a
log-sum-exp of affine functions, so that gradient and Hessian are closed forms of each term's share of ŷ.
Shapes: R rows (starts, resamples, fixed values), n points, T terms, p parameters in the order of the terms.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

DELTA = 1e-3
"""Residuals of log y below this count squared, those above linearly: a robust fit, close to least absolute errors."""
LEVELS = (0.1, 0.03, 0.01, 0.003, DELTA)
"""On the way from least squares: between its kinks the last objective is nearly flat, and Newton's step means little."""
NEVER = -40.0
"""log of a coefficient that counts as 0, in units of the geometric mean of y."""
STEEPEST = 10.0
"""Where E >= 0 is fitted, exponents end here: beyond, only the smallest size would be above the floor."""
CHUNK = 250
"""Rows at a time: their arrays stay in the processor's cache."""


class Problem(NamedTuple):
    """What is fitted: terms over points, with one row of targets and weights, or one for every row."""

    terms: tuple[int | None, ...]
    """The column of `u` that a term falls with; None for the constant."""
    u: Array
    """log x, about zero in every column.  # (n, columns)"""
    target: Array
    """log y.  # (R or 1, n)"""
    weights: Array
    """# (R or 1, n)"""

    def rows(self, index: NDArray[np.intp]) -> "Problem":
        """The problem of some rows alone."""
        return self._replace(
            target=self.target if len(self.target) == 1 else self.target[index],
            weights=self.weights if len(self.weights) == 1 else self.weights[index],
        )


class Bounds(NamedTuple):
    """Lowest and highest value of every parameter, of all rows or of each; equal where it is held fixed."""

    low: Array
    """# (R or 1, p)"""
    high: Array

    def rows(self, index: NDArray[np.intp]) -> "Bounds":
        """The bounds of some rows alone."""
        return Bounds(*(side if len(side) == 1 else side[index] for side in self))


def places(terms: tuple[int | None, ...]) -> Iterator[tuple[int, int | None]]:
    """Where each term's coefficient stands in the parameters (its exponent follows), and the column it falls with."""
    place = 0
    for column in terms:
        yield place, column
        place += 1 if column is None else 2


def huber(residuals: Array, delta: float) -> Array:
    """r²/2 where |r| <= delta, else delta (|r| - delta/2)."""
    inside = np.minimum(np.abs(residuals), delta)
    return inside * (np.abs(residuals) - inside / 2)


def log_terms(problem: Problem, parameters: Array) -> tuple[list[Array], Array]:
    """Logarithm of every term and of their sum.  # T of (R, n), (R, n)"""
    logs = [
        parameters[:, place, None]
        - (0 if column is None else parameters[:, place + 1, None] * problem.u[:, column])
        + np.zeros(len(problem.u))
        for place, column in places(problem.terms)
    ]
    if len(logs) == 1:
        return logs, logs[0]
    top = np.maximum.reduce(logs)
    return logs, top + np.log(sum(np.exp(log - top) for log in logs))


def objective(problem: Problem, parameters: Array, delta: float = DELTA) -> Array:
    """Σ w huber(log y - log ŷ) of every row.  # (R,)"""
    _, total = log_terms(problem, parameters)
    return (problem.weights * huber(problem.target - total, delta)).sum(axis=1)


def _slopes(problem: Problem, parameters: Array, delta: float) -> tuple[Array, Array]:
    """Gradient and Hessian of the objective in closed form.  # (R, p), (R, p, p)

    With the share s_k of a term in ŷ, d log ŷ = Σ s_k d z_k, and the second derivative of log ŷ is
    Σ s_k dz_k dz_k' - (Σ s_k dz_k)(Σ s_k dz_k)'.
    """
    logs, total = log_terms(problem, parameters)
    residuals = problem.target - total
    pull = problem.weights * np.clip(residuals, -delta, delta)
    bend = problem.weights * (np.abs(residuals) <= delta) + pull
    count = parameters.shape[1]
    slopes = np.empty((len(parameters), count, len(problem.u)))
    curvature = np.zeros((len(parameters), count, count))
    for log, (place, column) in zip(logs, places(problem.terms), strict=True):
        share = slopes[:, place]
        np.exp(log - total, out=share)
        pulled = pull * share
        if column is None:
            curvature[:, place, place] = pulled.sum(axis=1)
            continue
        u = problem.u[:, column]
        np.multiply(share, -u, out=slopes[:, place + 1])
        moments = pulled @ np.stack([np.ones_like(u), -u, u * u], axis=1)
        curvature[:, place, place] = moments[:, 0]
        curvature[:, place, place + 1] = curvature[:, place + 1, place] = moments[:, 1]
        curvature[:, place + 1, place + 1] = moments[:, 2]
    gradient = -(slopes @ pull[:, :, None])[:, :, 0]
    return gradient, (slopes * bend[:, None]) @ slopes.transpose(0, 2, 1) - curvature


def descend(
    problem: Problem, start: Array, bounds: Bounds, delta: float, steps: int = 40, tolerance: float = 1e-10
) -> Array:
    """Newton's method on every row, damped until the objective falls, with parameters kept within bounds.

    A parameter at a bound that wants to leave is held there for the step.
    """
    found = np.clip(start, bounds.low, bounds.high)
    value = objective(problem, found, delta)
    damping = np.full(len(found), 1e-3)
    going = np.arange(len(found))
    for _ in range(steps):
        part, limits, at = problem.rows(going), bounds.rows(going), found[going]
        step = _step(part, at, limits, delta, damping[going])
        trial = np.clip(at + step, limits.low, limits.high)
        reached = objective(part, trial, delta)
        before = value[going]
        better = reached < before
        found[going[better]], value[going[better]] = trial[better], reached[better]
        damping[going] = np.where(better, damping[going] / 10, damping[going] * 8)
        small = np.abs(trial - at).max(axis=1) < tolerance
        still = better & (before - reached <= 1e-13 * before)
        going = going[~(small | still | (damping[going] > 1e8))]
        if not len(going):
            break
    return found


def _step(problem: Problem, at: Array, bounds: Bounds, delta: float, damping: Array) -> Array:
    gradient, hessian = _slopes(problem, at, delta)
    held = ((at <= bounds.low) & (gradient > 0)) | ((at >= bounds.high) & (gradient < 0)) | (bounds.low == bounds.high)
    gradient = np.where(held, 0, gradient)
    hessian = np.where(held[:, :, None] | held[:, None, :], 0, hessian)
    diagonal = np.einsum("rii->ri", hessian)
    scale = np.maximum(np.abs(diagonal), 1e-3 * np.abs(diagonal).max(axis=1, keepdims=True))
    diagonal += damping[:, None] * scale + np.where(held, 1, 1e-12)
    step = -np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
    uphill = (step * gradient).sum(axis=1) > 0
    step[uphill] = -gradient[uphill] / (scale[uphill] * (1 + damping[uphill, None]) + 1e-12)
    return np.clip(step, -3, 3)


def settle(problem: Problem, start: Array, bounds: Bounds, levels: tuple[float, ...] = LEVELS) -> Array:
    """Follow the optimum from one delta to the next smaller one.  # (R, p)"""
    for delta in levels:
        start = descend(problem, start, bounds, delta)
    return start

"""log ŷ = log Σ_k exp(c_k - e_k u_k) fitted to many rows at once: a start by variable projection, then damped Newton.

Every form is a sum of terms, each exp(c - e u) with u = log x, or the constant exp(c): in the logarithms c the model is
a log-sum-exp of affine functions, so that gradient and Hessian are closed forms of each term's share of ŷ.
Shapes: R rows (starts, resamples, fixed values), n points, T terms, p parameters in the order of the terms.
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

DELTA = 1e-3
"""Residuals of log y below this count squared, those above linearly: a robust fit, close to least absolute errors."""
LEVELS = (0.1, 0.03, 0.01, 0.003, DELTA)
"""Deltas on the way from least squares to `DELTA`, whose objective has kinks that mislead a Newton step."""
NEVER = -40.0
"""log of a coefficient that counts as 0, in units of the geometric mean of y."""
STEEPEST = 10.0
"""Where E >= 0 is fitted, exponents end here: beyond, only the smallest size would be above the floor."""
CHUNK = 250
"""Rows at a time: their arrays stay in the processor's cache."""


class FitProblem(NamedTuple):
    """A batch of fits: common terms and points; targets and weights are common or one row a fit."""

    terms: tuple[int | None, ...]
    """The column of `u` that a term falls with; None for the constant."""
    u: Array
    """log x, about zero in every column.  # (n, columns)"""
    target: Array
    """log y.  # (R or 1, n)"""
    weights: Array
    """# (R or 1, n)"""
    delta: float = DELTA
    """Of the Huber loss; infinite for least squares."""

    def rows(self, index: NDArray[np.intp]) -> "FitProblem":
        """The problem of some rows alone."""
        return self._replace(
            target=self.target if len(self.target) == 1 else self.target[index],
            weights=self.weights if len(self.weights) == 1 else self.weights[index],
        )

    def local(self, parameters: Array) -> "Local":
        """Value and derivatives in closed form.

        With the share s_k of a term in ŷ, d log ŷ = Σ s_k dz_k, and the second derivative of log ŷ is
        Σ s_k dz_k dz_k' - (Σ s_k dz_k)(Σ s_k dz_k)'.
        """
        shares, curve = log_curve(self, parameters)
        residuals = self.target - curve
        size = np.abs(residuals)
        inside = np.minimum(size, self.delta)
        value = (self.weights * inside * (size - inside / 2)).sum(axis=1)
        touching = self.weights * (inside / np.maximum(size, 1e-300))
        pull = touching * residuals
        bend = self.weights * (size <= self.delta) + pull
        slopes = np.empty((len(parameters), parameters.shape[1], len(self.u)))
        curvature = np.zeros((len(parameters), parameters.shape[1], parameters.shape[1]))
        for share, (place, column) in zip(shares, places(self.terms), strict=True):
            slopes[:, place] = share
            pulled = pull * share
            if column is None:
                curvature[:, place, place] = pulled.sum(axis=1)
                continue
            u = self.u[:, column]
            np.multiply(share, -u, out=slopes[:, place + 1])
            moments = pulled @ np.stack([np.ones_like(u), -u, u * u], axis=1)
            curvature[:, place, place] = moments[:, 0]
            curvature[:, place, place + 1] = curvature[:, place + 1, place] = moments[:, 1]
            curvature[:, place + 1, place + 1] = moments[:, 2]
        across = slopes.transpose(0, 2, 1)
        gradient = -(slopes @ pull[:, :, None])[:, :, 0]
        return Local(
            value=value,
            gradient=gradient,
            hessian=(slopes * bend[:, None]) @ across - curvature,
            majorizer=(slopes * touching[:, None]) @ across,
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


def log_curve(problem: FitProblem, parameters: Array) -> tuple[list[Array], Array]:
    """Every term's share of ŷ, and log ŷ.  # T of (R, n), (R, n)"""
    logs = [
        parameters[:, place, None]
        if column is None
        else parameters[:, place, None] - parameters[:, place + 1, None] * problem.u[:, column]
        for place, column in places(problem.terms)
    ]
    if len(logs) == 1:
        return [np.ones_like(logs[0])], logs[0]
    terms = [np.exp(log) for log in logs]
    total = sum(terms[1:], terms[0])
    return [term / total for term in terms], np.log(total)


def objective(problem: FitProblem, parameters: Array) -> Array:
    """Σ w huber(log y - log ŷ) of every row.  # (R,)"""
    _, curve = log_curve(problem, parameters)
    return (problem.weights * huber(problem.target - curve, problem.delta)).sum(axis=1)


class Local(NamedTuple):
    """The objective about one set of parameters in every row."""

    value: Array
    """# (R,)"""
    gradient: Array
    """# (R, p)"""
    hessian: Array
    """# (R, p, p)"""
    majorizer: Array
    """Hessian if each Huber loss were the parabola that touches it at its residual and lies above: a step by it cannot
    go too far, where Newton's, which sees the few residuals below delta alone, often does.  # (R, p, p)"""

    def keep(self, index: NDArray[np.intp], other: "Local", rows: NDArray[np.bool_]) -> None:
        """Take some rows of another."""
        for mine, theirs in zip(self, other, strict=True):
            mine[index[rows]] = theirs[rows]


class Problem(Protocol):
    """A batch of objectives that `descend` can follow."""

    def rows(self, index: NDArray[np.intp]) -> Self:
        """The problem of some rows alone."""

    def local(self, parameters: Array) -> Local:
        """Value and derivatives at one set of parameters in every row."""


def descend(problem: Problem, start: Array, bounds: Bounds, steps: int = 60, tolerance: float = 1e-10) -> Array:
    """Newton's method on every row, damped until the objective falls, with parameters kept within bounds.

    A parameter at a bound that wants to leave is held there for the step.
    """
    lowest = np.clip(start, bounds.low, bounds.high)
    about = problem.local(lowest)
    damping = np.full(len(lowest), 1e-2)
    going = np.arange(len(lowest))
    for _ in range(steps):
        limits, at = bounds.rows(going), lowest[going]
        trial = np.clip(
            at + _step(Local(*(a[going] for a in about)), at, limits, damping[going]), limits.low, limits.high
        )
        reached = problem.rows(going).local(trial)
        before = about.value[going]
        better = reached.value < before
        lowest[going[better]] = trial[better]
        about.keep(going, reached, better)
        small = (np.abs(trial - at).max(axis=1) < tolerance) | (
            better & (before - reached.value <= 1e-3 * tolerance * before)
        )
        done = (small & (better | (damping[going] > 1))) | (damping[going] > 1e6)
        damping[going] = np.where(better, damping[going] / 8, np.maximum(damping[going] * 8, 0.03))
        going = going[~done]
        if not len(going):
            break
    return lowest


def _step(about: Local, at: Array, bounds: Bounds, damping: Array) -> Array:
    gradient = about.gradient
    held = ((at <= bounds.low) & (gradient > 0)) | ((at >= bounds.high) & (gradient < 0)) | (bounds.low == bounds.high)
    gradient = np.where(held, 0, gradient)
    hessian = about.hessian + damping[:, None, None] * about.majorizer
    hessian = np.where(held[:, :, None] | held[:, None, :], 0, hessian)
    diagonal = np.einsum("rii->ri", hessian)
    scale = np.abs(diagonal).max(axis=1, keepdims=True)
    diagonal += np.where(held, 1, 1e-10 * scale + 1e-300)
    step = -np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
    uphill = (step * gradient).sum(axis=1) > 0
    step[uphill] = -gradient[uphill] / scale[uphill]
    return np.clip(step, -3, 3)


def settle(
    problem: FitProblem, start: Array, bounds: Bounds, levels: tuple[float, ...] = LEVELS, tolerance: float = 1e-10
) -> Array:
    """Follow the optimum from one delta to the next smaller one.  # (R, p)"""
    for delta in levels:
        start = descend(problem._replace(delta=delta), start, bounds, tolerance=tolerance)
    return start

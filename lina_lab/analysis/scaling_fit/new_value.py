"""The interval of one more value at a size that was not measured: of a new cell, whose seed scatters about the curve.

With z at x* beside the n values that there are, the sum of squares of log residuals rises by

    SSE(z) - SSE = (log z - p)^2 / (1 + h),    p the curve at x*, h the leverage of x*,

and the interval holds every z for which that is at most s^2 t^2. For the power law, a line in the logarithms, this is
the t interval of least squares for a new value. For a curve with a floor it is the union over all floors of such
intervals, each narrower by what that floor fits worse: no floor is chosen. Where few sizes leave the floor open, it
reaches from the power law, the lowest of these curves beyond the last size, to no gain at all.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from lina_lab.analysis.interval import Interval, t_interval
from lina_lab.analysis.scale import RATIO
from lina_lab.analysis.scaling_fit.solver import STEEPEST, Array

FLOORS = 32
"""Floors that are tried at once: over all that the data may allow, and about the lowest and the highest of these."""
LARGEST = 1 - 1e-9
"""Share of a floor; at 1 there is no curve."""
ROUNDS, ACROSS = 8, 17
"""Of the search for an exponent, and the values in each: the range shrinks to an eighth a round."""
MOST_ZOOMS = 8
"""Searches for the floors that the data allow, each in the range that the one before has left; 3 but for tiny noise."""
EXACT = 1e-24
"""Of a sum of squares: values that a curve meets exactly have the rounding of their logarithms."""


class Sizes(NamedTuple):
    """Values by size: all that least squares needs of them."""

    u: Array
    """(k,): log x above that of the smallest, rising."""
    mean: Array
    """(k,): of log y."""
    number: Array
    """(k,)"""
    within: float
    """Sum of squares about the means."""
    freedom: int
    """n - 2 with two sizes, otherwise n - 3: as many as a curve with a floor leaves."""


def new_value(form: str, x: ArrayLike, y: ArrayLike, at: float, level: float = 0.95) -> Interval | None:
    """One more y at x = at, beyond or between the sizes; None where the values leave no degree of freedom.

    form: "power", y = A x^-alpha; or "offset", y = E + A x^-alpha with any E >= 0, a power law that may rise among
    them. The mean of the latter is that over floors, weighted by likelihood.

    Raises:
        ValueError: if there are not two sizes, or something is not positive.
    """
    sizes, first = by_size(x, y)
    u = math.log(at) - first
    if form == "power":
        return _on_line(sizes, u, level)
    return _with_any_floor(sizes, u, level)


def by_size(x: ArrayLike, y: ArrayLike) -> tuple[Sizes, float]:
    """The values by size, and log x of the smallest."""
    points, values = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if not (np.isfinite(points).all() and np.isfinite(values).all() and (points > 0).all() and (values > 0).all()):
        raise ValueError("x and y must be positive and finite")
    u, z = np.log(points), np.log(values)
    known, place = np.unique(u, return_inverse=True)
    if len(known) < 2:
        raise ValueError(f"it needs 2 distinct sizes, not {len(known)}")
    count = np.bincount(place).astype(float)
    mean = np.bincount(place, z) / count
    within = float(((z - mean[place]) ** 2).sum())
    freedom = len(z) - min(len(known), 3)
    return Sizes(u=known - known[0], mean=mean, number=count, within=within, freedom=freedom), float(known[0])


def _on_line(sizes: Sizes, u: float, level: float) -> Interval | None:
    total = sizes.number.sum()
    curves = least_squares(sizes, np.zeros(1), u, rising=True)
    freedom = int(total) - 2
    if freedom < 1:
        return None
    error = math.sqrt(max(float(curves.squares[0]), EXACT) / freedom * (1 + float(curves.leverage[0])))
    return RATIO.interval(t_interval(float(curves.predicted[0]), error, freedom, level))


def _with_any_floor(sizes: Sizes, u: float, level: float) -> Interval | None:
    if sizes.freedom < 1:
        return None
    curves, least, spare, _ = allowed_floors(sizes, u, level)
    kept = spare >= 0
    half = np.sqrt(np.maximum(spare, 0) * (1 + curves.leverage))
    weights = np.exp(-(curves.squares - least) * sizes.freedom / least / 2)
    mean = float((weights * curves.predicted).sum() / weights.sum())
    ends = (float((curves.predicted - half)[kept].min()), float((curves.predicted + half)[kept].max()))
    return RATIO.interval(Interval(mean, *ends))


class Allowed(NamedTuple):
    """The floors that the values of a design allow, among others."""

    curves: "Curves"
    """The first is the power law, which may rise."""
    least: float
    """The lowest sum of squares."""
    spare: Array
    """(F,): by how much each may still rise; below 0 for floors that are not allowed."""
    shares: tuple[float, float]
    """The least and the largest floor that is allowed, as shares of the curve at the smallest size."""


def allowed_floors(sizes: Sizes, u: float, level: float) -> Allowed:
    """Curves of floors close to each other from the least to the largest that is allowed, with their y at u."""
    line = least_squares(sizes, np.zeros(1), u, rising=True)
    low, high, step = 0.0, 1.0, 0.5
    for zoom in range(MOST_ZOOMS):
        both = np.linspace(0, 2 * step, FLOORS)
        shares = np.unique(np.concatenate([np.linspace(low, high, FLOORS), low + both, high - both]).clip(0, LARGEST))
        curves = joined(line, least_squares(sizes, shares, u, rising=False))
        least = max(float(curves.squares.min()), EXACT)
        allowed = least / sizes.freedom * float(stats.t.ppf(0.5 + level / 2, sizes.freedom)) ** 2
        spare = least + allowed - curves.squares
        at = np.flatnonzero(spare[1:] >= 0)
        if zoom >= 2 and len(at) >= FLOORS:
            break
        at = at if len(at) else np.array([int(curves.squares[1:].argmin())])
        near = shares[[max(at[0] - 1, 0), at[0], at[-1], min(at[-1] + 1, len(shares) - 1)]]
        low, high, step = float(near[0]), float(near[3]), float(max(near[1] - near[0], near[3] - near[2]))
    ends = (float(shares[at[0]]), float(shares[at[-1]]))
    return Allowed(curves=curves, least=least, spare=spare, shares=ends)


class Curves(NamedTuple):
    """The curve of least squares for each of F floors."""

    squares: Array
    """(F,): sums of squares of log residuals."""
    predicted: Array
    """(F,): log y at the new size."""
    leverage: Array
    """(F,): of the new size, with the floor's share held."""
    alpha: Array
    """(F,): exponents."""


def joined(*curves: Curves) -> Curves:
    return Curves(*map(np.concatenate, zip(*curves, strict=True)))


def least_squares(sizes: Sizes, shares: Array, u: float, *, rising: bool) -> Curves:
    """For each share that the floor has of the curve at the smallest size, the exponent and height that fit best.

    log y = c + g(u), g(u) = log(share + (1 - share) e^(-alpha u)): c is a mean, so that alpha alone is searched.
    """
    weight = sizes.number / sizes.number.sum()
    low = np.full(len(shares), -STEEPEST if rising else 0.0)
    high = np.full(len(shares), STEEPEST)
    for _ in range(ROUNDS):
        alpha = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, ACROSS)  # (F, a)
        rest = sizes.mean - log_curve(shares[:, None, None], alpha[:, :, None], sizes.u)  # (F, a, k)
        centred = rest - (rest @ weight)[..., None]
        best = ((centred**2) @ sizes.number).argmin(axis=1)
        step = (high - low) / (ACROSS - 1)
        middle = alpha[np.arange(len(shares)), best]
        low, high = np.maximum(low, middle - step), np.minimum(high, middle + step)
    exponent = middle[:, None]
    rest = sizes.mean - log_curve(shares[:, None], exponent, sizes.u)  # (F, k)
    height = rest @ weight
    squares = ((rest - height[:, None]) ** 2) @ sizes.number + sizes.within
    slopes, slope = log_slope(shares[:, None], exponent, sizes.u), log_slope(shares, middle, np.array(u))
    about = slopes - (slopes @ weight)[:, None]
    spread = np.maximum((about**2) @ sizes.number, np.finfo(float).tiny)
    leverage = 1 / sizes.number.sum() + (slope - slopes @ weight) ** 2 / spread
    predicted = height + log_curve(shares, middle, np.array(u))
    return Curves(squares=squares, predicted=predicted, leverage=leverage, alpha=middle)


def log_curve(share: Array, alpha: Array, u: Array) -> Array:
    return np.log(share + (1 - share) * np.exp(-alpha * u))


def log_slope(share: Array, alpha: Array, u: Array) -> Array:
    """Of the curve by alpha."""
    falling = (1 - share) * np.exp(-alpha * u)
    return -u * falling / (share + falling)

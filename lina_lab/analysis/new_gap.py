"""The interval of yA / yB at a size that was not measured, for the mean over seeds that will be.

Each design has a curve with a floor of its own, any that its values allow: see `scaling_fit.new_value`. Pairs share
their seed, so that their difference z = log yA - log yB scatters far less than either. What of log yA does not go with
z scatters by itself: both together are fitted by weighted least squares, and the interval is the union over pairs of
floors, as it is there for one design.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import stats

from lina_lab.analysis.gap_model import line
from lina_lab.analysis.interval import Interval, t_interval
from lina_lab.analysis.match_cells import Array, Pairs
from lina_lab.analysis.scale import RATIO
from lina_lab.analysis.scaling_fit.new_value import (
    Sizes,
    allowed_floors,
    by_size,
    least_squares,
    log_curve,
    log_slope,
)
from lina_lab.analysis.scaling_fit.solver import STEEPEST
from lina_lab.analysis.spread import within

GRID = 24
"""Floors of each design that are tried at once, beside none."""
ZOOMS = 3
STEPS = 4
"""Of Gauss and Newton from each design's own exponents to those of both together."""
TINY = 1e-24


def new_gap(form: str, pairs: Pairs, at: float, seeds: int, level: float = 0.95) -> Interval | None:
    """The geometric mean over so many new seeds of yA / yB at x = at; None where no spread is known.

    form: "power" for two power laws, "offset" for two curves with any floors.

    Raises:
        ValueError: if there are not two sizes.
    """
    return _on_line(pairs, at, seeds, level) if form == "power" else _with_any_floors(pairs, at, seeds, level)


def _on_line(pairs: Pairs, at: float, seeds: int, level: float) -> Interval | None:
    """The paired regression of `gap_model.line`, for a new mean."""
    fitted = line(pairs)
    if fitted is None or fitted.freedom < 1:
        return None
    away = math.log(at) - fitted.centre
    variance = 1 / seeds + 1 / len(pairs.x) + away**2 / fitted.spread
    error = fitted.deviation * math.sqrt(variance)
    return RATIO.interval(t_interval(fitted.height + fitted.slope.mean * away, error, fitted.freedom, level))


class Both(NamedTuple):
    """The two designs, and how their values scatter within sizes."""

    a: Sizes
    b: Sizes
    turn: Array
    """(2, 2): from logs of yA and yB to z and what of log yA does not go with z, each over its own deviation."""
    deviation: float
    """Of z."""
    freedom: int

    @property
    def target(self) -> Array:
        return np.stack([self.a.mean, self.b.mean])  # (2, k)


def _with_any_floors(pairs: Pairs, at: float, seeds: int, level: float) -> Interval | None:
    logs = np.log(np.stack([pairs.a, pairs.b], axis=1))
    products, freedom = within(pairs, logs)
    if not freedom:
        return None
    (a, first), (b, _) = (by_size(pairs.x, y) for y in (pairs.a, pairs.b))
    to_z = np.array([[1.0, -1.0], [1.0, 0.0]])
    (zz, za), (_, aa) = to_z @ products @ to_z.T
    beta = za / max(zz, TINY)
    deviations = np.sqrt(np.maximum([zz, aa - beta * za], TINY) / freedom)
    turn = np.array([[1.0, -1.0], [1.0 - beta, beta]]) / deviations[:, None]
    both = Both(a=a, b=b, turn=turn, deviation=float(deviations[0]), freedom=freedom)
    return RATIO.interval(_union(both, math.log(at) - first, seeds, level))


def _union(both: Both, u: float, seeds: int, level: float) -> Interval:
    allowed = float(stats.t.ppf(0.5 + level / 2, both.freedom)) ** 2
    ranges = [allowed_floors(sizes, u, level).shares for sizes in (both.a, both.b)]
    for zoom in range(ZOOMS):
        shares = [np.linspace(low, high, GRID) for low, high in ranges]
        squares, predicted, variance = _fitted(both, shares, u)
        spare = squares.min() + allowed - squares
        if zoom == ZOOMS - 1:
            break
        inside = spare[1:, 1:] >= 0
        if not inside.any():
            inside = squares[1:, 1:] == squares[1:, 1:].min()
        ranges = [_range(own, inside.any(axis=1 - axis)) for axis, own in enumerate(shares)]
    kept = spare >= 0
    half = np.sqrt(np.maximum(spare, 0) * (variance + both.deviation**2 / seeds))
    weights = np.exp(-(squares - squares.min()) / 2)
    mean = float((weights * predicted).sum() / weights.sum())
    return Interval(mean, float((predicted - half)[kept].min()), float((predicted + half)[kept].max()))


def _range(shares: Array, inside: Array) -> tuple[float, float]:
    """From the last floor below those inside to the first above them."""
    at = np.flatnonzero(inside)
    return float(shares[max(at[0] - 1, 0)]), float(shares[min(at[-1] + 1, len(shares) - 1)])


def _fitted(both: Both, shares: list[Array], u: float) -> tuple[Array, Array, Array]:
    """Weighted sums of squares, log yA / yB at u and its variance, for every pair of floors.  # (A, B) each

    The first of either side is the power law, which may rise.
    """
    starts, floors, lows = [], [], []
    for sizes, own in zip((both.a, both.b), shares, strict=True):
        alone = [least_squares(sizes, s, u, rising=r).alpha for s, r in ((np.zeros(1), True), (own, False))]
        starts.append(np.concatenate(alone))
        floors.append(np.concatenate([[0.0], own]))
        lows.append(np.concatenate([[-STEEPEST], np.zeros(len(own))]))
    shape = (len(starts[0]), len(starts[1]))
    share, alpha, low = (
        np.stack(np.broadcast_arrays(of[0][:, None], of[1][None]), axis=-1).reshape(-1, 2)
        for of in (floors, starts, lows)
    )  # (P, 2)
    count = np.sqrt(both.a.number)
    for _ in range(STEPS + 1):
        rest, slopes = _residuals(both, share, alpha, count)
        normal = slopes.transpose(0, 2, 1) @ slopes  # (P, 4, 4)
        normal += 1e-12 * np.trace(normal, axis1=1, axis2=2)[:, None, None] * np.eye(4)
        step = np.linalg.solve(normal, (slopes.transpose(0, 2, 1) @ rest[..., None]))[..., 0]  # (P, 4)
        squares = ((rest - (slopes @ step[..., None])[..., 0]) ** 2).sum(axis=1)
        before, alpha = alpha, np.clip(alpha + step[:, 2:], low, STEEPEST)
    at = np.array(u)
    curve = log_curve(share, before, at) + log_slope(share, before, at) * step[:, 2:] + step[:, :2]
    toward = np.concatenate([np.ones((len(share), 2)), log_slope(share, before, at)], axis=1) * [1, -1, 1, -1]
    variance = (toward[:, None] @ np.linalg.solve(normal, toward[..., None]))[:, 0, 0]
    return tuple(found.reshape(shape) for found in (squares, curve[:, 0] - curve[:, 1], variance))  # type: ignore[return-value]


def _residuals(both: Both, share: Array, alpha: Array, count: Array) -> tuple[Array, Array]:
    """What the curves leave of z and of the rest of log yA, and how that goes with heights and exponents.

    # (P, 2k) and (P, 2k, 4)
    """
    u = both.a.u
    curve = log_curve(share[..., None], alpha[..., None], u)  # (P, 2, k)
    slope = log_slope(share[..., None], alpha[..., None], u)
    rest = np.einsum("ij,pjk->pik", both.turn, both.target - curve) * count
    heights = both.turn[None, :, None, :] * np.ones_like(curve[:, :1, :, None]) * count[:, None]  # (P, 2, k, 2)
    exponents = both.turn[None, :, None, :] * slope.transpose(0, 2, 1)[:, None] * count[:, None]
    slopes = np.concatenate([heights, exponents], axis=-1)
    return rest.reshape(len(share), -1), slopes.reshape(len(share), -1, 4)

"""95 % intervals of parameters and of the curve, by profiles, and two bootstraps.

A profile keeps one quantity at a value and fits the rest: the interval holds the values with
Q(value) <= Q_min (1 + c). Two kinds:

- Curves in one size have few points. Q is the sum of squares of log residuals and c = F(1, n - p) / (n - p); for the
  power law, a line in the logarithms, that is the t interval of least squares. The reported parameters are those of the
  robust Huber sum; where one lies outside, the interval is widened to hold it and `remarks.py` says so.
- Surfaces: Q is the Huber sum itself, so that every interval holds the reported value, and c is simulated with noise
  whose spread goes with size. Simulated coverage: `benchmarks/coverage.py`.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from lina_lab.analysis.interval import Interval
from lina_lab.analysis.scaling_fit.calibration import f_rise, noise, rise_of_curve, rises, uneven
from lina_lab.analysis.scaling_fit.fits import FORMS, Fit, Scale, predict, refit
from lina_lab.analysis.scaling_fit.profiles import (
    Profile,
    ends,
    held_curve,
    held_parameters,
    in_own_units,
    of_fit,
    of_squares,
)
from lina_lab.analysis.scaling_fit.solver import Array, log_curve

Rises = Callable[[Profile, NDArray[np.intp]], Array]
"""c of every parameter of a profile, by its place."""


Ends = tuple[float, float]
"""Low and high end of an interval; inf where the data set no limit."""


def intervals(fitted: Fit, x: ArrayLike, y: ArrayLike) -> dict[str, Interval | None]:
    """Every parameter with its interval, inf where the data set no limit.

    None for all if there are no more points than parameters.

    A floor's interval that begins at 0 says that the data do not tell it from none; it ends at the lowest y at most, or
    at the fitted floor where that is higher. A curve that does not fall has no floor: the interval of E is None.
    """
    names = FORMS[fitted.form].names
    if np.size(y) <= len(names):
        return dict.fromkeys(names)
    if fitted.form == "power":
        line = _Line(x, y)
        raw = {"A": line.interval(0.0), "alpha": line.slope()}
    elif not falls(fitted):
        return {"E": None} | intervals(_without_floor(fitted), x, y)
    else:
        raw = (_surface if fitted.form == "surface" else _offset)(fitted, x, y)
        raw["E"] = _below(raw["E"], float(np.min(y)))
    return {name: _hull(raw[name], fitted.params[name]) for name in names}


def prediction_interval(fitted: Fit, x: ArrayLike, y: ArrayLike, at: ArrayLike) -> Interval | None:
    """The interval of the curve (not of one more measurement, which scatters about it) at one new x, or (x, d).

    Wider than a profile of equal noise where the sizes that count most have more, see `calibration.uneven`.
    """
    point = np.reshape(np.asarray(at, dtype=float), (1, -1))
    if np.size(y) <= len(FORMS[fitted.form].names):
        return None
    if not falls(fitted):
        return prediction_interval(_without_floor(fitted), x, y, at)
    profile, scale = of_fit(fitted, x, y) if fitted.form == "surface" else of_squares(fitted.form, x, y)
    u = np.log(point) - scale.x
    if fitted.form == "surface":
        rise = rise_of_curve(profile, noise(x, _residuals(fitted, x, y), len(fitted.params)), u)
    else:
        rise = f_rise(profile) * uneven(profile, u) ** 2
    start = np.repeat(log_curve(profile.problem._replace(u=u), profile.at)[1][0], 2)
    edge = np.array([-math.inf, math.inf])
    both = ends(held_curve(profile, u), start, np.sign(edge), edge, profile.least, _limits(profile, rise))
    low, high = (None if end is None else math.exp(end + scale.y) for end in both)
    interval = (0.0 if low is None else low, math.inf if high is None else high)
    return _hull(
        interval, float(predict(fitted.form, fitted.params, point if fitted.form == "surface" else point[0])[0])
    )


def falls(fitted: Fit) -> bool:
    """Whether a curve with a floor falls toward it; one that does not is a power law."""
    return fitted.form != "offset" or fitted.params["alpha"] > 0


def _below(floor: Ends, lowest: float) -> Ends:
    """A floor that is not told from none ends at the lowest y: with a degree of freedom or two F alone sets no limit.

    One that is told apart may end above: where y has come down to its floor, half of its values lie below that.
    """
    low, high = floor
    return floor if low else (low, min(high, lowest))


def parametric_bootstrap(fitted: Fit, x: ArrayLike, y: ArrayLike, rng: np.random.Generator, count: int) -> Array:
    """Refits to the curve times log-normal noise, its variance the residuals' over n - p.  # (count, p)"""
    curve = predict(fitted.form, fitted.params, x)
    free = len(curve) - len(FORMS[fitted.form].names)
    if free < 1:
        raise ValueError(f"a bootstrap needs more points than parameters, not {len(curve)}")
    deviation = math.sqrt(float(((np.log(y) - np.log(curve)) ** 2).sum()) / free)
    return refit(fitted.form, x, curve * np.exp(rng.normal(0, deviation, (count, len(curve)))), None, fitted)


def pairwise_bootstrap(fitted: Fit, x: ArrayLike, y: ArrayLike, rng: np.random.Generator, count: int) -> Array:
    """Refits to whole (size, seed) pairs drawn anew within each size, so that every size stays.  # (count, p)

    Its percentiles are no 95 % interval with few seeds: they hold the truth in 67 % with two and 86 % with five.
    """
    _, place = np.unique(np.reshape(np.asarray(x, dtype=float), (np.size(y), -1)), axis=0, return_inverse=True)
    weights = np.zeros((count, np.size(y)))
    for size in range(place.max() + 1):
        rows = np.flatnonzero(place == size)
        weights[:, rows] = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=count)
    return refit(fitted.form, x, y, weights, fitted)


class _Line:
    """log y = log A - alpha log x by least squares, and t intervals with n - 2 degrees of freedom."""

    def __init__(self, x: ArrayLike, y: ArrayLike) -> None:
        u, v = np.log(np.ravel(np.asarray(x, dtype=float))), np.log(np.asarray(y, dtype=float))
        self.middle, self.spread, self.count = float(u.mean()), float(((u - u.mean()) ** 2).sum()), len(u)
        self.falls = -float(((u - self.middle) * v).sum()) / self.spread
        self.height = float(v.mean())
        rest = v - self.height + self.falls * (u - self.middle)
        self.half = float(stats.t.ppf(0.975, self.count - 2)) * math.sqrt(float((rest**2).sum()) / (self.count - 2))

    def slope(self) -> Ends:
        half = self.half / math.sqrt(self.spread)
        return self.falls - half, self.falls + half

    def interval(self, u: float) -> Ends:
        """Of the curve at log x = u; at 0 that is A."""
        half = self.half * math.sqrt(1 / self.count + (u - self.middle) ** 2 / self.spread)
        value = self.height - self.falls * (u - self.middle)
        return math.exp(value - half), math.exp(value + half)


def _hull(ends: Ends, value: float) -> Interval:
    """A value with its interval, widened to hold it."""
    low, high = ends
    return Interval(value, min(low, value), max(high, value))


def _without_floor(fitted: Fit) -> Fit:
    return fitted._replace(form="power", params={name: fitted.params[name] for name in FORMS["power"].names})


def _residuals(fitted: Fit, x: ArrayLike, y: ArrayLike) -> Array:
    return np.asarray(np.log(y) - np.log(predict(fitted.form, fitted.params, x)))


def _offset(fitted: Fit, x: ArrayLike, y: ArrayLike) -> dict[str, Ends]:
    profile, scale = of_squares(fitted.form, x, y)
    return _profiled(fitted.form, profile, scale, lambda one, index: np.full(len(index), f_rise(one)))


def _surface(fitted: Fit, x: ArrayLike, y: ArrayLike) -> dict[str, Ends]:
    drawn = noise(x, _residuals(fitted, x, y), len(fitted.params))
    return _profiled(fitted.form, *of_fit(fitted, x, y), lambda one, index: rises(one, drawn, index))


def _limits(profile: Profile, rise: Array | float) -> Array:
    return profile.least * (1 + np.repeat(rise, 2)) + 1e-20


def _profiled(form: str, profile: Profile, scale: Scale, rise: Rises) -> dict[str, Ends]:
    """The intervals of every parameter, with what `rise` says of each profile.

    Coefficients have x in its own unit; exponents have it about its middle, where they move nothing else.
    """
    names = FORMS[form].names
    ends_of: dict[str, Ends] = {}
    for upper, one in ((True, in_own_units(profile, scale)), (False, profile)):
        index = np.array([place for place, name in enumerate(names) if name.isupper() == upper])
        both, sides = np.repeat(index, 2), np.tile([-1.0, 1.0], len(index))
        edge = np.where(sides < 0, one.bounds.low[0, both], one.bounds.high[0, both])
        limit = _limits(one, rise(one, index))
        reached = ends(held_parameters(one, both), one.at[0, both], sides, edge, one.least, limit)
        for place, low, high in zip(index, reached[::2], reached[1::2], strict=True):
            ends_of[names[place]] = _interval(names[place], low, high, scale)
    for coefficient, exponent in zip(names[1::2], names[2::2], strict=True):
        if ends_of[exponent][1] == math.inf:  # steeper without end, and so higher at x = 1
            ends_of[coefficient] = (ends_of[coefficient][0], math.inf)
        if ends_of[exponent][0] == 0:  # a term that does not fall is a floor: which of the two it is, nothing tells
            ends_of["E"] = (0.0, ends_of["E"][1])
    return {name: ends_of[name] for name in names}


def _interval(name: str, low: float | None, high: float | None, scale: Scale) -> Ends:
    """In the unit of the parameter; what nothing excludes goes on to 0 and to infinity."""
    if name.isupper():
        low, high = (None if end is None else math.exp(end + scale.y) for end in (low, high))
    return 0.0 if low is None else low, math.inf if high is None else high

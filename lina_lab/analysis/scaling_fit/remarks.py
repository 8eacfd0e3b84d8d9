"""Remarks on a fit: values and interval ends that a bound of the search set, and laws that nothing checks."""

import math

import numpy as np
from numpy.typing import ArrayLike

from lina_lab.analysis.interval import Interval
from lina_lab.analysis.scaling_fit.fits import Fit
from lina_lab.analysis.scaling_fit.intervals import falls
from lina_lab.analysis.scaling_fit.solver import STEEPEST

EXACT = 1e-9
"""Interval width below which values count as noise-free."""
EDGE = 0.01
"""A value within this fraction of its interval's width from an end counts as standing there."""


def at_bound(fitted: Fit, ranges: dict[str, Interval | None], y: ArrayLike) -> dict[str, list[str]]:
    """Which of "value", "low" and "high" a bound of the search set, for each parameter that has any.

    Bounds are 0 for coefficients, 0 and 10 for exponents beside a floor, and the lowest y for a floor.
    """
    marked = {}
    for name, value in fitted.params.items():
        ends = ranges[name] or Interval(value, math.nan, math.nan)
        lowest, highest = _bounds(fitted, name, y)
        at = {
            "value": value in (lowest, highest),
            "low": ends.low == lowest,
            "high": ends.high == highest and math.isfinite(highest),
        }
        if any(at.values()):
            marked[name] = [what for what, is_set in at.items() if is_set]
    return marked


def _bounds(fitted: Fit, name: str, y: ArrayLike) -> tuple[float, float]:
    if name == "E":
        return 0.0, float(np.min(y))
    if name.isupper():
        return 0.0, math.inf
    bounded = fitted.form != "power" and falls(fitted)
    return (0.0, STEEPEST) if bounded else (-math.inf, math.inf)


def remarks(fitted: Fit, ranges: dict[str, Interval | None], x: ArrayLike, y: ArrayLike) -> list[str]:
    """Sentences without a full stop, the most important first."""
    said = []
    if not any(ranges.values()):
        few = fitted.n <= len(fitted.params)
        why = f"{fitted.n} points for {len(fitted.params)} parameters" if few else "points of too few runs"
        said.append(f"{fitted.form} has no intervals: {why}")
    if fitted.form == "power" and len(np.unique(x)) == 2:
        said.append("power has two sizes alone: a line through two points always fits, so that nothing checks the law")
    if "E" in fitted.params:
        said += _of_floor(fitted, ranges["E"], y)
    marks = at_bound(fitted, ranges, y)
    for name, exponent in (("A", "alpha"), ("B", "beta")):
        if exponent not in fitted.params:
            continue
        if fitted.params[name] == 0:
            said.append(f"{name} is 0, the bound of the search, so that {exponent} is not identified by {fitted.form}")
        elif "value" in marks.get(exponent, []):
            said.append(f"{exponent} is {fitted.params[exponent]:.4g}, the bound of the search by {fitted.form}")
    return said + [_of_edge(fitted, name) for name in fitted.params if _on_edge(fitted, name, ranges, marks)]


def _of_floor(fitted: Fit, floor: Interval | None, y: ArrayLike) -> list[str]:
    if not falls(fitted):
        return [f"E not identified by {fitted.form}: y does not fall with x, so that it has no floor; see power"]
    if floor is None or floor.low:
        return []
    if math.isinf(floor.high):
        return [f"E not identified by {fitted.form}: any floor fits the data (95 %)"]
    lowest = ", the lowest y," if floor.high == float(np.min(y)) else ""
    return [f"E not identified by {fitted.form}: 0 and any floor up to {floor.high:.4g}{lowest} fit the data (95 %)"]


def _on_edge(fitted: Fit, name: str, ranges: dict[str, Interval | None], marks: dict[str, list[str]]) -> bool:
    ends, marked = ranges[name], marks.get(name, [])
    if ends is None or "value" in marked or math.isinf(ends.high):
        return False
    value, low, high = fitted.params[name], ends.low, ends.high
    if name.isupper() and low > 0:
        value, low, high = math.log(value), math.log(low), math.log(high)
    near = EDGE * (high - low)
    if near < EXACT:
        return False
    return ("low" not in marked and value - low <= near) or ("high" not in marked and high - value <= near)


def _of_edge(fitted: Fit, name: str) -> str:
    return f"{name} of {fitted.form} stands at an end of its interval: look for outliers before either is quoted"


def in_words(interval: Interval | None, digits: int = 4) -> str:
    """'1.8 to 1.9'; 0 is the bound, and so no end: 'at most 1.9', 'at least 1.8', 'not identified'."""
    if interval is None:
        return ""
    if not interval.low:
        return f"at most {interval.high:.{digits}g}" if math.isfinite(interval.high) else "not identified"
    if math.isinf(interval.high):
        return f"at least {interval.low:.{digits}g}"
    return f"{interval.low:.{digits}g} to {interval.high:.{digits}g}"

"""A mean and its t interval."""

import math
from typing import NamedTuple

from scipy import stats


class Interval(NamedTuple):
    """A mean, of ratios for one, and its interval: 95 % unless said otherwise; NaN where there is none."""

    mean: float
    low: float
    high: float


def mean_interval(values: list[float]) -> Interval | None:
    """The mean with its 95 % t interval; None for fewer than two values."""
    count = len(values)
    if count < 2:
        return None
    mean = sum(values) / count
    deviation = math.sqrt(sum((x - mean) ** 2 for x in values) / (count - 1))
    return t_interval(mean, deviation / math.sqrt(count), count - 1)


def t_interval(mean: float, error: float, freedom: int, level: float = 0.95) -> Interval:
    """mean ± t * its standard error; NaN ends without degrees of freedom, so that no value lies outside."""
    if freedom < 1:
        return Interval(mean, math.nan, math.nan)
    half = float(stats.t.ppf(0.5 + level / 2, freedom)) * error
    return Interval(mean, mean - half, mean + half)


def finite_or_null(value: float) -> float | None:
    """A number as JSON has it."""
    return value if math.isfinite(value) else None

"""Shares of right images, with 95 % intervals over prompts and the images of each.

Shapes: k prompts with m images each.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats


class Proportion(NamedTuple):
    """A share or a mean of shares, 0 ... 1, or a difference of two; and its interval."""

    value: float
    low: float
    high: float


def share(right: NDArray[np.bool_]) -> Proportion:
    """The share of right images of (k, m), with Wilson's interval at the effective number of images.

    That number is p (1 - p) / v, where v is the variance of the mean as the prompts' own shares tell it: k if the
    images of a prompt are all alike, k m if they are as different as those of different prompts. If all images of all
    prompts agree, nothing tells which it is, and it is taken for k. The quantile is Student's with k - 1 degrees of
    freedom.

    Raises:
        ValueError: if there are fewer than two prompts.
    """
    prompts, images = len(right), right.size
    if prompts < 2:
        raise ValueError(f"an interval over prompts needs at least 2, not {prompts}")
    p, variance = float(right.mean()), float(right.mean(1).var(ddof=1)) / prompts
    count = min(images, max(prompts, p * (1 - p) / variance)) if variance else prompts
    z = float(stats.t.ppf(0.975, prompts - 1))
    middle = (p + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * (p * (1 - p) / count + z * z / (4 * count * count)) ** 0.5
    # Rounding may leave 1 above the end of its own interval.
    return Proportion(p, min(p, max(0.0, middle - half)), max(p, min(1.0, middle + half)))


def mean(shares: Sequence[Proportion]) -> Proportion:
    """The mean of independent shares: the distances to each end of its interval add in squares.

    That keeps the skew of shares near 0 and 1 (Zou and Donner, Statistics in Medicine 27, 2008).
    """
    values, lows, highs = np.transpose(shares)
    value, below, above = values.mean(), np.linalg.norm(values - lows), np.linalg.norm(highs - values)
    return Proportion(float(value), float(value - below / len(shares)), float(value + above / len(shares)))


def difference(first: Proportion, second: Proportion) -> Proportion:
    """First less second, two independent shares."""
    value = first.value - second.value
    below = ((first.value - first.low) ** 2 + (second.high - second.value) ** 2) ** 0.5
    above = ((first.high - first.value) ** 2 + (second.value - second.low) ** 2) ** 0.5
    return Proportion(value, value - below, value + above)


def as_metrics(prefix: str, shares: Mapping[str, Proportion]) -> dict[str, float]:
    """`prefix/name`, and its interval as `prefix/name_low` and `prefix/name_high`."""
    return {
        f"{prefix}/{name}{end}": value
        for name, found in shares.items()
        for end, value in zip(("", "_low", "_high"), found, strict=True)
    }

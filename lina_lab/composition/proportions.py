"""Proportions of correct images, with 95 % intervals over prompts and the images of each.

Shapes: k prompts with m images each.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats


class Proportion(NamedTuple):
    """A proportion, a mean of proportions (0 to 1) or a difference of two, with its interval."""

    value: float
    low: float
    high: float


def share(right: NDArray[np.bool_]) -> Proportion:
    """The proportion of correct images in (k, m), with Wilson's interval at the effective number of images.

    That number is p (1 - p) / v, where v is the variance of the mean estimated from the prompts' own proportions. It is
    k if all images of a prompt agree, and k m if they vary as much as images of different prompts. If all images of all
    prompts agree it cannot be estimated, and k is used. The quantile is Student's with k - 1 degrees of freedom.

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
    # By rounding, a proportion of 1 may lie above the end of its own interval.
    return Proportion(p, min(p, max(0.0, middle - half)), max(p, min(1.0, middle + half)))


def mean(shares: Sequence[Proportion]) -> Proportion:
    """The mean of independent proportions; the distances to each end of their intervals add in squares.

    That keeps the skew of proportions near 0 and 1 (Zou and Donner, Statistics in Medicine 27, 2008).
    """
    values, lows, highs = np.transpose(shares)
    value, below, above = values.mean(), np.linalg.norm(values - lows), np.linalg.norm(highs - values)
    return Proportion(float(value), float(value - below / len(shares)), float(value + above / len(shares)))


def difference(first: Proportion, second: Proportion) -> Proportion:
    """The difference, first minus second, of two independent proportions."""
    value = first.value - second.value
    below = ((first.value - first.low) ** 2 + (second.high - second.value) ** 2) ** 0.5
    above = ((first.high - first.value) ** 2 + (second.value - second.low) ** 2) ** 0.5
    return Proportion(value, value - below, value + above)


def as_metrics(prefix: str, shares: Mapping[str, Proportion]) -> dict[str, float]:
    """Proportions as metrics: `prefix/name`, with the interval as `prefix/name_low` and `prefix/name_high`."""
    return {
        f"{prefix}/{name}{end}": value
        for name, proportion in shares.items()
        for end, value in zip(("", "_low", "_high"), proportion, strict=True)
    }

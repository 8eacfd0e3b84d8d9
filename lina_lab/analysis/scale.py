"""How two values of a metric are set against each other: by their ratio, or by their difference.

A metric that may be zero or negative has no ratios. Statistics add and average on the scale: logarithms of values whose
ratio is taken, the values themselves where it is the difference.
"""

import math
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import numpy as np

from lina_lab.analysis.interval import Interval
from lina_lab.metric_names import known_metric

LARGEST = 700.0
"""Above this, exp overflows: intervals of three sizes of one seed can reach it."""


class Scale(NamedTuple):
    word: Literal["ratio", "difference"]
    neutral: float
    """The ratio or difference of equal values."""

    def forward(self, values: Any) -> Any:
        """Values on the scale."""
        return np.log(values) if self.word == "ratio" else values

    def back(self, value: float) -> float:
        """A difference on the scale as ratio or difference."""
        if self.word == "difference":
            return value
        return math.exp(value) if not value > LARGEST else math.inf

    def interval(self, interval: Interval) -> Interval:
        return Interval(*map(self.back, interval))

    def between(self, value: Any, baseline: Any) -> Any:
        return value / baseline if self.word == "ratio" else value - baseline

    def shortly(self, value: float) -> str:
        """'0.686', or with its sign and three digits '-0.0123'."""
        return f"{value:.3f}" if self.word == "ratio" else f"{value:+.3g}"

    def shown(self, value: float) -> str:
        """'0.6864', or with its sign '-0.01234'."""
        return f"{value:.4g}" if self.word == "ratio" else f"{value:+.4g}"


RATIO, DIFFERENCE = Scale("ratio", 1.0), Scale("difference", 0.0)


def scale_of(metric: str, values: Iterable[float]) -> Scale:
    """The scale of a metric, by its name; one that is not known has ratios if all of its values are above 0."""
    known = known_metric(metric)
    ratios = all(value > 0 for value in values) if known is None else known.ratios
    return RATIO if ratios else DIFFERENCE

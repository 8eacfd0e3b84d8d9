"""Does a design need a factor of the data or parameters, or has it another exponent: likelihood ratios of joint models.

The ratio's own law (chi-square, F) supposes independent errors of equal spread. Ours are neither: designs of one seed
share data order, masks and noise, the lengths of one size and seed are points of one run or share its beginning, and
spread changes with size. So its law is that of resamples of the simpler model in which the residuals of a whole cluster
keep their signs or change them all (restricted wild cluster bootstrap: Cameron, Gelbach and Miller, 2008). A cluster is
what is of one size and seed, in all designs; so pairs stay pairs.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lina_lab.analysis.scaling_fit.joint import Data, JointFit, Own, came_from, holding_floor, refitted, richer
from lina_lab.analysis.scaling_fit.solver import Array

DRAWS = 400
LEAST_CLUSTERS = 6
"""With five there are 32 draws, and that with all signs changed is as extreme as the first: no p is below 0.06."""
TINY = 1e-12
"""Sums of squares of log y below this are rounding and the tolerance of refits."""


class Clusters(NamedTuple):
    """Which points have errors that go together."""

    of_point: NDArray[np.intp]
    """From 0; points of all designs.  # (n,)"""
    draws: int = DRAWS

    @property
    def number(self) -> int:
        return int(self.of_point.max()) + 1


def signed(fitted: JointFit, clusters: Clusters) -> Array:
    """Rows of log y: the curve, and residuals of which whole clusters change their sign.  # (draws, n)

    All combinations of signs, the first as it was, where they are no more than the draws.
    """
    if 2**clusters.number <= clusters.draws:
        signs = np.array(list(itertools.product([1.0, -1.0], repeat=clusters.number)))
    else:
        rng = np.random.default_rng(0)  # the same table gives the same p
        signs = rng.choice([-1.0, 1.0], (clusters.draws, clusters.number))
        signs[0] = 1
    curve = fitted.model.problem.curve(fitted.at[None])[1]
    return np.asarray(curve + signs[:, clusters.of_point] * (fitted.model.problem.target - curve))


class Ratio(NamedTuple):
    """A simpler model against a richer one."""

    statistic: float
    """2 log of the likelihood ratio, of independent normal errors: n log(squares / squares)."""
    p: float | None
    """Of the simpler model; None with fewer than `LEAST_CLUSTERS`."""


def likelihood_ratio(data: Data, simple: JointFit, own: Sequence[Own], clusters: Clusters) -> Ratio:
    """The simpler model against the one in which designs have `own`."""
    rich = richer(data, simple, own)
    statistic = float(_statistic(np.array(simple.squares), np.array(rich.squares), len(data.y)))
    if clusters.number < LEAST_CLUSTERS:
        return Ratio(statistic, None)
    drawn = signed(simple, clusters)
    at, squares = refitted(simple.model, drawn, simple.at[None])
    _, fewer = refitted(rich.model, drawn, at[:, came_from(simple.model, rich.model)])
    above = _statistic(squares, fewer, len(data.y)) >= statistic * (1 - 1e-6)
    above[0] = True  # as it was
    return Ratio(statistic, float(above.mean()))


def _statistic(simple: Array, rich: Array, points: int) -> Array:
    return points * np.log(np.maximum(simple, TINY) / np.maximum(rich, TINY))


def rise_of_floor(fitted: JointFit, clusters: Clusters) -> float:
    """How far the sum of squares may rise, as a share, with the floor held: the 95 % quantile at the true floor.

    As if errors were independent, by F, with too few clusters.
    """
    if clusters.number < LEAST_CLUSTERS:
        free = len(clusters.of_point) - len(fitted.at)
        return float(stats.f.ppf(0.95, 1, free)) / free
    drawn = signed(fitted, clusters)
    at, held = refitted(holding_floor(fitted.model, fitted.at[:1]), drawn, fitted.at[None])
    _, free_squares = refitted(fitted.model, drawn, at)
    return float(np.quantile(held / np.maximum(free_squares, TINY), 0.95)) - 1

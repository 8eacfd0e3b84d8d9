"""What the rules of `comparison` say of many studies at once: M studies of S sizes and R seeds, no cell missing.

Power is the share of simulated studies that a rule decides. Calling the rule for each is a hundred times slower, so the
same sums are written here for whole arrays; tests compare them with `compare_designs`, study by study.

Shapes: y (M, S, R, 2), A's and B's values on the scale of the metric, sizes in the order of x; decisions (M,): -1 where
A's values are lower, 1 where B's are, 0 where the rule says undetermined.
"""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from lina_lab.analysis.comparison import ALPHA, BEYOND, scaling_winner
from lina_lab.analysis.confounds import Reasons
from lina_lab.analysis.gap_model import ALONE, SUPPORT, line, predictions
from lina_lab.analysis.match_cells import DESIGN, SHARE, Array, Pairs
from lina_lab.analysis.scale import RATIO
from lina_lab.analysis.scaling_fit.exponents import exponents
from lina_lab.analysis.spread import COMMON, EXACT, TINY, TWO_SEEDS, UNEVEN, strictness
from lina_lab.analysis.wording import UNDETERMINED, Words

Decisions = NDArray[np.int8]
SIGNS = {"A": -1, "B": 1, UNDETERMINED: 0}


class _Sums(NamedTuple):
    """Of A less B, z: its means and sums of squares about them at every size."""

    z: Array
    """(M, S, R)"""
    mean: Array
    """(M, S)"""
    squares: Array
    """(M, S)"""

    @property
    def seeds(self) -> int:
        return int(self.z.shape[-1])

    @property
    def sizes(self) -> int:
        return int(self.z.shape[-2])


def better_there(y: Array, level: float = 0.95) -> Decisions:
    """Which design is better at the largest size, where nothing but spread stands against it: `gaps` and `doubt`."""
    sums = _sums(y[..., 0] - y[..., 1])
    if sums.seeds < 2:
        return np.zeros(len(y), np.int8)
    uneven, common = _uneven_scatter(sums, y.sum(axis=-1)), _seed_effect(sums)
    alone = _excludes_0(sums, level, own=True)
    excluded = np.where((common < COMMON) | (uneven < UNEVEN), alone, _excludes_0(sums, level, own=False))
    strict = strictness(level)
    seeds_alike = common < (TWO_SEEDS if sums.seeds == 2 else COMMON) ** strict
    supported = ~(uneven < UNEVEN) & ~seeds_alike & (_support(sums) < SUPPORT * strict)
    sure = supported | _excludes_0(sums, 1 - ALONE * (1 - level), own=True) | (sums.sizes == 1)
    return np.where(excluded & sure, np.sign(sums.mean[:, -1]), 0).astype(np.int8)


def may_scale(y: Array, x: Array, level: float = 0.95) -> Decisions:
    """Which design may scale better by slope, lack of fit and the power law alone; `scales_better` refuses some more.

    x: (S,). The sign is that of the design whose values fall faster.
    """
    sums, u = _sums(y[..., 0] - y[..., 1]), np.log(x) - np.log(x).mean()
    (M, S), R = sums.mean.shape, sums.seeds
    if S < 4 or R < 2:  # a floor needs 4 sizes, lack of fit two seeds
        return np.zeros(M, np.int8)
    slope, height = sums.mean @ u / (u @ u), sums.mean.mean(axis=1)
    between = R * ((sums.mean - height[:, None] - slope[:, None] * u) ** 2).sum(axis=1)
    within, freedom = sums.squares.sum(axis=1), S * R - 2
    half = stats.t.ppf(0.5 + level / 2, freedom) * np.sqrt((between + within) / freedom / (R * (u @ u)))
    lack = stats.f.sf(between / (S - 2) / (within / (S * (R - 1))), S - 2, S * (R - 1))
    ahead = height + slope * (math.log(BEYOND * x[-1]) - np.log(x).mean())
    rest, before = sums.mean[:, :-1], u[:-1] - u[:-1].mean()
    held = rest.mean(axis=1) + rest @ before / (before @ before) * (u[-1] - u[:-1].mean()) - sums.mean[:, -1]
    kept = (np.abs(slope) > half) & (lack >= ALPHA) & (ahead * slope > 0) & (np.abs(held) <= np.abs(ahead))
    return np.where(kept, np.sign(slope), 0).astype(np.int8)


def scales_better(y: Array, x: Array, level: float = 0.95) -> Decisions:
    """Which design scales better, where nothing but the values stands against it: the rule itself, one study each.

    A quarter of a second a study: the forms and exponents are fitted. For values that fall and have ratios.
    """
    found = may_scale(y, x, level)
    for index in np.flatnonzero(found):
        pairs = study_pairs(y[index], x)
        words = Words(a="A", b="B", y="y", sign=1, level=level)
        forms = predictions(pairs, BEYOND * float(x[-1]), level=level)
        grown = scaling_winner(pairs, line(pairs, level), forms, exponents(pairs), Reasons([], []), words)
        found[index] = SIGNS[grown.winner]
    return found


def study_pairs(y: Array, x: Array) -> Pairs:
    """One simulated study as pairs of cells, for the rules.  # y (S, R, 2)"""
    S, R = y.shape[:2]
    shares = [str(seed) for seed in range(R)] * S
    rows = pd.DataFrame({DESIGN: np.repeat(["A", "B"], S * R), SHARE: shares * 2})
    a, b = np.exp(y).reshape(-1, 2).T
    sizes = [f"{size:.15g}" for size in np.repeat(x, R)]
    return Pairs(x=np.repeat(x, R), a=a, b=b, size=sizes, seeds=R, rows=rows, diverged=[], warnings=[], scale=RATIO)


def _sums(z: Array) -> _Sums:
    mean = z.mean(axis=-1)
    return _Sums(z, mean, ((z - mean[..., None]) ** 2).sum(axis=-1))


def _excludes_0(sums: _Sums, level: float, *, own: bool) -> NDArray[np.bool_]:
    """Whether the interval at the largest size does, by the spread of that size alone or of all."""
    freedom = (sums.seeds - 1) * (1 if own else sums.sizes)
    squares = sums.squares[:, -1] if own else sums.squares.sum(axis=-1)
    error = np.sqrt(squares / freedom / sums.seeds)
    return np.asarray(np.abs(sums.mean[:, -1]) > stats.t.ppf(0.5 + level / 2, freedom) * error)


def _uneven_scatter(sums: _Sums, both: Array) -> Array:
    """`spread.uneven_scatter` at the largest size; NaN with one size.  # both (M, S, R), A plus B -> (M,)"""
    if sums.sizes == 1:
        return np.full(len(both), np.nan)
    z, w = sums.z - sums.mean[..., None], both - both.mean(axis=-1, keepdims=True)
    w = w - ((z * w).sum(axis=(1, 2)) / np.maximum((z * z).sum(axis=(1, 2)), TINY))[:, None, None] * z
    own, others = sums.seeds - 1, (sums.seeds - 1) * (sums.sizes - 1)
    statistic, counted = np.zeros(len(both)), np.zeros(len(both))
    for rest in (z, w):
        here, there = (rest[:, -1] ** 2).sum(axis=-1), (rest[:, :-1] ** 2).sum(axis=(1, 2))
        p = np.maximum(stats.f.sf(here / own / (np.maximum(there, EXACT) / others), own, others), TINY)
        statistic += np.where(there > EXACT, -2 * np.log(p), 0)
        counted += there > EXACT
    return np.where(counted > 0, stats.chi2.sf(statistic, 2 * np.maximum(counted, 1)), np.nan)


def _seed_effect(sums: _Sums) -> Array:
    """`spread.seed_effect`; NaN with one size.  # (M,)"""
    effect, freedom = sums.seeds - 1, (sums.seeds - 1) * (sums.sizes - 1)
    if not freedom:
        return np.full(len(sums.z), np.nan)
    of_seed = sums.z.mean(axis=1) - sums.mean.mean(axis=1)[:, None]
    alike = sums.sizes * (of_seed**2).sum(axis=-1)
    rest = np.maximum(sums.squares.sum(axis=-1) - alike, EXACT)
    return np.asarray(stats.f.sf(alike / effect / (rest / freedom), effect, freedom))


def _support(sums: _Sums) -> Array:
    """`gap_model._support`: one-sided p of the smaller sizes for the sign of the largest.  # (M,)"""
    others = sums.sizes - 1
    if not others:
        return np.ones(len(sums.z))
    weights, freedom = np.arange(1, others + 1), (sums.seeds - 1) * others
    mean = np.sign(sums.mean[:, -1]) * (sums.mean[:, :-1] @ weights)
    squares = np.maximum(sums.squares[:, :-1].sum(axis=-1), EXACT)
    return np.asarray(stats.t.sf(mean / np.sqrt(squares / freedom * (weights @ weights) / sums.seeds), freedom))

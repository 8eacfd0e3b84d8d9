"""The t interval of sums, with known weights, of the means of two designs at every size.

Shapes: n pairs, K sizes, S seeds, H sums.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy import stats

from lina_lab.analysis.match_cells import DESIGN, SHARE, Array, Pairs
from lina_lab.analysis.spread import below, seed_effect, sizes_of, strictness, uneven_sizes

DOUBT = 0.4
"""p below which a seed may move all sizes alike, or sizes may scatter unequally: a few seeds rarely show either."""
Sums = Callable[[Array], tuple[Array, Array]]
"""From weights (H, 2K) of the means, A's sizes before B's, to the sums and half the widths of their intervals, (H,)."""


def intervals_of_sums(pairs: Pairs, level: float = 0.95) -> Sums:
    """The intervals of sums of means on the scale of y.

    Its spread is that of all sizes together; that of each size by itself (Welch) where sizes may scatter unequally; and
    over seeds that of the sum itself where a seed may move all sizes alike. Widths are NaN without two seeds.

    Without any difference, in simulated studies with 2 to 5 seeds, see benchmarks/multiplier.py.
    """
    doubt = DOUBT ** strictness(level)
    if below(seed_effect(pairs), doubt):
        seeds = _whole_seeds(pairs)
        return lambda weights: _over_seeds(weights, seeds, level)
    together = not below(uneven_sizes(pairs), doubt)
    return lambda weights: _over_pairs(weights, pairs, level, together=together)


def _over_seeds(weights: Array, seeds: Array, level: float) -> tuple[Array, Array]:
    """seeds: (S, 2K), of those that are at every size."""
    count = len(seeds)
    sums = weights @ seeds.T  # (H, S)
    if count < 2:
        return sums.mean(axis=1), np.full(len(weights), math.nan)
    error = sums.std(axis=1, ddof=1) / math.sqrt(count)
    return sums.mean(axis=1), stats.t.ppf(0.5 + level / 2, count - 1) * error


def _over_pairs(weights: Array, pairs: Pairs, level: float, *, together: bool) -> tuple[Array, Array]:
    places = list(sizes_of(pairs).values())
    values = np.stack([pairs.a, pairs.b], axis=1)  # (n, 2)
    values = pairs.scale.forward(values)
    means = np.array([values[at].mean(axis=0) for at in places])  # (K, 2)
    rest = [values[at] - mean for at, mean in zip(places, means, strict=True)]
    products = np.array([r.T @ r for r in rest])  # (K, 2, 2)
    counts = np.array([len(at) for at in places])
    sums = weights @ means.T.ravel()
    if (counts < 2).all() or (not together and (counts < 2).any()):
        return sums, np.full(len(weights), math.nan)
    of_size = weights.reshape(-1, 2, len(places)).transpose(2, 0, 1)  # (K, H, 2)
    if together:
        products, freedom = products.sum(axis=0), (counts - 1).sum()
    else:
        freedom = (counts - 1)[:, None]
    squares = np.maximum(((of_size @ products) * of_size).sum(axis=2), 0)  # rounding may leave less than none
    parts = squares / freedom / counts[:, None]  # (K, H): squared errors
    error = parts.sum(axis=0)
    if not together:  # Welch and Satterthwaite
        fourth = (parts**2 / freedom).sum(axis=0)
        freedom = np.divide(error**2, fourth, out=np.ones_like(error), where=fourth > 0)
    return sums, stats.t.ppf(0.5 + level / 2, freedom) * np.sqrt(error)


def _whole_seeds(pairs: Pairs) -> Array:
    """Values of every seed that is at all sizes, A's sizes before B's.  # (S, 2K)"""
    names = np.array(pairs.rows.loc[pairs.rows[DESIGN] == "A", SHARE].tolist())
    places = list(sizes_of(pairs).values())
    whole = [name for name in dict.fromkeys(names.tolist()) if all((names[at] == name).sum() == 1 for at in places)]
    rows = [[next(i for i in at if names[i] == name) for at in places] for name in whole]
    values = pairs.scale.forward(np.stack([pairs.a, pairs.b]))  # (2, n)
    return np.array([values[:, row].ravel() for row in rows]).reshape(len(whole), 2 * len(places))

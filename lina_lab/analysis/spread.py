"""The scatter of pairs: within sizes, larger at one size, or common to all sizes of a seed."""

import math

import numpy as np
from scipy import stats

from lina_lab.analysis.match_cells import DESIGN, SHARE, Array, Pairs

EXACT = 1e-20
"""A sum of squares of logarithms below this is rounding, not noise."""
TINY = 1e-300
UNEVEN, COMMON, TWO_SEEDS = 0.02, 0.1, 0.4
"""p values below which scatter counts as uneven, seeds as moving all sizes alike, and the same with two seeds.

With two seeds the common effect has one degree of freedom, so it is hard to see."""


def below(p: float | None, limit: float) -> bool:
    """Whether a test that could be made has a p below a limit."""
    return p is not None and p < limit


def strictness(level: float) -> float:
    """The power to which a limit of p is raised: 1 for one comparison; of many, each needs more to be sure."""
    return float(((1 - level) / 0.05) ** 0.3)


def covariance_root(covariance: Array) -> Array:
    """Of covariances (..., k, k): root @ root.T is the covariance; directions below 0 count as 0."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0))[..., None, :])


def gaps_of(pairs: Pairs) -> Array:
    """A less B on the scale of y, (n,): log(yA / yB), or yA - yB."""
    return np.asarray(pairs.scale.forward(pairs.a) - pairs.scale.forward(pairs.b))


def sizes_of(pairs: Pairs) -> dict[str, list[int]]:
    """Indices of the pairs of every size."""
    places: dict[str, list[int]] = {}
    for index, size in enumerate(pairs.size):
        places.setdefault(size, []).append(index)
    return places


def within(pairs: Pairs, values: Array, keep: set[str] | None = None) -> tuple[Array, int]:
    """Sums of squares and products of values (n, k) about their means at each size, and degrees of freedom.

    keep: the sizes that count; None for all.
    """
    groups = [at for size, at in sizes_of(pairs).items() if keep is None or size in keep]
    if not groups:
        return np.zeros((values.shape[1], values.shape[1])), 0
    rest = np.concatenate([values[at] - values[at].mean(axis=0) for at in groups])
    return rest.T @ rest, len(rest) - len(groups)


def uneven_scatter(pairs: Pairs, size: str | None = None) -> float | None:
    """p of the test that values scatter more at one size (None: the largest) than elsewhere.

    Two F tests joined by Fisher's method: of A less B on the scale of y, and of what of their sum does not go with it.
    Where one design's values scatter more, both see it. None where that size or the others have no two seeds.
    """
    size = size or pairs.size[-1]
    z = gaps_of(pairs)
    both = np.stack([z, pairs.scale.forward(pairs.a) + pairs.scale.forward(pairs.b)], axis=1)
    products, freedom = within(pairs, both)
    if freedom and products[0, 0] > EXACT:
        both[:, 1] -= products[0, 1] / products[0, 0] * z
    (here, own), (there, others) = within(pairs, both, {size}), within(pairs, both, set(pairs.size) - {size})
    if not own or not others:
        return None
    seen = [
        max(float(stats.f.sf(here[i, i] / own / (there[i, i] / others), own, others)), TINY)
        for i in (0, 1)
        if there[i, i] > EXACT
    ]
    return float(stats.chi2.sf(-2 * sum(map(math.log, seen)), 2 * len(seen))) if seen else None


def uneven_sizes(pairs: Pairs) -> float | None:
    """p of the test that values scatter unequally over sizes; None where two sizes have no two seeds, or no noise.

    Bartlett's, of A less B and of B on the scale of y: the lower p of the two.
    """
    places = [at for at in sizes_of(pairs).values() if len(at) > 1]
    values = gaps_of(pairs), np.asarray(pairs.scale.forward(pairs.b))
    groups = [[value[at] for at in places] for value in values]
    noisy = [group for group in groups if sum(float(part.var() * len(part)) for part in group) > EXACT]
    if len(places) < 2 or not noisy:
        return None
    if any(np.ptp(part) ** 2 <= EXACT for group in noisy for part in group):
        return 0.0
    return min(float(stats.bartlett(*group).pvalue) for group in noisy)


def seed_effect(pairs: Pairs) -> float | None:
    """p of the F test that a seed moves the gap of A and B alike at all sizes; None where no seed is at two sizes."""
    names = np.array(pairs.rows.loc[pairs.rows[DESIGN] == "A", SHARE].tolist())
    z = gaps_of(pairs)
    of_size = (np.array(pairs.size)[:, None] == list(sizes_of(pairs))).astype(float)
    of_both = np.concatenate([of_size, (names[:, None] == sorted(set(names))).astype(float)], axis=1)
    (by_size, least), (by_both, most) = _left(of_size, z), _left(of_both, z)
    effect, freedom = most - least, len(z) - most
    if not effect or not freedom or by_both < EXACT:
        return None
    return float(stats.f.sf((by_size - by_both) / effect / (by_both / freedom), effect, freedom))


def _left(design: Array, z: Array) -> tuple[float, int]:
    """Residual sum of squares of a linear model, and its rank."""
    coefficients, _, rank, _ = np.linalg.lstsq(design, z)
    return float(((z - design @ coefficients) ** 2).sum()), int(rank)

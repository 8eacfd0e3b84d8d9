"""Intervals of sums of means against textbook ones, and which spread they take."""

import numpy as np
import pytest
from scipy import stats

from lina_lab.analysis.spread import gaps_of
from lina_lab.analysis.sums_of_means import intervals_of_sums
from tests.analysis.simulated import EQUAL, study

GAP = np.array([[0, 0, 0, 1, 0, 0, 0, -1.0]])
"""Weights of A less B at the last of four sizes."""


def test_over_seeds_it_is_the_t_interval_of_the_sum_of_every_seed():
    pairs = study(EQUAL, np.random.default_rng(0))
    helped = pairs._replace(b=pairs.b * np.tile([1.0, 1.2, 1.5], 4))
    weights = np.array([[0.5, 0, 0.5, 0, 0, -1, 0, 0.0]])
    sums, half = intervals_of_sums(helped, 0.95)(weights)
    a, b = (np.log(side).reshape(4, 3) for side in (helped.a, helped.b))
    found = stats.ttest_1samp(0.5 * a[0] + 0.5 * a[2] - b[1], 0).confidence_interval()
    assert (sums - half, sums + half) == pytest.approx(tuple(np.array([end]) for end in found))


def independent(wide):
    """Pairs in which no seed moves all sizes alike, by construction: residuals of seeds cancel over sizes."""
    pairs = study(EQUAL, np.random.default_rng(1))
    signs = np.array([[1, -1, 0], [-1, 1, 0], [1, 0, -1], [-1, 0, 1]]) * np.array(wide)[:, None]
    y = 10 * np.exp(0.01 * signs.ravel())
    return pairs._replace(a=y, b=10 * np.exp(-0.004 * signs.ravel()))


def test_equal_spread_is_taken_from_all_sizes_together():
    pairs = independent([1, 1, 1, 1])
    sums, half = intervals_of_sums(pairs, 0.95)(GAP)
    z = gaps_of(pairs).reshape(4, 3)
    assert sums == pytest.approx([z[3].mean()])
    pooled = z.var(axis=1, ddof=1).mean()
    assert half == pytest.approx([stats.t.ppf(0.975, 8) * np.sqrt(pooled / 3)])


def test_unequal_spread_is_taken_from_each_size_by_itself():
    pairs = independent([1, 1, 20, 20])
    weights = np.array([[1, 0, 0, 1, -1, 0, 0, -1.0]])
    sums, half = intervals_of_sums(pairs, 0.95)(weights)
    z = gaps_of(pairs).reshape(4, 3)
    parts = z[[0, 3]].var(axis=1, ddof=1) / 3
    freedom = parts.sum() ** 2 / (parts**2 / 2).sum()
    assert sums == pytest.approx([z[0].mean() + z[3].mean()])
    assert half == pytest.approx([stats.t.ppf(0.975, freedom) * np.sqrt(parts.sum())])


def test_one_seed_has_no_width():
    sums, half = intervals_of_sums(study(EQUAL, np.random.default_rng(0), 4, 1), 0.95)(GAP)
    assert np.isfinite(sums).all()
    assert np.isnan(half).all()


@pytest.mark.filterwarnings("error")
def test_designs_whose_values_move_together_exactly_have_a_gap_without_width():
    pairs = independent([1, 2, 3, 20])
    sums, half = intervals_of_sums(pairs._replace(b=pairs.a / 1.1), 0.95)(GAP)
    assert sums == pytest.approx([np.log(1.1)])
    assert half == pytest.approx([0], abs=1e-6)

"""Uneven scatter and seeds that move all sizes are found, and make no difference where there is none."""

import math

import numpy as np
import pytest
from scipy import stats

from lina_lab.analysis.gap_model import doubt, gaps
from lina_lab.analysis.match_cells import DESIGN, SHARE
from lina_lab.analysis.spread import gaps_of, seed_effect, uneven_scatter, uneven_sizes
from tests.analysis.simulated import EQUAL, Case, Truth, study

AHEAD = Case(Truth(40, 0.3), Truth(41, 0.3))


def drawn(rng, num_sizes, seeds, times, common):
    """Without any difference: the truth is taken out, the noise stays."""
    pairs = study(EQUAL, rng, num_sizes, seeds)
    truth = EQUAL.a.at(pairs.x)
    last = pairs.x == pairs.x.max()
    a, b = ((y / truth) ** np.where(last, times, 1) for y in (pairs.a, pairs.b))
    return pairs._replace(a=a * np.exp(np.tile(rng.normal(0, common, seeds), num_sizes)), b=b)


def claimed(pairs) -> bool:
    ratio = gaps(pairs)[-1].ratio
    return (ratio.high < 1 or ratio.low > 1) and doubt(pairs) is None


@pytest.mark.slow
@pytest.mark.parametrize(("times", "common"), [(1, 0), (3, 0), (1, 0.04), (3, 0.013)])
@pytest.mark.parametrize(("num_sizes", "seeds"), [(4, 3), (3, 2)])
def test_no_difference_is_claimed_in_six_percent_of_studies_at_most(num_sizes, seeds, times, common):
    """By the spread of all sizes together, 5 % of these studies at equal spread, up to 27 % of the others."""
    rng = np.random.default_rng(0)
    told = [claimed(drawn(rng, num_sizes, seeds, times, common)) for _ in range(150)]
    assert stats.binomtest(sum(told), len(told), 0.06, alternative="greater").pvalue > 0.01


@pytest.mark.slow
def test_a_difference_at_all_sizes_is_claimed_where_the_spread_is_equal():
    """2.5 %, 3.4 standard errors: 81 % by the spread of all sizes, 45 % by that of the largest alone."""
    rng = np.random.default_rng(1)
    told = [claimed(study(AHEAD, rng)) for _ in range(150)]
    assert np.mean(told) > 0.6


@pytest.mark.slow
def test_scatter_of_both_designs_at_one_size_is_uneven_there_and_nowhere_else():
    rng = np.random.default_rng(2)
    pairs = [drawn(rng, 4, 3, 6, 0) for _ in range(60)]
    assert np.mean([uneven_scatter(p) < 0.05 for p in pairs]) > 0.9
    assert np.mean([uneven_scatter(p, p.size[0]) < 0.05 for p in pairs]) < 0.05
    even = [uneven_scatter(drawn(rng, 4, 3, 1, 0)) for _ in range(200)]
    assert stats.kstest(even, "uniform").pvalue > 0.01


def test_where_values_scatter_more_the_interval_is_that_of_the_size_alone():
    pairs = drawn(np.random.default_rng(3), 4, 3, 20, 0)
    assert uneven_scatter(pairs) < 0.02
    z = gaps_of(pairs)[-3:]
    ends = np.exp(stats.t.interval(0.95, 2, loc=z.mean(), scale=z.std(ddof=1) / math.sqrt(3)))
    assert gaps(pairs)[-1].ratio[1:] == pytest.approx(ends)


def test_a_seed_that_moves_all_sizes_is_found_where_some_cells_are_missing():
    """The test of a balanced table is that of the two-way analysis of variance; without a cell it is there still."""
    rng = np.random.default_rng(4)
    pairs = drawn(rng, 4, 3, 1, 0)
    z = gaps_of(pairs).reshape(4, 3)
    effect = 4 * ((z.mean(axis=0) - z.mean()) ** 2).sum()
    rest = ((z - z.mean(axis=1, keepdims=True)) ** 2).sum() - effect
    assert seed_effect(pairs) == pytest.approx(stats.f.sf(effect / 2 / (rest / 6), 2, 6))
    assert seed_effect(without(drawn(rng, 4, 3, 1, 0.1), 4)) < 0.01
    apart = pairs.rows.assign(**{SHARE: [str(i) for i in range(12)] * 2})
    assert seed_effect(pairs._replace(rows=apart)) is None


def without(pairs, place: int):
    """The pairs without one."""
    keep = np.arange(len(pairs.a)) != place
    rows = pairs.rows[np.tile(keep, 2)]
    assert rows[DESIGN].tolist().count("A") == len(pairs.a) - 1
    size = [s for s, k in zip(pairs.size, keep, strict=True) if k]
    return pairs._replace(x=pairs.x[keep], a=pairs.a[keep], b=pairs.b[keep], size=size, rows=rows)


@pytest.mark.slow
def test_unequal_sizes_are_found_and_in_a_tenth_of_studies_where_there_are_none():
    """The lower p of two tests that go together: a p below 0.05 is met in 5 to 10 % of studies."""
    rng = np.random.default_rng(11)
    found = [uneven_sizes(drawn(rng, 4, 3, 1, 0)) < 0.05 for _ in range(200)]
    assert stats.binomtest(sum(found), 200, 0.1, alternative="greater").pvalue > 0.003
    assert np.mean([uneven_sizes(drawn(rng, 4, 5, 8, 0)) < 0.05 for _ in range(50)]) > 0.8


def test_sizes_without_noise_or_without_seeds():
    pairs = study(EQUAL, np.random.default_rng(0), 3, 2)
    assert uneven_sizes(pairs._replace(a=pairs.x, b=pairs.x)) is None
    one = np.where(pairs.x == pairs.x.max(), pairs.a, 1.0)
    assert uneven_sizes(pairs._replace(a=one, b=one)) == 0
    assert uneven_sizes(study(EQUAL, np.random.default_rng(0), 3, 1)) is None

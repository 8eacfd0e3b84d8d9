"""One exponent with floors of its own, or two: told apart as often as data can, by the best fit of each."""

import numpy as np
import pytest
from scipy import optimize, stats

from lina_lab.analysis.scaling_fit.exponents import FREE, _joint, _means, exponents, one_exponent_ratio
from lina_lab.analysis.spread import within
from tests.analysis.simulated import APART, EQUAL_FLOOR, OTHER_FLOOR, Case, Truth, paired, sizes, study, table

APART_BY_A_TENTH = Case(Truth(40, 0.5), Truth(40, 0.4))


@pytest.mark.slow
def test_a_difference_of_floors_is_no_difference_of_exponents():
    rng = np.random.default_rng(0)
    found = [exponents(study(OTHER_FLOOR, rng)) for _ in range(25)]
    assert stats.binomtest(sum(f.one < 0.05 for f in found), len(found), 0.05, alternative="greater").pvalue > 0.01
    assert np.mean([f.no_floor < 0.05 and f.one_floor < 0.05 for f in found]) > 0.8
    assert np.median([f.floors for f in found], axis=0) == pytest.approx([4, 8], rel=0.25)
    assert np.median([f.alpha for f in found]) == pytest.approx(0.5, rel=0.15)


@pytest.mark.slow
def test_exponents_a_tenth_apart_are_refused_to_be_one_and_need_no_floor():
    rng = np.random.default_rng(1)
    found = [exponents(study(APART_BY_A_TENTH, rng)) for _ in range(12)]
    assert np.mean([f.one < 0.05 for f in found]) > 0.8
    assert np.mean([f.no_floor < 0.05 for f in found]) < 0.25


@pytest.mark.slow
def test_what_no_data_tell_apart_is_not_told_apart():
    rng = np.random.default_rng(2)
    assert np.mean([exponents(study(APART, rng)).one < 0.05 for _ in range(8)]) < 0.4
    assert np.mean([exponents(study(EQUAL_FLOOR, rng)).one_floor < 0.05 for _ in range(8)]) < 0.4


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2])
def test_no_other_minimiser_finds_less(count):
    pairs = study(OTHER_FLOOR, np.random.default_rng(3), 5, 3)
    products, freedom = within(pairs, np.log(np.stack([pairs.a, pairs.b], axis=1)))
    means = _means(pairs, products / freedom)

    def rest(p):
        floors, factors, alphas = p[:2], p[2:4], p[4:]
        curves = [
            e + a * np.exp(-alphas[i % count] * means.u) for i, (e, a) in enumerate(zip(floors, factors, strict=True))
        ]
        return means.white @ (means.logs - np.log(np.concatenate(curves)))

    starts = [[e, e, 1, 1] + [alpha] * count for e in (0.01, 0.2) for alpha in (0.1, 0.4, 1)]
    best = min(optimize.least_squares(rest, s, bounds=(0, np.inf)).cost * 2 for s in starts)
    assert _joint(means, FREE, count).squares == pytest.approx(best, rel=1e-3)


def test_three_sizes_predict_the_fourth_by_one_exponent():
    drawn = table(OTHER_FLOOR, np.random.default_rng(0), 3, 2, noise=0)
    assert one_exponent_ratio(paired(drawn), sizes(4)[-1]) == pytest.approx(
        np.log(OTHER_FLOOR.ratio(sizes(4)[-1])), abs=1e-3
    )


def test_without_four_sizes_or_a_spread_nothing_is_tested():
    rng = np.random.default_rng(4)
    assert exponents(study(OTHER_FLOOR, rng, 3)) is None
    assert exponents(study(OTHER_FLOOR, rng, seeds=1)) is None
    assert exponents(paired(table(OTHER_FLOOR, rng, noise=0))) is None

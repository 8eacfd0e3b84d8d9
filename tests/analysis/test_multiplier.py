"""A factor is the one that curves were made with; its interval holds it, and goes no further than what was measured."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lina_lab.analysis.match_cells import matched
from lina_lab.analysis.multiplier import FLOPS, SECONDS, Multiplier, compute_multiplier, over_designs
from lina_lab.analysis.scale import DIFFERENCE
from tests.analysis.simulated import COLUMNS, Case, Truth, sizes, study, table

NOISE = 0.02


def costed(pairs, cost=None, name=FLOPS, **columns):
    """With a cost that goes with size, both designs' alike."""
    cost = np.tile(1e6 * pairs.x, 2) if cost is None else cost
    return pairs._replace(rows=pairs.rows.assign(**{name: cost}, **columns))


def exact(a, b, num_sizes=4, seeds=2):
    """Pairs without noise of two functions of size."""
    x = np.repeat(sizes(num_sizes), seeds)
    drawn = study(Case(Truth(1, 0), Truth(1, 0)), np.random.default_rng(0), num_sizes, seeds)
    return costed(drawn._replace(a=a(x), b=b(x)))


def shifted(factor, alpha, floor, times):
    """A design, and one that needs so many times the cost for the same y."""
    return Case(Truth(factor, alpha, floor), Truth(factor * times**alpha, alpha, floor))


def is_share(found, share):
    return stats.binomtest(sum(found), len(found), share).pvalue > 0.003


@pytest.mark.parametrize("times", [0.5, 0.9, 1.0, 1.3, 4.0])
@pytest.mark.parametrize(("alpha", "floor"), [(0.3, 0), (0.5, 4), (0.5, 20), (0.9, 8)])
def test_without_noise_the_factor_is_the_one_that_curves_were_made_with(times, alpha, floor):
    case = shifted(40, alpha, floor, times)
    found = compute_multiplier(exact(case.a.at, case.b.at), FLOPS)
    assert found.overall.times == pytest.approx(times, rel=1e-6 if not floor else 0.004)
    assert len(found.sizes) == 3
    for between in found.sizes:
        assert between.least < times < between.most or math.isnan(between.times)
        assert math.isnan(between.times) or between.times == pytest.approx(times, rel=1e-6 if not floor else 0.03)


def test_b_against_a_is_the_reciprocal():
    rng = np.random.default_rng(0)
    for _ in range(5):
        pairs = costed(study(shifted(40, 0.4, 2, 1.2), rng))
        other = pairs._replace(a=pairs.b, b=pairs.a)
        one, back = (compute_multiplier(p, FLOPS).overall for p in (pairs, other))
        assert back.times == pytest.approx(1 / one.times, rel=1e-4)
        assert (back.low, back.high) == pytest.approx((1 / one.high, 1 / one.low), rel=1e-3)


def test_what_b_reaches_nowhere_is_at_least_what_was_measured_and_no_value():
    rng = np.random.default_rng(1)
    found = compute_multiplier(costed(study(Case(Truth(4, 0.3), Truth(40, 0.3)), rng)), FLOPS)
    for multiplier, most in zip((found.overall, *found.sizes), (27, 27, 9, 3), strict=True):
        assert math.isnan(multiplier.times)
        assert multiplier.low == pytest.approx(most)
        assert multiplier.high == math.inf
    assert found.overall.text() == "at least 27 times"
    document = found.as_json()["overall"]
    assert (document["times"], document["high"], document["most"]) == (None, None, pytest.approx(27))
    assert found.overall.sure
    back = compute_multiplier(costed(study(Case(Truth(40, 0.3), Truth(4, 0.3)), rng)), FLOPS).overall
    assert (back.low, back.high) == (0, pytest.approx(1 / 27))
    assert back.text() == "at most 0.037 times"


def test_where_b_worsens_beyond_its_best_it_has_still_not_reached_a_there():
    """B is best at the second size; all of its sizes, up to 27 times the cost of A's smallest, are worse than A."""
    worse = {1e6: 20, 3e6: 10, 9e6: 15, 27e6: 18}
    pairs = exact(lambda x: 2 * (x / 1e6) ** -0.3, np.vectorize(worse.get), seeds=3)
    assert compute_multiplier(pairs, FLOPS).overall.low == pytest.approx(27)


def test_sizes_of_a_that_are_no_better_than_a_smaller_one_count_as_no_gain():
    falls = {1e6: 10, 3e6: 5, 9e6: 7, 27e6: 9}
    found = compute_multiplier(exact(np.vectorize(falls.get), np.vectorize(falls.get)), FLOPS)
    assert [one.size for one in found.sizes] == ["size0 to size1"]
    assert found.overall.times == pytest.approx(1)


@pytest.mark.slow
@pytest.mark.parametrize("of_b", [0.0, 3.0])
@pytest.mark.parametrize(
    "curve",
    [Truth(40, 0.3), Truth(40, 0.5, 4), Truth(40, 0.0), Truth(40, 0.005)],
    ids=["power law", "floor", "flat", "hardly falls"],
)
def test_without_a_difference_1_is_excluded_in_5_percent_at_most(curve, of_b):
    """Also where a seed helps one design at every size, by three times the noise of the ratio; 8 % at worst."""
    rng = np.random.default_rng(2)
    excluded, closed = [], []
    for _ in range(70):
        pairs = costed(study(Case(curve, curve), rng))
        helped = np.exp(of_b * 0.63 * NOISE * np.tile(rng.normal(size=3), 4))
        found = compute_multiplier(pairs._replace(b=pairs.b * helped), FLOPS).overall
        excluded.append(found.sure)
        closed.append(found.low > 0 and found.high < math.inf)
    assert stats.binomtest(sum(excluded), len(excluded), 0.05, alternative="greater").pvalue > 0.003
    if curve.alpha < 0.01:
        assert np.mean(closed) < 0.2, "a flat curve says nothing of compute"


@pytest.mark.slow
def test_unequal_spread_excludes_1_no_oftener():
    rng = np.random.default_rng(3)
    curve = Truth(40, 0.3)
    wide = np.repeat([1.0, 1, 1, 3], 3)
    found = []
    for _ in range(120):
        a, b = (np.exp(NOISE * wide * side) for side in _correlated(rng, 12))
        pairs = costed(study(Case(curve, curve), rng))
        found.append(compute_multiplier(pairs._replace(a=curve.at(pairs.x) * a, b=curve.at(pairs.x) * b), FLOPS))
    assert stats.binomtest(sum(one.overall.sure for one in found), 120, 0.05, alternative="greater").pvalue > 0.003
    last = [one.sizes[-1].sure for one in found]
    assert stats.binomtest(sum(last), len(last), 0.06, alternative="greater").pvalue > 0.003


def _correlated(rng, count):
    of_a, other = rng.normal(size=(2, count))
    return of_a, 0.8 * of_a + 0.6 * other


@pytest.mark.slow
@pytest.mark.parametrize("case", [(0.3, 0, 1.3), (0.5, 4, 1.3), (0.5, 20, 2.0)])
def test_the_interval_holds_the_factor_and_finds_it(case):
    rng = np.random.default_rng(4)
    found = [compute_multiplier(costed(study(shifted(40, *case), rng)), FLOPS).overall for _ in range(80)]
    held = [one.low < case[-1] < one.high for one in found]
    assert is_share(held, 0.95) or np.mean(held) > 0.95
    assert np.mean([one.low > 1 for one in found]) > 0.95
    assert np.median([one.times for one in found]) == pytest.approx(case[-1], rel=0.02)


@pytest.mark.slow
def test_seconds_that_differ_between_seeds_widen_the_interval_that_holds_the_truth():
    rng = np.random.default_rng(5)
    held, width, plain = [], [], []
    for _ in range(80):
        pairs = study(Case(Truth(40, 0.3), Truth(40, 0.3)), rng)
        seconds = np.tile(pairs.x, 2) * np.exp(0.2 * rng.normal(size=24))
        found = compute_multiplier(costed(pairs, seconds, SECONDS, cpu="a"), SECONDS).overall
        held.append(found.low < 1 < found.high)
        width.append(math.log(found.high / found.low))
        flops = compute_multiplier(costed(pairs), FLOPS).overall
        plain.append(math.log(flops.high / flops.low))
    assert is_share(held, 0.95) or np.mean(held) > 0.95
    assert np.median(width) > 1.5 * np.median(plain)


def test_seconds_of_several_machines_or_of_none_that_is_named_are_not_compared():
    pairs = study(Case(Truth(40, 0.3), Truth(40, 0.3)), np.random.default_rng(0))
    seconds = np.tile(pairs.x, 2)
    (reason,) = compute_multiplier(costed(pairs, seconds, SECONDS, cpu=["a", "b"] * 12), SECONDS).reasons
    assert reason == "seconds of different machines are not comparable: a, b"
    (reason,) = compute_multiplier(costed(pairs, seconds, SECONDS), SECONDS).reasons
    assert reason == "the table does not say on which machine the seconds passed (cpu)"


def test_higher_values_and_differences_have_factors_too():
    rising = Case(Truth(0.2, -0.1), Truth(0.2 * 1.3**-0.1, -0.1))
    pairs = exact(rising.a.at, rising.b.at)
    assert compute_multiplier(pairs, FLOPS, sign=-1).overall.times == pytest.approx(1.3)

    def kid(x):
        return 0.1 - 0.05 * np.log(x / 1e6)  # of both signs

    pairs = exact(kid, lambda x: kid(x / 1.3))._replace(scale=DIFFERENCE)
    assert pairs.a.min() < 0
    assert compute_multiplier(pairs, FLOPS).overall.times == pytest.approx(1.3)


def test_what_makes_no_curve_is_said():
    one = costed(study(Case(Truth(40, 0.3), Truth(40, 0.3)), np.random.default_rng(0), 1, 3))
    assert compute_multiplier(one, FLOPS).reasons == ["one size: there is no curve over cost"]
    pairs = costed(study(Case(Truth(40, 0.3), Truth(40, 0.3)), np.random.default_rng(0)))
    missing = np.where(np.arange(24) == 3, math.nan, pairs.rows[FLOPS])
    assert compute_multiplier(costed(pairs, missing), FLOPS).reasons == [
        "flops_training is missing or not above 0 for some cells"
    ]
    level = np.where(np.arange(24) < 12, 1.0, pairs.rows[FLOPS])
    assert compute_multiplier(costed(pairs, level), FLOPS).reasons == ["flops_training of A does not rise with size"]


def test_one_seed_gives_a_value_and_no_interval():
    found = compute_multiplier(costed(study(shifted(40, 0.3, 0, 1.3), np.random.default_rng(0), 4, 1)), FLOPS).overall
    assert 1 < found.times < 1.7
    assert (found.low, found.high, found.bounded, found.text()) == (0, math.inf, False, "")


def test_points_before_the_end_of_a_run_are_no_sizes():
    drawn = table(shifted(40, 0.3, 0, 1.3), np.random.default_rng(6))
    drawn = drawn.assign(key=[f"{i}" for i in range(len(drawn))], at=1.0, flops_training=1e6 * drawn["parameters"])
    before = drawn.assign(at=0.5, fid=2 * drawn["fid"], flops_training=drawn["flops_training"] / 2)
    both = pd.concat([drawn, before], ignore_index=True)
    pairs, ends = (matched(rows_, COLUMNS, ["new"], ["old"]) for rows_ in (both, drawn))
    assert compute_multiplier(pairs, FLOPS).overall == compute_multiplier(ends, FLOPS).overall


def test_several_designs_have_one_factor_and_narrower_intervals_and_what_is_doubtful_is_left_out():
    rng = np.random.default_rng(7)
    drawn = [costed(study(shifted(factor, 0.3, 0, 1.3), rng)) for factor in (40, 60, 90)]
    alone = [compute_multiplier(pairs, FLOPS) for pairs in drawn]
    together = over_designs(alone, 0.95)
    assert together.overall.low < 1.3 < together.overall.high
    widths = [math.log(one.overall.high / one.overall.low) for one in alone]
    assert math.log(together.overall.high / together.overall.low) < np.mean(widths)
    assert [one.size for one in together.sizes] == ["size0 to size1", "size1 to size2", "size2 to size3"]
    doubtful = alone[2]._replace(reasons=["cells diverged"])
    assert over_designs([*alone[:2], doubtful], 0.95).overall == over_designs(alone[:2], 0.95).overall
    assert over_designs([doubtful], 0.95).reasons == ["cells diverged"]


@pytest.mark.parametrize(
    ("times", "low", "high", "text"),
    [
        (1.3, 1.2, 1.45, "1.3 times (1.2 to 1.45)"),
        (3.4, 2.1, math.inf, "3.4 times (2.1 or more)"),
        (0.5, 0, 0.8, "0.5 times (0.8 or less)"),
        (math.nan, 2.1, math.inf, "at least 2.1 times"),
        (math.nan, 0, 0.8, "at most 0.8 times"),
        (1.3, 0, math.inf, ""),
    ],
)
def test_words_say_which_ends_are_known(times, low, high, text):
    assert Multiplier("all", 1.0, times, low, high, 0.1, 10.0).text() == text

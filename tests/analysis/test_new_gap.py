"""The interval of a ratio at a size to come: the textbook's on a line, and about 95 % whatever floors there are."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lina_lab.analysis.match_cells import DESIGN, SHARE, Pairs
from lina_lab.analysis.new_gap import new_gap
from tests.analysis.simulated import APART, OTHER_FLOOR, SHARED_FLOOR, Case, Truth, values


def drawn(rng, case, count, seeds, noise=0.02):
    """Pairs at all sizes but the largest, the largest x, and the mean ratio there."""
    x, a, b = values(case, rng, count + 1, seeds, noise)
    n = count * seeds
    names = np.tile(np.arange(seeds), count).astype(str)
    rows = pd.DataFrame({DESIGN: np.repeat(["A", "B"], n), SHARE: np.tile(names, 2)})
    size = [f"{each:g}" for each in x[:n]]
    pairs = Pairs(x=x[:n], a=a[:n], b=b[:n], size=size, seeds=seeds, rows=rows, diverged=[], warnings=[])
    return pairs, float(x[-1]), math.exp(float(np.log(a[n:] / b[n:]).mean()))


def test_of_power_laws_it_is_the_prediction_interval_of_the_paired_regression():
    pairs, at, _ = drawn(np.random.default_rng(1), APART, 3, 2)
    u, z = np.log(pairs.x), np.log(pairs.a / pairs.b)
    line = stats.linregress(u, z)
    rest = z - line.intercept - line.slope * u
    variance = 1 / 2 + 1 / len(u) + (math.log(at) - u.mean()) ** 2 / ((u - u.mean()) ** 2).sum()
    half = stats.t.ppf(0.975, len(u) - 2) * math.sqrt((rest**2).sum() / (len(u) - 2) * variance)
    mean = line.intercept + line.slope * math.log(at)
    assert np.log(new_gap("power", pairs, at, 2)) == pytest.approx([mean, mean - half, mean + half])


def test_swapping_the_designs_turns_the_ratio_over():
    pairs, at, _ = drawn(np.random.default_rng(2), SHARED_FLOOR, 3, 2)
    one, other = (new_gap("offset", each, at, 2) for each in (pairs, pairs._replace(a=pairs.b, b=pairs.a)))
    assert [one.low, one.high] == pytest.approx([1 / other.high, 1 / other.low], rel=0.01)


def test_four_sizes_with_little_noise_know_both_floors():
    pairs, at, reached = drawn(np.random.default_rng(3), OTHER_FLOOR, 4, 3, noise=1e-4)
    found = new_gap("offset", pairs, at, 3)
    assert list(found) == pytest.approx([OTHER_FLOOR.ratio(at)] * 3, rel=0.01)
    assert found.low < reached < found.high


def test_two_sizes_leave_the_ratio_open_as_far_as_their_floors_are():
    case = Case(Truth(40, 0.5), Truth(40, 0.5))
    pairs, at, _ = drawn(np.random.default_rng(4), case, 2, 3, noise=1e-4)
    gain = math.sqrt(3)
    found = new_gap("offset", pairs, at, 3)
    assert (found.low, found.high) == pytest.approx((1 / gain, gain), rel=0.05)


def test_without_a_second_seed_there_is_no_interval():
    pairs, at, _ = drawn(np.random.default_rng(5), APART, 3, 1)
    assert new_gap("offset", pairs, at, 1) is None


@pytest.mark.slow
@pytest.mark.parametrize("case", [APART, OTHER_FLOOR])
def test_of_simulated_studies_it_holds_the_ratio_in_at_least_90_percent(case):
    rng = np.random.default_rng(6)
    studies = [drawn(rng, case, 3, 3) for _ in range(40)]
    held = [(found := new_gap("offset", pairs, at, 3)).low <= new <= found.high for pairs, at, new in studies]
    assert np.mean(held) > 0.9 - 2 * math.sqrt(0.9 * 0.1 / len(studies))

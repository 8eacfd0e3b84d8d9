"""The interval of one more value: the textbook's on a line, and 95 % whatever floor the truth has."""

import math

import numpy as np
import pytest
from scipy import stats

from lina_lab.analysis.scaling_fit.new_value import new_value
from tests.analysis.simulated import Truth, sizes


def drawn(rng, truth, count, seeds, noise=0.02):
    """x and y of a study, and one y more at the next size."""
    x = np.repeat(sizes(count), seeds)
    at = float(sizes(count + 1)[-1])
    y, new = (truth.at(where) * np.exp(noise * rng.normal(size=np.shape(where))) for where in (x, at))
    return x, y, at, float(new)


def test_of_a_power_law_it_is_the_prediction_interval_of_a_regression():
    x, y, at, _ = drawn(np.random.default_rng(1), Truth(40, 0.3), 3, 2)
    u, v = np.log(x), np.log(y)
    line = stats.linregress(u, v)
    rest = v - line.intercept - line.slope * u
    leverage = 1 / len(u) + (math.log(at) - u.mean()) ** 2 / ((u - u.mean()) ** 2).sum()
    half = stats.t.ppf(0.975, len(u) - 2) * math.sqrt((rest**2).sum() / (len(u) - 2) * (1 + leverage))
    mean = line.intercept + line.slope * math.log(at)
    assert np.log(new_value("power", x, y, at)) == pytest.approx([mean, mean - half, mean + half], abs=1e-6)


def test_two_sizes_leave_it_open_from_a_power_law_to_no_gain_at_all():
    x, y = [1e6, 1e6, 3e6, 3e6], [80, 80.0001, 40, 40.0001]
    found = new_value("offset", x, y, 9e6)
    assert (found.low, found.high) == pytest.approx((20, 40), rel=1e-3)
    assert 20 < found.mean < 40


def test_four_sizes_without_noise_know_their_floor():
    truth = Truth(40, 0.5, floor=8)
    x = np.repeat(sizes(4), 2)
    y = truth.at(x) * np.exp(1e-7 * np.tile([1, -1], 4))
    found = new_value("offset", x, y, 81e6)
    assert list(found) == pytest.approx([truth.at(81e6)] * 3, rel=1e-5)
    assert found.low < truth.at(81e6) < found.high


def test_it_is_in_the_units_of_x_and_y_and_holds_its_mean():
    x, y, at, _ = drawn(np.random.default_rng(2), Truth(40, 0.3, floor=10), 4, 2)
    one, other = new_value("offset", x, y, at), new_value("offset", 1e-3 * x, 7 * y, 1e-3 * at)
    assert [7 * end for end in one] == pytest.approx(list(other), rel=1e-6)
    assert one.low < one.mean < one.high


def test_values_that_rise_are_a_power_law_that_rises():
    x, y = np.repeat(sizes(3), 2), np.array([10, 10.1, 20, 20.1, 40, 40.1])
    found = new_value("offset", x, y, 27e6)
    assert found.low < 80 < found.high
    assert found.low > 60


@pytest.mark.parametrize(("x", "y"), [([1e6, 3e6], [9, 8]), ([1e6, 3e6, 9e6], [9, 8, 7])])
def test_without_a_second_seed_two_or_three_sizes_have_no_interval(x, y):
    assert new_value("offset", x, y, 27e6) is None


def test_one_size_is_no_curve():
    with pytest.raises(ValueError, match="2 distinct sizes, not 1"):
        new_value("offset", [1e6, 1e6], [9, 8], 3e6)


@pytest.mark.slow
@pytest.mark.parametrize("truth", [Truth(40, 0.3), Truth(40, 0.3, floor=20), Truth(40, 0.5, floor=8)])
@pytest.mark.parametrize(("count", "seeds"), [(3, 2), (4, 3)])
def test_of_simulated_studies_it_holds_the_new_value_in_95_percent(truth, count, seeds):
    rng = np.random.default_rng(3)
    studies = [drawn(rng, truth, count, seeds) for _ in range(200)]
    held = [(found := new_value("offset", x, y, at)).low <= new <= found.high for x, y, at, new in studies]
    assert np.mean(held) > 0.95 - 3 * math.sqrt(0.95 * 0.05 / len(studies))

"""Intervals hold the truth as often as they say, in simulated sweeps of a few sizes and seeds."""

import math

import numpy as np
import pytest
from scipy import stats

from lina_lab.analysis.interval import Interval
from lina_lab.analysis.scaling_fit.fits import LEAST_SQUARES, Fit, fit, predict
from lina_lab.analysis.scaling_fit.intervals import (
    _hull,
    intervals,
    pairwise_bootstrap,
    parametric_bootstrap,
    prediction_interval,
)

LARGEST = 6.4e6
TARGET = 4 * LARGEST


def sizes(num_sizes: int, num_seeds: int) -> np.ndarray:
    return np.repeat(np.geomspace(1e5, LARGEST, num_sizes), num_seeds)


def truth(floor: float) -> dict[str, float]:
    return {"E": floor, "A": 20 * 1e6**0.4, "alpha": 0.4}


def curve(floor: float, x) -> np.ndarray:
    return predict("offset", truth(floor), x)


def holds(interval: Interval, value: float) -> bool:
    return interval.low <= value <= interval.high


def held(form: str, floor: float, x: np.ndarray, noise: float, count: int) -> dict[str, int]:
    """How often each parameter's interval, and that of the prediction, holds the truth."""
    rng = np.random.default_rng(7)
    found: dict[str, int] = {}
    for _ in range(count):
        y = curve(floor, x) * np.exp(rng.normal(0, noise, len(x)))
        best = fit(form, x, y)
        each = {name: holds(i, truth(floor)[name]) for name, i in intervals(best, x, y).items()}
        each["prediction"] = holds(prediction_interval(best, x, y, TARGET), float(curve(floor, [TARGET])[0]))
        found = {name: found.get(name, 0) + each[name] for name in each}
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("num_sizes", "num_seeds"), [(3, 2), (4, 3), (5, 5)])
def test_the_power_laws_intervals_hold_the_truth_as_often_as_they_say(num_sizes, num_seeds):
    count = 150
    for name, times in held("power", 0, sizes(num_sizes, num_seeds), 0.05, count).items():
        assert stats.binomtest(times, count, 0.95).pvalue > 0.003, name


@pytest.mark.slow
@pytest.mark.parametrize(("num_sizes", "num_seeds", "count"), [(4, 3, 20), (5, 2, 20)])
def test_with_a_floor_the_profiles_hold_the_truth_as_often_as_they_say(num_sizes, num_seeds, count):
    for name, times in held("offset", 5, sizes(num_sizes, num_seeds), 0.02, count).items():
        assert stats.binomtest(times, count, 0.95).pvalue > 0.003, name


@pytest.mark.slow
def test_without_a_floor_the_profiles_hold_the_truth_at_least_as_often():
    """The truth is at the edge, where a profile holds it more often."""
    count = 8
    for name, times in held("offset", 0, sizes(4, 2), 0.02, count).items():
        assert stats.binomtest(times, count, 0.95, alternative="less").pvalue > 0.003, name


@pytest.mark.slow
def test_a_power_law_through_a_floor_misses_its_prediction():
    """Why both forms are fitted: one of these numbers is wrong in nearly every sweep, with a narrow interval."""
    assert held("power", 5, sizes(4, 3), 0.02, 40)["prediction"] <= 7


def test_the_power_laws_interval_is_the_t_interval_of_least_squares():
    x = sizes(4, 3)
    y = curve(0, x) * np.exp(np.random.default_rng(0).normal(0, 0.05, 12))
    line = stats.linregress(-np.log(x), np.log(y))
    t = stats.t.ppf(0.975, 10)
    found = intervals(fit("power", x, y), x, y)
    assert found["alpha"][1:] == pytest.approx((line.slope - t * line.stderr, line.slope + t * line.stderr), rel=1e-9)
    low, high = (math.exp(line.intercept + s * t * line.intercept_stderr) for s in (-1, 1))
    assert found["A"][1:] == pytest.approx((low, high), rel=1e-9)


@pytest.mark.slow
def test_a_profiles_ends_are_where_the_best_fit_with_that_floor_is_worse_by_the_f_quantile():
    """Checked by brute force: for each floor a least squares over a fine grid of exponents."""
    x = sizes(5, 3)
    y = curve(5, x) * np.exp(np.random.default_rng(1).normal(0, 0.02, 15))
    found = intervals(fit("offset", x, y), x, y)["E"]

    def squares(floor: float) -> float:
        falls = np.linspace(0.2, 0.8, 1201)[:, None]
        factors = np.exp(np.linspace(-0.03, 0.03, 121))[:, None, None]
        middle = np.exp(np.mean(np.log(np.maximum(y - floor, 1e-9))) + falls * np.log(x).mean())
        model = floor + factors * middle * x**-falls
        return float(((np.log(y) - np.log(model)) ** 2).sum(axis=-1).min())

    least = min(squares(floor) for floor in np.linspace(found.low, found.high, 15))
    limit = least * (1 + stats.f.ppf(0.95, 1, 12) / 12)
    for end in found[1:]:
        assert squares(end) == pytest.approx(limit, rel=0.02)


@pytest.mark.slow
def test_a_floor_that_the_data_do_not_show_has_an_interval_from_zero():
    x = sizes(4, 3)
    rng = np.random.default_rng(2)
    without, with_floor = (curve(floor, x) * np.exp(rng.normal(0, 0.02, 12)) for floor in (0, 8))
    assert intervals(fit("offset", x, without), x, without)["E"].low == 0
    assert intervals(fit("offset", x, with_floor), x, with_floor)["E"].low > 0


@pytest.mark.slow
@pytest.mark.parametrize("form", ["power", "offset"])
def test_every_interval_holds_the_reported_value(form):
    """The value minimises the robust sum, the interval the squares: an outlier parts them."""
    x = sizes(4, 2)
    for seed in range(3):
        y = curve(3, x) * np.exp(np.random.default_rng(seed).normal(0, 0.01, 8))
        y[0] *= 1.5
        best = fit(form, x, y)
        for name, interval in intervals(best, x, y).items():
            assert holds(interval, best.params[name]), name
        assert holds(prediction_interval(best, x, y, TARGET), float(predict(form, best.params, [TARGET])[0]))


def test_an_interval_is_widened_to_a_value_outside():
    assert [_hull((1, 2), value)[1:] for value in (0.5, 1.5, 3)] == [(0.5, 2), (1, 2), (1, 3)]
    assert _hull((0, math.inf), 3) == (3, 0, math.inf)


@pytest.mark.slow
def test_a_curve_that_rises_has_the_intervals_of_the_power_law_and_none_of_a_floor():
    x, y = np.array([1e6, 3e6, 1e7, 3e7, 1e8]), np.array([10, 11, 12.5, 14, 15.5])
    floor, plain = (intervals(fit(form, x, y), x, y) for form in ("offset", "power"))
    assert floor == {"E": None} | plain
    best = fit("offset", x, y)
    law = fit("power", x, y)
    assert prediction_interval(best, x, y, 4e8) == prediction_interval(law, x, y, 4e8)


@pytest.mark.slow
@pytest.mark.parametrize("y", [(68.4, 43.47, 23.33, 19.47), (57.6, 33.5, 18.8, 17.2), (153.6, 120, 110, 100)])
def test_a_floor_that_is_not_told_from_none_is_not_above_the_data(y):
    """Four points leave one degree of freedom, where the F quantile, 161, allows a flat line above them."""
    x = np.array([3.3e7, 1.3e8, 4.58e8, 6.75e8])
    found = intervals(fit("offset", x, y), x, y)
    assert found["E"].low == 0
    assert found["E"].high <= min(y)
    assert found["A"].high == math.inf  # as alpha has no upper end


@pytest.mark.slow
def test_a_floor_that_the_curve_has_reached_may_lie_above_the_lowest_value():
    """Half of the values at the floor lie below it: an interval that ended at the lowest would never hold it."""
    x = sizes(5, 3)
    held_by = above = 0
    for seed in range(12):
        real = {"E": 10.0, "A": 10 * 1e5**1.5, "alpha": 1.5}
        y = predict("offset", real, x) * np.exp(np.random.default_rng(seed).normal(0, 0.02, 15))
        floor = intervals(fit("offset", x, y), x, y)["E"]
        held_by += holds(floor, 10)
        above += floor.high > y.min()
    assert above == 12
    assert held_by >= 10


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_where_nothing_tells_that_the_curve_falls_no_floor_is_identified(seed):
    x = sizes(4, 2)
    y = 12 * np.exp(np.random.default_rng(seed).normal(0, 0.05, 8)) * x**-0.005
    best = fit("offset", x, y)
    floor = intervals(best, x, y)["E"]
    assert floor is None or (floor.low == 0 and floor.high <= max(y.min(), best.params["E"]))


@pytest.mark.slow
def test_predictions_hold_where_noise_grows_with_size():
    """Three times as much at the largest size: t intervals hold in 86 %, which 2,000 simulations told apart."""
    x, count = sizes(4, 3), 200
    noise = 0.02 * 3 ** (np.repeat(np.linspace(0, 1, 4), 3) - 0.5)
    times, rng = 0, np.random.default_rng(5)
    for _ in range(count):
        y = curve(0, x) * np.exp(rng.normal(0, noise))
        times += holds(prediction_interval(fit("power", x, y), x, y, TARGET), float(curve(0, [TARGET])[0]))
    assert times >= 0.92 * count


@pytest.mark.slow
def test_a_surface_has_intervals_about_its_truth():
    x = np.array([(n, d) for n in np.geomspace(1e5, 1e8, 5) for d in np.geomspace(1e8, 1e11, 5)])
    real = {"E": 1.7, "A": 60.0, "alpha": 0.34, "B": 800.0, "beta": 0.28}
    y = predict("surface", real, x) * np.exp(np.random.default_rng(0).normal(0, 0.005, 25))
    best = fit("surface", x, y)
    for name, interval in intervals(best, x, y).items():
        assert holds(interval, real[name]), name
        assert None not in interval
    point = [[4e8, 4e11]]
    assert holds(prediction_interval(best, x, y, point), float(predict("surface", real, point)[0]))


def test_as_many_points_as_parameters_have_no_interval():
    best = fit("power", [1e5, 1e6], [3.0, 2.0])
    assert intervals(best, [1e5, 1e6], [3.0, 2.0]) == {"A": None, "alpha": None}
    assert prediction_interval(best, [1e5, 1e6], [3.0, 2.0], 1e7) is None


def bootstrap_held(bootstrap, x: np.ndarray, count: int) -> int:
    """How often the percentiles of the exponent hold the truth, without a floor."""
    times, rng = 0, np.random.default_rng(3)
    for _ in range(count):
        y = curve(0, x) * np.exp(rng.normal(0, 0.05, len(x)))
        low, high = np.quantile(bootstrap(fit("power", x, y), x, y, rng, 100)[:, 1], [0.025, 0.975])
        times += low <= 0.4 <= high
    return times


@pytest.mark.slow
def test_the_parametric_bootstrap_holds_the_exponent_as_often_as_it_says():
    held_by = bootstrap_held(parametric_bootstrap, sizes(5, 3), 40)
    assert stats.binomtest(held_by, 40, 0.95, alternative="less").pvalue > 0.003


@pytest.mark.slow
def test_the_pairwise_bootstrap_of_two_seeds_is_too_narrow_to_be_an_interval():
    assert bootstrap_held(pairwise_bootstrap, sizes(3, 2), 25) < 0.85 * 25


@pytest.mark.slow
def test_a_pairwise_bootstrap_keeps_every_size_and_draws_whole_seeds():
    x = sizes(4, 1)
    y = curve(2, x)
    best = fit("offset", x, y)
    rows = pairwise_bootstrap(best, x, y, np.random.default_rng(0), 5)
    assert rows == pytest.approx(np.tile(list(best.params.values()), (5, 1)), rel=1e-5)


def test_a_parametric_bootstrap_needs_more_points_than_parameters():
    best = Fit("power", {"A": 1.0, "alpha": 0.0}, 0.0, 2, LEAST_SQUARES)
    with pytest.raises(ValueError, match="more points than parameters, not 2"):
        parametric_bootstrap(best, [1.0, 2.0], [1.0, 1.0], np.random.default_rng(0), 3)

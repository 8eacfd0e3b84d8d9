"""Intervals of surfaces: of the estimate that they stand beside, and true where residuals depend on size."""

import numpy as np
import pytest
from scipy import stats

from lina_lab.analysis.scaling_fit.calibration import local_spread, noise
from lina_lab.analysis.scaling_fit.fits import fit, predict
from lina_lab.analysis.scaling_fit.intervals import intervals, prediction_interval

TRUTH = {"E": 1.817, "A": 482.0, "alpha": 0.348, "B": 2085.0, "beta": 0.366}


def design(count: int) -> np.ndarray:
    """Five budgets, each at sizes a factor 25 apart about the best one.  # (count, 2)"""
    budgets = np.repeat(np.geomspace(6e18, 3e21, 5), count // 5)
    n = 0.11 * np.sqrt(budgets) * np.tile(np.geomspace(0.2, 5, count // 5), 5)
    return np.stack([n, budgets / (6 * n)], axis=1)


def drawn(x: np.ndarray, seed: int, scenario: str) -> np.ndarray:
    rng = np.random.default_rng(seed)
    factor = np.ones(len(x))
    if scenario == "small sizes":
        factor[x[:, 0] < np.median(x[:, 0])] = 2
    elif scenario == "outliers":
        factor[rng.random(len(x)) < 0.05] = 10
    return predict("surface", TRUTH, x) * np.exp(rng.normal(0, 0.01, len(x)) * factor)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["equal", "small sizes", "outliers"])
def test_intervals_hold_the_truth_and_no_estimate_stands_at_an_end(scenario):
    """Few datasets, so that it is quick: `benchmarks/coverage.py` runs thousands."""
    x, count = design(40), 4
    misses = dict.fromkeys(TRUTH, 0)
    for seed in range(count):
        y = drawn(x, seed, scenario)
        best = fit("surface", x, y)
        for name, interval in intervals(best, x, y).items():
            misses[name] += not interval.low <= TRUTH[name] <= interval.high
            assert interval.low < best.params[name] < interval.high
            width = np.log(interval.high / interval.low)
            assert (
                min(np.log(best.params[name] / interval.low), np.log(interval.high / best.params[name])) > 0.05 * width
            )
    for name, missed in misses.items():
        assert stats.binomtest(missed, count, 0.05, alternative="greater").pvalue > 0.003, name


@pytest.mark.slow
def test_the_curve_beyond_the_data_has_an_interval_that_holds_it():
    x, target = design(40), [[4e10, 1e12]]
    truth = float(predict("surface", TRUTH, target)[0])
    times = 0
    for seed in range(4):
        y = drawn(x, seed, "small sizes")
        _, low, high = prediction_interval(fit("surface", x, y), x, y, target)
        assert high / low < 1.2
        times += low <= truth <= high
    assert times >= 3


def test_the_spread_of_residuals_is_found_where_it_goes_with_size():
    x = design(240)
    real = 0.01 * (x[:, 0] / 1e9) ** -0.3 * (x[:, 1] / 1e10) ** 0.1
    found = local_spread(x, np.random.default_rng(0).normal(0, 1, 240) * real)
    slopes = np.linalg.lstsq(np.column_stack([np.ones(240), np.log(x)]), np.log(found), rcond=None)[0]
    assert slopes[1:] == pytest.approx([-0.3, 0.1], abs=0.08)


def test_noise_is_as_large_as_residuals_are_there_and_alike_for_one_table():
    x = design(240)
    small = x[:, 0] < np.median(x[:, 0])
    residuals = np.random.default_rng(1).normal(0, np.where(small, 0.02, 0.01))
    made = noise(x, residuals, 5)
    ratio = made[:, small].std() / made[:, ~small].std()
    assert ratio == pytest.approx(residuals[small].std() / residuals[~small].std(), rel=0.25)
    assert made.mean() == pytest.approx(0, abs=3e-4)
    assert (noise(x, residuals, 5) == made).all()

"""Intervals by run hold the truth where the points of a run move together."""

import numpy as np
import pytest

from lina_lab.analysis.scaling_fit.by_run import intervals_by_run
from lina_lab.analysis.scaling_fit.fits import fit, predict

LENGTHS = np.array([0.125, 0.25, 0.5, 1.0]) * 64_000
TRUTH = {"A": 500.0, "alpha": 0.5}


def held(num_runs: int, shared: float, own: float, datasets: int) -> np.ndarray:
    """Share of simulated studies whose intervals hold A and alpha.  # (2,)"""
    rng, runs = np.random.default_rng(0), np.repeat(np.arange(num_runs), len(LENGTHS))
    x, found = np.tile(LENGTHS, num_runs), []
    for _ in range(datasets):
        noise = rng.normal(0, shared, num_runs)[runs] + rng.normal(0, own, len(runs))
        y = predict("power", TRUTH, x) * np.exp(noise)
        intervals = intervals_by_run(fit("power", x, y), x, y, runs)
        found.append([intervals[name].low <= truth <= intervals[name].high for name, truth in TRUTH.items()])
    return np.mean(found, axis=0)


@pytest.mark.slow
@pytest.mark.parametrize("num_runs", [4, 8])
def test_95_percent_intervals_hold_the_truth_in_about_95_percent(num_runs):
    assert (held(num_runs, shared=0.08, own=0.04, datasets=100) >= 0.88).all()


def test_two_runs_say_nothing_of_how_runs_scatter():
    x, runs = np.tile(LENGTHS, 2), np.repeat([0, 1], 4)
    y = predict("power", TRUTH, x) * np.where(runs, 1.1, 1.0)
    assert set(intervals_by_run(fit("power", x, y), x, y, runs).values()) == {None}

"""Rules for many studies at once say of each study what `compare_designs` says of it."""

import numpy as np
import pytest

from lina_lab.analysis.comparison import CompareOptions, compare_designs
from lina_lab.analysis.decisions import SIGNS, better_there, may_scale, scales_better, study_pairs
from lina_lab.analysis.gap_model import doubt, gaps
from tests.analysis.simulated import COLUMNS, EQUAL, sizes
from tests.analysis.simulated import table as empty_table

SHAPES = [(1, 2), (1, 4), (2, 2), (3, 2), (3, 3), (4, 2), (4, 3), (5, 6)]


def studies(shape, count, gap=0.0, seed=0):
    """y (count, S, R, 2) with every disturbance that the rule looks for: uneven scatter, seeds that act alike."""
    rng = np.random.default_rng(seed)
    S, R = shape
    noise = rng.normal(size=(count, S, R, 2)) * [0.02, 0.016]
    noise[::3, -1] *= 4
    noise[1::3] += 0.03 * rng.normal(size=(len(noise[1::3]), 1, R, 1)) * [1, -1]
    trend = gap * np.linspace(rng.choice([0, 1], size=count), 1, S).T  # (count, S)
    return noise + 3 + np.stack([-trend, trend], axis=-1)[:, :, None] / 2


def rule(y, x, level):
    """The same by the functions that a verdict calls."""
    pairs = study_pairs(y, x)
    ratio = gaps(pairs, level)[-1].ratio
    sure = (ratio.low > 1 or ratio.high < 1) and doubt(pairs, level) is None
    return int(sure * np.sign(np.log(ratio.mean)))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("gap", "comparisons"), [(0.0, 1), (0.02, 1), (0.04, 1), (0.06, 8), (0.1, 15)])
def test_better_there_is_the_rule_study_by_study(shape, gap, comparisons):
    y, x, level = studies(shape, 12, gap), sizes(shape[0]), 1 - 0.05 / comparisons
    assert better_there(y, level).tolist() == [rule(one, x, level) for one in y]


def test_the_studies_above_are_decided_in_every_way():
    found = np.concatenate([better_there(studies(shape, 30, 0.04)) for shape in SHAPES])
    assert set(found) == {-1, 0, 1}
    assert 0.2 < np.mean(found != 0) < 0.8
    y = studies((4, 3), 30, 0.04)
    assert (better_there(-y) == -better_there(y)).all()


def curves(count, exponents=(0.35, 0.25), seed=0, seeds=4):
    """y (count, 4, seeds, 2) of two power laws."""
    rng = np.random.default_rng(seed)
    logs = np.stack([3.7 - alpha * np.log(sizes(4) / 1e6) for alpha in exponents], axis=-1)
    return logs[:, None] + 0.01 * rng.normal(size=(count, 4, seeds, 2))


def table_of(y, x):
    """A study as a results table, tuned and of equal exposure: nothing but its values stands against a claim."""
    table = empty_table(EQUAL, np.random.default_rng(0), y.shape[0], y.shape[1])
    return table.assign(fid=np.exp(np.concatenate([y[..., 0].ravel(), y[..., 1].ravel()])))


@pytest.mark.slow
@pytest.mark.parametrize("apart", [0.0, 0.1])
def test_both_claims_are_those_of_compare_designs(apart, monkeypatch):
    monkeypatch.setattr("lina_lab.analysis.gap_model.DRAWS", 3)
    y, x = curves(2, (0.25 + apart, 0.25)), sizes(4)
    verdicts = [compare_designs(table_of(one, x), COLUMNS, ["new"], ["old"], CompareOptions()) for one in y]
    assert better_there(y).tolist() == [SIGNS[verdict.better.winner] for verdict in verdicts]
    assert scales_better(y, x).tolist() == [SIGNS[verdict.scales_better.winner] for verdict in verdicts]
    assert any(better_there(y)) == bool(apart)


@pytest.mark.slow
def test_nothing_scales_better_that_may_not():
    y, x = np.concatenate([curves(4, (0.25 + apart, 0.25), seed) for seed, apart in enumerate((0.01, 0.05))]), sizes(4)
    first, all_of_it = may_scale(y, x), scales_better(y, x)
    assert ((all_of_it == 0) | (all_of_it == first)).all()
    assert any(all_of_it)


def test_three_sizes_or_one_seed_decide_nothing_about_scaling():
    assert not may_scale(curves(3)[:, 1:], sizes(4)[1:]).any()
    assert not may_scale(curves(3)[:, :, :1], sizes(4)).any()
    assert not better_there(curves(3)[:, :, :1]).any()

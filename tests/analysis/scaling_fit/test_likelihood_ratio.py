"""Claims of another exponent where there is a factor alone, in studies of known truth.

Rates keep to their nominal values within two standard errors of the simulation; benchmarks/joint.py has more studies.
"""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

from lina_lab.analysis.scaling_fit.joint import first_fit, levels, richer
from lina_lab.analysis.scaling_fit.likelihood_ratio import likelihood_ratio, rise_of_floor, signed

sys.path.append(str(Path(__file__).parent))
from joint_studies import Shape, study

LEVEL = levels("surface")
SMALL = Shape(3, 3, 2)


def climbed(data, *steps):
    found = first_fit(data)
    for own in steps:
        found = richer(data, found, [LEVEL.same, own])
    return found


def error(rate: float, count: int) -> float:
    """The binomial standard error of a simulated rate."""
    return math.sqrt(rate * (1 - rate) / count)


def claims(scenario: str, shape: Shape, count: int) -> float:
    """How often exponents of its own are said to serve better than factors."""
    found = []
    for seed in range(count):
        data, clusters = study(scenario, shape, np.random.default_rng([seed, 1]), draws=64)
        simple = climbed(data, LEVEL.factor, LEVEL.factors)
        found.append(likelihood_ratio(data, simple, [LEVEL.same, LEVEL.exponents], clusters).p < 0.05)
    return float(np.mean(found))


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["no difference", "points of runs", "unequal spread", "seeds"])
def test_a_factor_is_seldom_taken_for_another_exponent(scenario):
    assert claims(scenario, SMALL, 30) <= 0.05 + 2 * error(0.05, 30)


@pytest.mark.slow
def test_another_exponent_is_found():
    assert claims("another exponent", Shape(4, 4, 3), 10) == 1


def test_resamples_keep_pairs_and_runs_together():
    data, clusters = study("points of runs", SMALL, np.random.default_rng(0), draws=20)
    fitted = climbed(data, LEVEL.factor)
    curve = fitted.model.problem.curve(fitted.at[None])[1]
    signs = (signed(fitted, clusters) - curve) / (fitted.model.problem.target - curve)
    assert np.abs(signs) == pytest.approx(np.ones_like(signs))
    assert (signs[0] > 0).all()
    for cluster in range(clusters.number):
        of_one = signs[:, clusters.of_point == cluster]
        assert (np.sign(of_one) == np.sign(of_one[:, :1])).all()


def test_with_five_clusters_nothing_is_tested():
    data, clusters = study("factor", SMALL, np.random.default_rng(0), draws=20)
    few = clusters._replace(of_point=np.minimum(clusters.of_point, 4))
    fitted = climbed(data, LEVEL.factor)
    assert likelihood_ratio(data, fitted, [LEVEL.same, LEVEL.factors], few).p is None
    assert rise_of_floor(fitted, few) > 0


def test_without_noise_a_factor_is_all_that_is_needed():
    data, clusters = study("factor", SMALL, np.random.default_rng(0), draws=64)
    fitted = climbed(data, LEVEL.factor)
    exact = data._replace(y=np.exp(fitted.model.problem.curve(fitted.at[None])[1][0]))
    ratio = likelihood_ratio(exact, climbed(exact, LEVEL.factor), [LEVEL.same, LEVEL.factors], clusters)
    assert ratio.p > 0.05
    same = likelihood_ratio(exact, climbed(exact), [LEVEL.same, LEVEL.factor], clusters)
    assert same.p < 0.05

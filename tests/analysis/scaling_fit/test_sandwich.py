"""Intervals of factors hold them in studies of known truth, and each cluster is judged by a fit without it."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from lina_lab.analysis.scaling_fit.fits import FORMS
from lina_lab.analysis.scaling_fit.joint import factors, first_fit, levels, richer
from lina_lab.analysis.scaling_fit.sandwich import halves

sys.path.append(str(Path(__file__).parent))
from joint_studies import FACTOR, Shape, study

LEVEL = levels("surface")
STUDIES = 40


def fitted(data, *steps):
    found = first_fit(data)
    for own in steps:
        found = richer(data, found, [LEVEL.same, own])
    return found


def logs(found, column):
    """The log factor of a column of the second design, of parameters."""
    return lambda at: np.log(factors(FORMS["surface"], found.model, at)[column, 1:])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scenario", "shape"),
    [
        ("factor", Shape(3, 3, 2)),
        ("points of runs", Shape(4, 4, 3)),
        ("unequal spread", Shape(3, 3, 2)),
        ("seeds", Shape(3, 3, 2)),
    ],
)
def test_intervals_hold_the_factors(scenario, shape):
    """Of data alone, and of parameters and data together; within two standard errors of the simulation."""
    held = []
    for seed in range(STUDIES):
        data, clusters = study(scenario, shape, np.random.default_rng([seed, 2]), draws=1)
        one, each = fitted(data, LEVEL.factor), fitted(data, LEVEL.factor, LEVEL.factors)
        row = []
        for found, column, truth in ((one, 1, FACTOR), (each, 0, 1.0), (each, 1, FACTOR)):
            of = logs(found, column)
            row.append(abs(of(found.at)[0] - math.log(truth)) <= halves(found, clusters, of)[0])
        held.append(row)
    assert (np.mean(held, axis=0) >= 0.95 - 2 * math.sqrt(0.95 * 0.05 / STUDIES)).all()


def test_with_a_cluster_a_point_it_is_nearly_the_error_of_least_squares():
    data, clusters = study("factor", Shape(6, 6, 4), np.random.default_rng(0), draws=1)
    noise = np.random.default_rng(1).normal(0, 0.01, len(data.y))
    found = fitted(data._replace(y=data.y * np.exp(noise)), LEVEL.factor)
    alone = clusters._replace(of_point=np.arange(len(data.y)))
    problem = found.model.problem
    slopes = problem.slopes(*problem.curve(found.at[None]))[0]
    of = logs(found, 1)
    change = np.stack([of(found.at + 1e-6 * e) - of(found.at - 1e-6 * e) for e in np.eye(len(found.at))]) / 2e-6
    variance = found.squares / (len(data.y) - len(found.at)) * change.T @ np.linalg.inv(slopes.T @ slopes) @ change
    plain = math.sqrt(variance[0, 0]) * stats.t.ppf(0.975, len(data.y) - len(found.at))
    assert halves(found, alone, of)[0] == pytest.approx(plain, rel=0.2)


def test_fewer_clusters_than_six_give_no_interval():
    data, clusters = study("factor", Shape(3, 3, 2), np.random.default_rng(0), draws=1)
    found = fitted(data, LEVEL.factor)
    few = clusters._replace(of_point=np.minimum(clusters.of_point, 4))
    assert halves(found, few, logs(found, 1)).tolist() == [math.inf]

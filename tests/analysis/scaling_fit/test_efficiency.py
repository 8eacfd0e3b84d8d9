"""What designs need beside the first: the right answer in studies of known truth, and the same in other units."""

import sys
from pathlib import Path

import numpy as np
import pytest

from lina_lab.analysis.scaling_fit.efficiency import EACH, EITHER, EXPONENT, NONE, ONE, joint

sys.path.append(str(Path(__file__).parent))
from joint_studies import FACTOR, Shape, study


def studied(scenario: str, seed: int = 0, draws: int = 100):
    return study(scenario, Shape(), np.random.default_rng([seed, 5]), draws)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scenario", "says"),
    [
        ("no difference", {NONE}),
        ("factor", {ONE}),
        ("points of runs", {ONE}),
        ("floors differ", {EITHER}),
        ("another exponent", {EITHER, EXPONENT}),
    ],
)
def test_the_answer_is_that_of_the_truth(scenario, says):
    assert joint(*studied(scenario)).designs[0].says in says


@pytest.mark.slow
def test_a_factor_of_parameters_beside_one_of_data_is_seen():
    data, clusters = studied("factor")
    second = data.design == 1
    terms = 30 * data.x[:, 0] ** -0.4
    more = np.where(second, terms * (1.5**0.4 - 1), 0)  # as if it had a 1.5th of the parameters
    found = joint(data._replace(y=data.y + more), clusters).designs[0]
    assert found.says == EACH
    parameters, samples = found.factors
    assert parameters.low < 1.5 < parameters.high
    assert samples.low < FACTOR < samples.high
    assert found.product.mean == pytest.approx(parameters.mean * samples.mean)


@pytest.mark.slow
def test_units_change_no_factor_and_no_p():
    data, clusters = studied("points of runs")
    found = joint(data, clusters)
    other = joint(data._replace(x=data.x * [1e-6, 1e-3], y=7 * data.y), clusters)
    assert other.designs[0].factor == pytest.approx(found.designs[0].factor, rel=1e-4)
    assert other.designs[0].tests.exponents.p == found.designs[0].tests.exponents.p
    assert other.params["E"] == pytest.approx([7 * value for value in found.params["E"]], rel=1e-3)


@pytest.mark.slow
def test_over_floors_the_squares_rise_to_the_same_limit_on_either_side():
    floors = joint(*studied("points of runs")).floors
    values = [at.floor for at in floors]
    assert values == sorted(values)
    assert floors[2].rise == pytest.approx(0, abs=1e-9)
    assert floors[0].rise == pytest.approx(floors[4].rise, rel=1e-2)
    assert values[0] < 0.5 < values[4]
    exponents = [at.exponents[1] for at in floors]
    assert exponents == sorted(exponents)  # the higher the floor, the steeper what is above it
    assert {at.factors[0, 0] for at in floors} == {1.0}


@pytest.mark.slow
def test_a_third_design_is_compared_with_the_first_alone():
    """The third is the first again: it needs once what that does, and the answer on the second stays."""
    data, clusters = studied("points of runs")
    first = data.design == 0
    three = data._replace(
        x=np.concatenate([data.x, data.x[first]]),
        y=np.concatenate([data.y, data.y[first]]),
        design=np.concatenate([data.design, np.full(first.sum(), 2)]),
    )
    found = joint(three, clusters._replace(of_point=np.append(clusters.of_point, clusters.of_point[first])))
    second, third = found.designs
    assert second.says == ONE
    assert second.factor.mean == pytest.approx(joint(data, clusters).designs[0].factor.mean, rel=0.01)
    assert third.factor == pytest.approx((1, 1, 1), abs=0.01)
    assert third.says == NONE


def test_with_few_clusters_there_are_factors_alone():
    data, clusters = studied("factor", draws=10)
    found = joint(data, clusters._replace(of_point=clusters.of_point // 3))
    assert found.designs[0].says is None
    assert found.designs[0].factor.mean == pytest.approx(FACTOR, rel=0.1)
    assert np.isnan(found.designs[0].factor.low)
    assert found.designs[0].tests.exponents.p is None
    assert len(found.floors) == 5

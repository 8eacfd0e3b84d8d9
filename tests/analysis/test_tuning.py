"""The line through chosen values."""

import numpy as np
import pytest
from scipy import stats

from lina_lab.analysis.tuning import power_law


def test_a_power_law_is_found_exactly():
    x = [1e5, 4e5, 2e6, 1e7]
    law = power_law(x, [3 * v**-0.25 for v in x])
    assert law.factor == pytest.approx(3)
    assert law.exponent == pytest.approx(-0.25)
    assert law.low == pytest.approx(-0.25)
    assert law.high == pytest.approx(-0.25)


@pytest.mark.slow
def test_the_interval_holds_the_true_exponent_as_often_as_it_says():
    rng = np.random.default_rng(0)
    x = np.array([1e5, 4e5, 2e6, 1e7])
    count = 2000
    laws = [power_law(x, np.exp(np.log(3 * x**-0.25) + rng.normal(0, 0.3, 4))) for _ in range(count)]
    held = sum(law.low < -0.25 < law.high for law in laws)
    assert stats.binomtest(held, count, 0.95).pvalue > 0.01


def test_two_points_have_no_interval_and_one_has_no_line():
    law = power_law([1.0, 4.0], [1.0, 2.0])
    assert law.exponent == pytest.approx(0.5)
    assert law.low is None
    assert law.high is None
    assert power_law([2.0, 2.0], [1.0, 3.0]) is None

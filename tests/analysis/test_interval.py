"""The t interval against SciPy's own."""

import pytest
from scipy import stats

from lina_lab.analysis.interval import mean_interval


def test_the_interval_is_the_t_interval_of_the_mean():
    values = [0.1, 0.3, 0.25, -0.05]
    low, high = stats.t.interval(0.95, 3, loc=sum(values) / 4, scale=stats.sem(values))
    assert mean_interval(values) == pytest.approx((0.15, low, high))
    assert mean_interval([0.1]) is None

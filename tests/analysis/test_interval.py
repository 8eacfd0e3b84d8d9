"""The t interval against SciPy's own."""

import math

import pytest
from scipy import stats

from lina_lab.analysis.interval import log_interval


def test_the_interval_is_the_t_interval_of_the_logs():
    logs = [0.1, 0.3, 0.25, -0.05]
    low, high = stats.t.interval(0.95, 3, loc=sum(logs) / 4, scale=stats.sem(logs))
    interval = log_interval(logs)
    assert interval == pytest.approx((math.exp(0.15), math.exp(low), math.exp(high)))
    assert log_interval([0.1]) is None

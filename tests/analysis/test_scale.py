"""Ratio and difference: what equal values are, and that the way there and back changes nothing."""

import pytest

from lina_lab.analysis.interval import Interval
from lina_lab.analysis.scale import DIFFERENCE, RATIO, scale_of


@pytest.mark.parametrize(("scale", "expected"), [(RATIO, 0.5), (DIFFERENCE, -2.0)])
def test_the_gap_of_two_values_is_their_difference_on_the_scale(scale, expected):
    assert scale.between(2.0, 4.0) == expected
    assert scale.back(scale.forward(2.0) - scale.forward(4.0)) == pytest.approx(expected)
    assert scale.between(4.0, 4.0) == scale.neutral


def test_an_end_that_overflows_is_infinite():
    assert RATIO.interval(Interval(0.0, -800.0, 800.0)) == (1.0, 0.0, float("inf"))
    assert DIFFERENCE.interval(Interval(0.0, -800.0, 800.0)) == (0.0, -800.0, 800.0)


def test_a_known_metric_has_its_scale_whatever_its_values():
    assert scale_of("eval/kid/digits-cnn", [0.5]) == scale_of("recall", [0.5]) == DIFFERENCE
    assert scale_of("fid", [-1.0]) == RATIO


def test_an_unknown_metric_has_ratios_where_all_values_are_above_0():
    assert scale_of("accuracy", [0.5, 0.1]) == RATIO
    assert scale_of("accuracy", [0.5, 0.0]) == DIFFERENCE

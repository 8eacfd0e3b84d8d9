"""Ticks of logarithmic axes: round numbers, a few of them, and labels that a reader knows."""

import pytest
from matplotlib.figure import Figure

from lina_lab.figures.ticks import log_axis, log_ticks, si


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (1, 1000, [1, 10, 100, 1000]),
        (2, 60, [3, 10, 30]),
        (1e5, 1e6, [1e5, 3e5, 1e6]),
        (11, 45, [15, 20, 30]),
        (1e-3, 1e12, [1e-3, 1, 1e3, 1e6, 1e9, 1e12]),
    ],
)
def test_ticks_are_the_sparsest_round_numbers_of_which_there_are_three(low, high, ticks):
    assert log_ticks(low, high)[: len(ticks)] == pytest.approx(ticks)
    assert 3 <= len(log_ticks(low, high)) <= 6


def test_a_narrow_range_has_even_ticks_within_it():
    assert log_ticks(51, 69) == [55, 60, 65]


@pytest.mark.parametrize(
    ("number", "text"), [(950, "950"), (1e3, "1k"), (402_948, "403k"), (1.5e12, "1.5T"), (2e15, "2P"), (0.25, "0.25")]
)
def test_a_number_has_three_digits_and_a_metric_prefix(number, text):
    assert si(number) == text


def test_an_axis_has_these_ticks_and_no_others_also_where_all_values_are_one():
    for values in ([1.0, 1000.0], [7.0, 7.0]):
        panel = Figure().add_subplot()
        panel.plot(values, values)
        log_axis(panel.xaxis)
        assert panel.get_xscale() == "log"
        assert len(panel.get_xticks()) >= 3
        assert not len(panel.get_xticks(minor=True))
    low, high = panel.get_xlim()
    assert low < 7 < high

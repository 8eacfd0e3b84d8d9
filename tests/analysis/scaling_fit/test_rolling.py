"""Errors by rolling forward: each size from those below it, as one would have predicted it before it ran."""

import numpy as np
import pytest

from lina_lab.analysis.scaling_fit.rolling import MOST, rolling

SIZES = np.repeat(np.geomspace(1e5, 3.2e6, 6), 2)
GRID = np.array([(n, d) for n in np.geomspace(1e5, 1e8, 5) for d in np.geomspace(1e8, 1e11, 5)])


def test_each_size_is_predicted_by_the_line_through_all_below():
    y = 300 * SIZES**-0.3 * np.exp(np.random.default_rng(0).normal(0, 0.05, len(SIZES)))
    first, *_ = held = rolling("power", SIZES[:8], y[:8])
    assert [size.x for size in held] == pytest.approx([*np.unique(SIZES)[2:4]])
    slope, height = np.polyfit(np.log(SIZES[:4]), np.log(y[:4]), 1)
    assert first.predicted == pytest.approx(np.exp(height + slope * np.log(first.x)))
    assert first.y == pytest.approx(np.sqrt(y[4] * y[5]))
    assert first.error == pytest.approx(first.predicted / first.y - 1)


def test_what_comes_later_changes_no_earlier_error():
    y = 300 * SIZES**-0.3 * np.exp(np.random.default_rng(1).normal(0, 0.05, len(SIZES)))
    largest = SIZES.max()
    bent = np.where(largest == SIZES, 5 * y, y)
    before, after = rolling("power", SIZES, y), rolling("power", SIZES, bent)
    assert before[:-1] == after[:-1]
    assert after[-1].error == pytest.approx((1 + before[-1].error) / 5 - 1)


@pytest.mark.slow
def test_a_floor_is_foreseen_by_the_form_that_has_one():
    """From the fifth size on, since four are needed for it; the power law falls below ever more."""
    y = 2 + 300 * SIZES**-0.35
    offset, power = (rolling(form, SIZES, y) for form in ("offset", "power"))
    assert [size.error for size in offset] == pytest.approx([0, 0], abs=1e-6)
    errors = [size.error for size in power]
    assert len(errors) == 4
    assert errors == sorted(errors, reverse=True)
    assert errors[0] < 0


@pytest.mark.slow
@pytest.mark.parametrize("column", [0, 1])
def test_surfaces_roll_over_either_column(column):
    y = 1.7 + 60 * GRID[:, 0] ** -0.34 + 800 * GRID[:, 1] ** -0.28
    held = rolling("surface", GRID, y, column)
    assert [size.x for size in held] == pytest.approx([*np.unique(GRID[:, column])[3:]])
    assert [size.error for size in held] == pytest.approx([0, 0], abs=1e-5)


def test_of_many_sizes_the_largest_are_predicted():
    x = np.geomspace(1e5, 1e8, 30)
    assert [size.x for size in rolling("power", x, x**-0.3)] == pytest.approx([*x[-MOST:]])


def test_two_sizes_predict_nothing():
    assert rolling("power", [1e5, 1e6], [2, 1]) == []

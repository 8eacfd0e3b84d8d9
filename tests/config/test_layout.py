"""Grids of token counts."""

import pytest

from lina_lab.config.layout import near_square


@pytest.mark.parametrize(("count", "grid"), [(1, (1, 1)), (6, (2, 3)), (7, (1, 7)), (64, (8, 8)), (72, (8, 9))])
def test_the_two_factors_are_the_nearest_ones(count, grid):
    assert near_square(count) == grid

"""Multiply-adds as torch counts them, of calls whose number is known."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lina_lab.profiling.counting import ALL, check_macs, counted_macs


def test_products_and_convolutions_are_counted_whole_and_by_module():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(5, 7)
            self.conv = nn.Conv2d(4, 4, 3, padding=1, groups=4)

        def forward(self, x, grid):
            return self.linear(x), self.conv(grid)

    def build():
        made, x, grid = Both(), torch.empty(2, 3, 5), torch.empty(2, 4, 6, 8)
        return lambda: made(x, grid)

    counts = counted_macs(build)
    linear, conv = 2 * 3 * 5 * 7, 2 * 4 * 6 * 8 * 9
    assert counts[ALL] == linear + conv
    assert (counts["Both.linear"], counts["Both.conv"]) == (linear, conv)


def test_softmax_attention_counts_its_two_products():
    shape = (2, 3, 11, 4)  # B, H, N, d
    counts = counted_macs(lambda: lambda: F.scaled_dot_product_attention(*(torch.empty(shape) for _ in range(3))))
    assert counts[ALL] == 2 * (2 * 3 * 11 * 11 * 4)


def test_a_closed_form_that_torch_does_not_count_is_refused_with_both_numbers():
    assert check_macs("attention", 1e12, 1e12 * (1 + 1e-12)) == 1e12
    with pytest.raises(ValueError, match="attention: the closed form gives 1,000 multiply-adds, torch counts 1,001"):
        check_macs("attention", 1000, 1001)

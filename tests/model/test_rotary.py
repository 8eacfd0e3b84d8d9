"""Rotary positions."""

import pytest
import torch

from lina_lab.model.rotary import rotated, rotation


@pytest.mark.parametrize(("head_size", "still", "each"), [(64, 8, 28), (96, 12, 42), (32, 4, 14), (16, 4, 6)])
def test_rotary_channels_are_those_of_the_published_sizes(head_size, still, each):
    """An eighth of the channels is the time axis, always at 0; halves of the rest turn by row and by column."""
    cosine, sine = rotation(2, 3, 5, head_size)
    moves = (sine != 0).any(0)
    assert not moves[: still // 2].any()
    assert moves[still // 2 :].all()
    by_row, by_column = (2 + 5 * 1, 2 + 1)  # row 1, column 0; row 0, column 1
    assert (sine[by_row] != 0).nonzero().flatten().tolist() == list(range(still // 2, (still + each) // 2))
    assert (sine[by_column] != 0).nonzero().flatten().tolist() == list(range((still + each) // 2, head_size // 2))
    assert torch.equal(cosine[:2], torch.ones(2, head_size // 2))
    angles = torch.tensor([10000.0 ** (-i / each) for i in range(0, each, 2)])
    torch.testing.assert_close(sine[by_row][still // 2 : (still + each) // 2], angles.sin())


def test_before_the_feature_map_products_of_queries_and_keys_depend_on_relative_positions():
    turns = rotation(0, 9, 9, 16).double()
    q, k = (torch.randn(1, 1, 1, 16, generator=torch.Generator().manual_seed(i)).double() for i in (1, 2))

    def product(at: tuple[int, int], other: tuple[int, int]) -> float:
        return (
            (rotated(q, turns[:, [9 * at[0] + at[1]]]) * rotated(k, turns[:, [9 * other[0] + other[1]]])).sum().item()
        )

    assert product((1, 2), (3, 3)) == pytest.approx(product((5, 6), (7, 7)), rel=1e-5)
    assert product((1, 2), (3, 3)) != pytest.approx(product((1, 2), (3, 4)), rel=1e-3)
    assert product((1, 2), (3, 3)) != pytest.approx(product((3, 3), (1, 2)), rel=1e-3)


def test_rotation_keeps_lengths_and_dtype():
    u = torch.randn(2, 3, 20, 16, generator=torch.Generator().manual_seed(0))
    turned = rotated(u, rotation(4, 4, 4, 16))
    torch.testing.assert_close(turned.norm(dim=-1), u.norm(dim=-1))
    assert rotated(u.bfloat16(), rotation(4, 4, 4, 16)).dtype == torch.bfloat16


@pytest.mark.parametrize("head_size", [2, 7])
def test_heads_that_cannot_turn_are_refused(head_size):
    with pytest.raises(ValueError, match=f"heads of 4, 6, 8 ... channels, not {head_size}"):
        rotation(1, 2, 2, head_size)

"""Rotary positions on a grid: pairs of channels of queries and keys are turned by row and by column.

Shapes: B batch, N tokens, H heads, d channels of a head, r channels for each of row and column.
"""

import torch
from torch import Tensor


def rotation(prefix: int, height: int, width: int, head_size: int) -> Tensor:
    """Cosine and sine of every token's angles, (2, N, d / 2): 0 for the prefix, then a grid in raster order.

    r = 2 ⌊(d - ⌊d / 8⌋) / 4⌋ channels turn by row 10000^(-i / r), i = 0, 2, ..., the last r by column; those in front,
    published as a time axis that is always at 0, stand still. In the published sizes d - 2 r is d / 8.

    Raises:
        ValueError: if head_size is odd, or below 4, where nothing could turn.
    """
    if head_size % 2 or head_size < 4:
        raise ValueError(f"rotary positions need heads of 4, 6, 8 ... channels, not {head_size}")
    turned = 2 * ((head_size - head_size // 8) // 4)
    frequency = 10000.0 ** (-torch.arange(0, turned, 2, dtype=torch.float32, device="cpu") / turned)  # (r / 2,)
    rows = torch.arange(height, dtype=torch.float32, device="cpu").repeat_interleave(width)
    columns = torch.arange(width, dtype=torch.float32, device="cpu").repeat(height)
    angles = torch.zeros(prefix + height * width, head_size // 2, device="cpu")
    angles[prefix:, head_size // 2 - turned :] = torch.cat([p[:, None] * frequency for p in (rows, columns)], dim=-1)
    return torch.stack([angles.cos(), angles.sin()])


def rotated(u: Tensor, turns: Tensor) -> Tensor:
    """Queries or keys (B, H, N, d) with each pair of neighbouring channels turned; in float32, rounded once.

    `turns` is (2, N, d / 2), or (2, B, N, d / 2) where every image has positions of its own.
    """
    even, odd = u.to(torch.promote_types(u.dtype, torch.float32)).unflatten(-1, (-1, 2)).unbind(-1)
    cosine, sine = turns.unsqueeze(-3)  # (1 or B, 1, N, d / 2)
    pairs = torch.stack([even * cosine - odd * sine, even * sine + odd * cosine], dim=-1)
    return pairs.flatten(-2).to(u.dtype)

"""Transformer blocks, their stacks, and the position table.

Shapes: B batch, N tokens, D width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lina_lab.config.model import AttentionConfig
from lina_lab.model.attention import Attention, Layout, take


class Mlp(nn.Module):
    """W2 gelu(W1 x + b1) + b2, with the exact (erf) GELU."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """x ← x + LN(Attention(x)), then x ← x + LN(Mlp(x)): the norm sits on the branch's output, before the addition."""

    def __init__(
        self,
        config: AttentionConfig,
        width: int,
        num_heads: int,
        mlp_ratio: int,
        layout: Layout | None,
        context_tokens: int | None = None,
    ) -> None:
        super().__init__()
        self.attention = Attention(config, width, num_heads, layout, context_tokens)
        self.norm1 = nn.LayerNorm(width)
        self.mlp = Mlp(width, mlp_ratio * width)
        self.norm2 = nn.LayerNorm(width)

    def forward(self, x: Tensor, rows: Tensor | None = None, turns: Tensor | None = None) -> Tensor:
        """(B, N, D) to (B, N, D); with `rows` (B, n) only these tokens of the result, (B, n, D).

        `turns` are rotary positions of all tokens.
        """
        attended = self.norm1(self.attention(x, rows=rows, turns=turns))
        x = (x if rows is None else take(x, rows)) + attended
        return x + self.norm2(self.mlp(x))


class Stack(nn.Sequential):
    """Consecutive blocks; with `rows`, the last block computes only those rows of the result."""

    def forward(self, x: Tensor, rows: Tensor | None = None, turns: Tensor | None = None) -> Tensor:
        *before, last = self
        for block in before:
            x = block(x, turns=turns)
        return last(x, rows=rows, turns=turns)


def sincos_table(height: int, width: int, channels: int) -> Tensor:
    """The position table of a grid, (height * width, channels), in raster order.

    Row r and column s hold [sin(s f), cos(s f), sin(r f), cos(r f)] with f_j = 10000^(-4j / channels).

    Raises:
        ValueError: if channels is not a multiple of 4.
    """
    if channels % 4:
        raise ValueError(f"channels must be a multiple of 4, not {channels}")
    quarter = channels // 4
    frequency = 10000.0 ** (-torch.arange(quarter, dtype=torch.float32, device="cpu") / quarter)
    rows = torch.arange(height, dtype=torch.float32, device="cpu").repeat_interleave(width)
    columns = torch.arange(width, dtype=torch.float32, device="cpu").repeat(height)
    parts = [wave(p[:, None] * frequency) for p in (columns, rows) for wave in (torch.sin, torch.cos)]
    return torch.cat(parts, dim=-1)

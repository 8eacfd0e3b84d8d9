"""Local parts of attention: depthwise convolutions whose result is added to what the heads have read.

Shapes: B batch, N tokens, D width, L tokens that a part reaches, K taps (k² of a k x k filter).
"""

from collections.abc import Callable
from functools import partial
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lina_lab.kernels.convolution import Layout, depthwise_convolution


class Local(Protocol):
    """A local part: a module that, of the block's input and the values, both (B, N, D), makes what it adds."""

    def local(self, x: Tensor, v: Tensor, *, kernels: bool) -> Tensor:
        """(B, L, D), for the last L tokens."""
        ...


class FilterGenerator(nn.Module):
    """Depthwise filters of every image from the mean of its tokens, by two maps within heads and a GELU between them.

    Two grouped 1 x 1 convolutions: (1 + K) (D d + D) parameters.
    """

    def __init__(self, width: int, num_heads: int, taps: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv1d(width, width, 1, groups=num_heads)
        self.fc2 = nn.Conv1d(width, taps * width, 1, groups=num_heads)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) to (B, D, K)."""
        mean = x.mean(1).unsqueeze(-1)  # (B, D, 1)
        return self.fc2(F.gelu(self.fc1(mean))).view(len(x), x.shape[-1], -1)


class FixedGrid(nn.Conv2d):
    """Learnt k x k filters and bias on the grid of x, the same for every image."""

    def __init__(self, side: int, width: int, num_heads: int, layout: Layout) -> None:  # noqa: ARG002, as below
        super().__init__(width, width, side, padding="same", groups=width)
        self.layout = layout

    def local(self, x: Tensor, v: Tensor, *, kernels: bool) -> Tensor:  # noqa: ARG002
        if kernels and self.bias is not None:
            return depthwise_convolution(x, self.weight, self.bias, self.layout)
        return self(_grid(x, self.layout)).flatten(2).mT


class GeneratedGrid(nn.Module):
    """k x k filters on the grid of x, generated for every image; no bias."""

    def __init__(self, side: int, width: int, num_heads: int, layout: Layout) -> None:
        super().__init__()
        self.generator = FilterGenerator(width, num_heads, side * side)
        self.side, self.layout = side, layout

    def local(self, x: Tensor, v: Tensor, *, kernels: bool) -> Tensor:  # noqa: ARG002
        filters = self.generator(x).flatten(0, 1).unflatten(-1, (1, self.side, self.side))  # (B D, 1, k, k)
        grid = _grid(x, self.layout).flatten(0, 1).to(filters.dtype)  # (B D, h, w)
        # Every image has filters of its own: images stand side by side as channels of one.
        out = F.conv2d(grid.unsqueeze(0), filters, padding="same", groups=len(filters))
        return out.view(len(x), -1, out[0, 0].numel()).mT


class GeneratedSequence(nn.Module):
    """K taps along all of v, generated for every image; no bias."""

    def __init__(self, taps: int, width: int, num_heads: int, tokens: int) -> None:  # noqa: ARG002, as below
        super().__init__()
        self.generator = FilterGenerator(width, num_heads, taps)

    def local(self, x: Tensor, v: Tensor, *, kernels: bool) -> Tensor:  # noqa: ARG002
        filters = self.generator(x).flatten(0, 1).unsqueeze(1)  # (B D, 1, K)
        rows = v.mT.flatten(0, 1).to(filters.dtype)  # (B D, N)
        out = F.conv1d(rows.unsqueeze(0), filters, padding="same", groups=len(filters))
        return out.view(len(x), -1, x.shape[1]).mT


class FixedSequence(nn.Conv1d):
    """Learnt taps and bias along the first `tokens` tokens of x; nothing for the others."""

    def __init__(self, taps: int, width: int, num_heads: int, tokens: int) -> None:  # noqa: ARG002
        super().__init__(width, width, taps, padding="same", groups=width)
        self.tokens = tokens

    def local(self, x: Tensor, v: Tensor, *, kernels: bool) -> Tensor:  # noqa: ARG002
        if not self.tokens:
            return torch.zeros_like(x)
        out = self(x[:, : self.tokens].mT).mT  # (B, P, D)
        return F.pad(out, (0, 0, 0, x.shape[1] - self.tokens))


def _grid(x: Tensor, layout: Layout) -> Tensor:
    prefix, height, width = layout
    return x[:, prefix:].mT.unflatten(-1, (height, width))  # (B, D, height, width)


CONV_WEIGHTS: dict[str, Callable[[int, int, int, Layout], FixedGrid | GeneratedGrid]] = {
    "fixed": FixedGrid,
    "generated": GeneratedGrid,
}
"""Of side, width, heads and layout."""

SEQUENCE_CONVS: dict[str, Callable[[int, int, int], FixedSequence | GeneratedSequence] | None] = {
    "none": None,
    "generated_3": partial(GeneratedSequence, 3),
    "generated_5": partial(GeneratedSequence, 5),
    "fixed_5": partial(FixedSequence, 5),
}
"""Of width, heads, and the tokens in front that a fixed one reaches."""

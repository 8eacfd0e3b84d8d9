"""Learnt weights of keys and values: for every position, from the input, or for runs of positions.

Shapes: B batch, N tokens, D width, H heads (1 where all heads share their gates), G groups. Gates are multiplied into
the keys after φ and into the values, in the precision of the linear core.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PositionGates(nn.ParameterDict):
    """One free number for every head and position: (H, N) by name, 1 at the start."""

    def __init__(self, names: tuple[str, ...], width: int, heads: int, tokens: int) -> None:  # noqa: ARG002, as below
        super().__init__({name: nn.Parameter(torch.ones(heads, tokens)) for name in names})

    def weights(self, x: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """(B, N, D) to (H, N) by name."""
        return dict(self.items())


class DataGates(nn.ModuleDict):
    """sigmoid(w·x + b)^(1/16) for every head.

    As exp(logsigmoid(z) / 16): log(sigmoid(z)) has the gradient 0 · ∞ once the sigmoid is rounded to 0.
    """

    def __init__(self, names: tuple[str, ...], width: int, heads: int, tokens: int) -> None:  # noqa: ARG002
        super().__init__({name: nn.Linear(width, heads) for name in names})

    def weights(self, x: Tensor) -> dict[str, Tensor]:
        """(B, N, D) to (B, H, N) by name."""
        logits = {name: linear(x).mT for name, linear in self.items()}
        return {name: (F.logsigmoid(_at_least_float32(z)) / 16).exp() for name, z in logits.items()}


KV_GATES: dict[str, type[PositionGates | DataGates]] = {
    "none": PositionGates,
    "key": PositionGates,
    "value": PositionGates,
    "key_value": PositionGates,
    "key_value_split": PositionGates,
    "key_value_data": DataGates,
}
"""How the gates of each value are made; which of `key`, `mass` and `value` there are stands in the value's entry."""


class GroupMemory(nn.Module):
    """M = Σ_g softmax_g(logit_hg) M_g over G runs of positions, as a weight of the keys that M alone sees.

    M_g = (G / N) Σ k'_m v_mᵀ over the g-th run: the mean over it where G divides N.
    """

    def __init__(self, heads: int, groups: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(heads, groups))

    def forward(self, gates: Mapping[str, Tensor], tokens: int) -> dict[str, Tensor]:
        """The gates with the weights in `key`, and `mass` as `key` was."""
        groups = self.logits.shape[1]
        run = torch.arange(tokens, device=self.logits.device) * groups // tokens  # (N,)
        weight = groups * _at_least_float32(self.logits).softmax(-1)[:, run]  # (H, N)
        key = gates.get("key", torch.ones_like(weight))
        return {**gates, "mass": gates.get("mass", key), "key": key * weight}


class OutputGate(nn.Module):
    """w o / (rms(o) + 1e-6) * sigmoid(W x + b), rms over the channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.gate = nn.Linear(width, width)

    def forward(self, merged: Tensor, x: Tensor) -> Tensor:
        """Heads merged and the block's input, both (B, n, D), to (B, n, D)."""
        # A norm has a gradient where all is 0; the root of a mean of squares has none.
        wide = _at_least_float32(merged)
        rms = torch.linalg.vector_norm(wide, dim=-1, keepdim=True) * wide.shape[-1] ** -0.5
        return (wide / (rms + 1e-6)).to(merged.dtype) * self.weight * self.gate(x).sigmoid()


OUTPUT_GATES: dict[str, type[OutputGate] | None] = {"none": None, "sigmoid": OutputGate}


def _at_least_float32(u: Tensor) -> Tensor:
    return u.to(torch.promote_types(u.dtype, torch.float32))

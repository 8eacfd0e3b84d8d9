"""The flow-matching head: predicts the velocity of noisy tokens from their conditioning and their time.

Shapes: B batch, n tokens in question, D width of the conditioning, W width of the head, V values of a token.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lina_lab.design.position import TIME_FEATURES


def time_features(time: Tensor) -> Tensor:
    """[cos(t ω_i), sin(t ω_i)], ω_i = 10^(-4 i / 128), i < 128: (...) to (..., 256). Angles reach 1000 rad: float32."""
    half = TIME_FEATURES // 2
    index = torch.arange(half, dtype=torch.float32, device=time.device)
    frequency = torch.exp(-math.log(10000.0) * index / half)
    angle = time.unsqueeze(-1).to(torch.promote_types(time.dtype, torch.float32)) * frequency
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


class Projector(nn.Module):
    """Linear, SiLU, Linear."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(inputs, width)
        self.fc2 = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.silu(self.fc1(x)))


class HeadBlock(nn.Module):
    """x ← x + γ LN(Projector(LN₀(x) (1 + α) + β)), with (α, β, γ) = Linear(silu(s)); LN₀ has no parameters."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.modulation = nn.Linear(width, 3 * width)
        self.projector = Projector(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, activated: Tensor) -> Tensor:
        scale, shift, gate = self.modulation(activated).chunk(3, dim=-1)
        return torch.addcmul(x, gate, self.norm(self.projector(_modulated(x, scale, shift))))


class FlowHead(nn.Module):
    """Velocity of noisy tokens: (B, n, V) with condition and time, to (B, n, V)."""

    def __init__(self, values: int, condition_width: int, width: int, depth: int) -> None:
        super().__init__()
        self.patch = nn.Linear(values, width)
        self.time = Projector(TIME_FEATURES, width)
        self.condition = Projector(condition_width, width)
        self.blocks = nn.ModuleList(HeadBlock(width) for _ in range(depth))
        self.modulation = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, values)

    def embed_time(self, time: Tensor) -> Tensor:
        """Projected times: (...) in (0, 1000] to (..., W)."""
        return self.time(time_features(time).to(self.time.fc1.weight.dtype))

    def forward(self, noisy: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        """`time` and `condition` are projected: (B, n, W) or a shape that broadcasts to it.

        The projections `embed_time(t)` and `condition(z)` are the caller's: one serves all times of a token, the
        other all tokens of a time.
        """
        activated = F.silu(condition + time)  # (B, n, W)
        x = self.patch(noisy)  # (B, n, W)
        for block in self.blocks:
            x = block(x, activated)
        scale, shift = self.modulation(activated).chunk(2, dim=-1)
        return self.out(_modulated(x, scale, shift))


def _modulated(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    normed = F.layer_norm(x, x.shape[-1:], eps=1e-6)
    return torch.addcmul(normed + shift, normed, scale)

"""Attention of every LINA variant: one module, one table for each design axis.

Shapes: B batch, N tokens (prefix tokens, then a grid in raster order), D width, H heads, d = D / H.
The parts of one axis share a signature; constants that differ stand in the tables, not in an `if`.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lina_lab.config.model import AttentionConfig
from lina_lab.config.settings import Backend
from lina_lab.kernels import linear
from lina_lab.kernels.availability import usable
from lina_lab.kernels.convolution import depthwise_convolution


class Layout(NamedTuple):
    """How a sequence is laid out: `prefix` tokens, then a height x width grid in raster order."""

    prefix: int
    height: int
    width: int

    @property
    def tokens(self) -> int:
        return self.prefix + self.height * self.width


class Normalization(NamedTuple):
    """How queries read keys and values.

    `read(q, k, v, k_mass)` takes (B, H, N, d) and gives (B, H, N, d); `k_mass` are the keys that the normaliser sees.
    `feature_eps` is added to φ before gates and before the cast to float32: with all-negative queries it decides the
    result, so it belongs to the normalization and not to φ.
    """

    read: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    feature_eps: float = 0.0
    float32: bool = True


def division(q: Tensor, k: Tensor, v: Tensor, k_mass: Tensor) -> Tensor:
    """(q M) / (q·k̄ + 1e-6) with M = mean_n k_n v_nᵀ; q, k >= 0. LINA, variant linear6."""
    memory = k.mT @ v / k.shape[-2]  # (B, H, d, d)
    mass = q @ k_mass.mean(-2, keepdim=True).mT  # (B, H, N, 1)
    return q @ memory / (mass + 1e-6)


def subtraction(q: Tensor, k: Tensor, v: Tensor, k_mass: Tensor) -> Tensor:
    """s q M + (1 - s q·k̄) v̄ with s = d^-1/2: weights that sum to 1. LINA, variant linear9; arXiv:2412.06590."""
    q = q * q.shape[-1] ** -0.5
    memory = k.mT @ v / k.shape[-2]  # (B, H, d, d)
    mass = q @ k_mass.mean(-2, keepdim=True).mT  # (B, H, N, 1)
    return q @ memory + (1 - mass) * v.mean(-2, keepdim=True)


def softmax(q: Tensor, k: Tensor, v: Tensor, k_mass: Tensor) -> Tensor:  # noqa: ARG001, softmax has no key mean
    """softmax(q kᵀ d^-1/2) v: the quadratic baseline."""
    return F.scaled_dot_product_attention(q, k, v)


NORMALIZATIONS: dict[str, Normalization] = {
    "division": Normalization(division, feature_eps=1e-6),
    "subtraction": Normalization(subtraction),
    "softmax": Normalization(softmax, float32=False),
}

FEATURE_MAPS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "elu1": lambda u: F.elu(u) + 1,
    "identity": lambda u: u,
}

KV_GATES: dict[str, tuple[str, ...]] = {
    "none": (),
    "key": ("key",),
    "value": ("value",),
    "key_value": ("key", "value"),
    "key_value_split": ("key", "mass", "value"),
}
"""The gates of each value: `key` scales the keys, in the normaliser too unless `mass` gates those."""


def rows_at(positions: Tensor, like: Tensor) -> Tensor:
    """Positions (B, n) as the index (B, n, C) that gathers from, or scatters to, rows of C channels as `like` has."""
    return positions.unsqueeze(-1).expand(-1, -1, like.shape[-1])


def take(x: Tensor, positions: Tensor) -> Tensor:
    """Rows (B, n, C) of x (B, N, C) at positions (B, n)."""
    return x.gather(1, rows_at(positions, x))


class Attention(nn.Module):
    """One attention of the family: (B, N, D) to (B, N, D).

    The linear core runs in float32 whatever the model's precision (the published code does the same); the
    convolution reads the input's grid tokens and is added to their output before the output projection.
    """

    def __init__(self, config: AttentionConfig, width: int, num_heads: int, layout: Layout | None) -> None:
        """`layout` is needed where a position means something: for a convolution or gates.

        Raises:
            ValueError: if the config has a convolution or gates and there is no layout.
        """
        super().__init__()
        gates = KV_GATES[config.kv_gate]
        if layout is None and (config.conv_kernel or gates):
            raise ValueError("a convolution or a gate needs a layout, and this segment has none")
        self.config, self.layout = config, layout
        self.num_heads, self.head_size = num_heads, width // num_heads
        self.backend: Backend = "auto"
        """What computes the linear core and the convolution; see `lina_lab.model.execution`."""
        self.normalization = NORMALIZATIONS[config.normalization]
        self.feature_map = FEATURE_MAPS[config.feature_map]
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.gates = nn.ParameterDict()
        self.conv: nn.Conv2d | None = None
        if layout is not None:
            gate_heads = num_heads if config.kv_gate_heads == "per_head" else 1
            self.gates.update({name: nn.Parameter(torch.ones(gate_heads, layout.tokens)) for name in gates})
            if config.conv_kernel:
                self.conv = nn.Conv2d(width, width, config.conv_kernel, padding="same", groups=width)

    def forward(self, x: Tensor, rows: Tensor | None = None) -> Tensor:
        """(B, N, D) to (B, N, D); with `rows` (B, n), all of the grid, only these tokens of the result, (B, n, D)."""
        self._check_length(x)
        kernels = self._uses_kernels(x)
        local = self._local(x, kernels=kernels)
        if rows is not None:
            merged = self._read(*self._heads_of(x, rows))
            return self.proj(merged if local is None else merged + take(local, rows - (x.shape[1] - local.shape[1])))
        qkv = self.qkv(x)
        if kernels:
            return self.proj(self._read_by_kernels(qkv, local))
        q, k, v = qkv.unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)  # each (B, H, N, d)
        merged = self._read(q, k, v)
        if local is not None:
            prefix = x.shape[1] - local.shape[1]
            merged = torch.cat([merged[:, :prefix], merged[:, prefix:] + local], dim=1)
        return self.proj(merged)

    def _uses_kernels(self, x: Tensor) -> bool:
        """Softmax has none: torch's own is taken."""
        if self.config.normalization not in linear.NORMALIZATIONS or self.backend == "torch":
            return False
        device = x.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
        known = self.config.feature_map in linear.FEATURE_MAPS and usable(x.device, dtype, self.head_size)
        return self.backend == "triton" or known

    def _local(self, x: Tensor, *, kernels: bool) -> Tensor | None:
        """The convolution of the grid, (B, height * width, D)."""
        if self.conv is None or self.layout is None:
            return None
        if kernels and self.conv.bias is not None:
            return depthwise_convolution(x, self.conv.weight, self.conv.bias, self.layout)
        prefix, height, width = self.layout
        grid = x[:, prefix:].mT.unflatten(-1, (height, width))  # (B, D, height, width)
        return self.conv(grid).flatten(2).mT

    def _heads_of(self, x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """q of some tokens (B, H, n, d), k and v of all (B, H, N, d)."""
        width = x.shape[-1]
        (q_weight, kv_weight), (q_bias, kv_bias) = (t.split([width, 2 * width]) for t in self.qkv.parameters())
        q = F.linear(take(x, rows), q_weight, q_bias).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        k, v = F.linear(x, kv_weight, kv_bias).unflatten(-1, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        return q, k, v

    def _read_by_kernels(self, qkv: Tensor, local: Tensor | None) -> Tensor:
        """What `_read` does, and the sum with the convolution: each of q, k, v is read once, in place."""
        return linear.linear_core(
            qkv,
            dict(self.gates.items()),
            local,
            num_heads=self.num_heads,
            normalization=self.config.normalization,
            feature_map=self.config.feature_map,
            feature_eps=self.normalization.feature_eps,
        )

    def _read(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Feature map, gates and read-out, with heads merged: (B, n, D)."""
        q, k = (self.feature_map(u) + self.normalization.feature_eps for u in (q, k))
        dtype = q.dtype
        with torch.autocast(q.device.type, enabled=False):
            if self.normalization.float32:
                q, k, v = (u.to(torch.promote_types(u.dtype, torch.float32)) for u in (q, k, v))
            mass, key, value = (self._gated(k, "mass"), self._gated(k, "key"), self._gated(v, "value"))
            out = self.normalization.read(q, key, value, mass if "mass" in self.gates else key)  # (B, H, n, d)
        return out.to(dtype).transpose(1, 2).flatten(2)

    def _gated(self, u: Tensor, name: str) -> Tensor:
        return u * self.gates[name].unsqueeze(-1).to(u.dtype) if name in self.gates else u  # gate (H, N, 1)

    def _check_length(self, x: Tensor) -> None:
        if self.layout is not None and x.shape[1] != self.layout.tokens:
            raise ValueError(
                f"the sequence must have {self.layout.tokens} tokens as in {self.layout}, not {x.shape[1]}"
            )

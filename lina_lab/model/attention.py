"""Attention of every LINA variant: one module, one table for each design axis.

Shapes: B batch, N tokens (prefix tokens, then a grid in raster order), D width, H heads, d = D / H.
The parts of one axis share a signature; constants that differ stand in the tables, not in an `if`.
"""

from collections.abc import Mapping
from functools import reduce
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lina_lab.config.model import AttentionConfig
from lina_lab.config.settings import Backend
from lina_lab.design.computed import FEATURE_MAPS, NORMALIZATIONS, Given, Reading
from lina_lab.design.gates import KV_GATE, KV_GATE_HEADS
from lina_lab.design.normalization import FEATURE_MAP, NORMALIZATION, NUM_MEDIATORS
from lina_lab.kernels import linear
from lina_lab.kernels.availability import usable
from lina_lab.model.gates import KV_GATES, OUTPUT_GATES, GroupMemory
from lina_lab.model.local_convolutions import CONV_WEIGHTS, SEQUENCE_CONVS, Local
from lina_lab.model.rotary import rotated


class Layout(NamedTuple):
    """How a sequence is laid out: `prefix` tokens, then a height x width grid in raster order."""

    prefix: int
    height: int
    width: int

    @property
    def tokens(self) -> int:
        return self.prefix + self.height * self.width


def division(q: Tensor, k: Tensor, v: Tensor, given: Given) -> Tensor:
    """(q M) / (q·k̄ + 1e-6) with M = mean_n k_n v_nᵀ; q, k >= 0. LINA, variant linear6."""
    memory = k.mT @ v / k.shape[-2]  # (B, H, d, d)
    mass = q @ given.k_mass.mean(-2, keepdim=True).mT  # (B, H, N, 1)
    return q @ memory / (mass + 1e-6)


def subtraction(q: Tensor, k: Tensor, v: Tensor, given: Given) -> Tensor:
    """s q M + (1 - s q·k̄) v̄ with s = d^-1/2: weights that sum to 1. LINA, variant linear9; arXiv:2412.06590."""
    q = q * q.shape[-1] ** -0.5
    memory = k.mT @ v / k.shape[-2]  # (B, H, d, d)
    mass = q @ given.k_mass.mean(-2, keepdim=True).mT  # (B, H, N, 1)
    return q @ memory + (1 - mass) * v.mean(-2, keepdim=True)


def softmax(q: Tensor, k: Tensor, v: Tensor, given: Given) -> Tensor:  # noqa: ARG001, softmax has no key mean
    """softmax(q kᵀ d^-1/2) v: the quadratic baseline."""
    return F.scaled_dot_product_attention(q, k, v)


def mediator(q: Tensor, k: Tensor, v: Tensor, given: Given) -> Tensor:  # noqa: ARG001, no key mean here either
    """softmax(q cᵀ d^-1/2) softmax(c kᵀ d^-1/2) v, c the means of q over min(64, N) parts. LINA, variant linear7."""
    count = min(NUM_MEDIATORS, q.shape[-2])
    means = F.adaptive_avg_pool1d(q.flatten(0, 1).mT, count).mT.unflatten(0, q.shape[:2])  # (B, H, 64, d)
    return F.scaled_dot_product_attention(q, means, F.scaled_dot_product_attention(means, k, v))


NORMALIZATIONS |= {
    "division": Reading(division, feature_eps=1e-6),
    "subtraction": Reading(subtraction),
    "softmax": Reading(softmax, float32=False),
    "mediator": Reading(mediator, float32=False),
}

FEATURE_MAPS |= {
    "relu": F.relu,
    "elu1": lambda u: F.elu(u) + 1,
    "silu": lambda u: F.relu(F.silu(u) + 0.2784645427610738),  # relu: a rounded sum can be below 0
    "identity": lambda u: u,
}


def rows_at(positions: Tensor, like: Tensor) -> Tensor:
    """Positions (B, n) as the index (B, n, C) that gathers from, or scatters to, rows of C channels as `like` has."""
    return positions.unsqueeze(-1).expand(-1, -1, like.shape[-1])


def take(x: Tensor, positions: Tensor) -> Tensor:
    """Rows (B, n, C) of x (B, N, C) at positions (B, n)."""
    return x.gather(1, rows_at(positions, x))


def added(x: Tensor, tail: Tensor) -> Tensor:
    """x (B, N, D) and, on its last L tokens, tail (B, L, D)."""
    front = x.shape[1] - tail.shape[1]
    return torch.cat([x[:, :front], x[:, front:] + tail], dim=1) if front else x + tail


class Attention(nn.Module):
    """One attention of the family: (B, N, D) to (B, N, D).

    The linear core runs in float32 whatever the model's precision (the published code does the same); local parts, the
    convolutions, are added to what the heads have read, normalised and gated or not, before the output projection.
    """

    def __init__(
        self,
        config: AttentionConfig,
        width: int,
        num_heads: int,
        layout: Layout | None,
        context_tokens: int | None = None,
    ) -> None:
        """`layout` is needed where a position means something: for a convolution of the grid, gates, memory groups.

        `context_tokens` in front are what a fixed convolution along the sequence reaches; by default the prefix.

        Raises:
            ValueError: if the config needs a layout and there is none.
            LabError: if the config, unvalidated, has a value that no axis knows.
        """
        super().__init__()
        needs_grid = any(value.needs_grid for value in config.values())
        if needs_grid and layout is None:
            raise ValueError("a convolution or a gate needs a layout, and this segment has none")
        self.config, self.layout = config, layout
        self.num_heads, self.head_size = num_heads, width // num_heads
        self.backend: Backend = "auto"
        """What computes the linear core and the convolution; see `lina_lab.model.execution`."""
        self.normalization = NORMALIZATIONS[config.normalization]
        self.feature_map = FEATURE_MAPS[config.feature_map]
        normalization, gate = NORMALIZATION[config.normalization], KV_GATE[config.kv_gate]
        self.all_queries = normalization.all_queries
        self.has_kernels = normalization.kernels and FEATURE_MAP[config.feature_map].kernels and gate.kernels
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        learnt = self.normalization.parameters
        self.core = learnt(width, num_heads) if learnt else None
        layout = layout or Layout(0, 0, 0)
        gate_heads = KV_GATE_HEADS[config.kv_gate_heads].heads(num_heads)
        self.gates = KV_GATES[config.kv_gate](gate.weights, width, gate_heads, layout.tokens)
        self.groups = GroupMemory(num_heads, config.memory_groups) if config.memory_groups > 1 else None
        gated = OUTPUT_GATES[config.output_gate]
        self.output_gate = gated(width) if gated else None
        side, along = config.conv_kernel, SEQUENCE_CONVS[config.sequence_conv]
        reach = layout.prefix if context_tokens is None else context_tokens
        self.conv = CONV_WEIGHTS[config.conv_weights](side, width, num_heads, layout) if side else None
        self.sequence_conv = along(width, num_heads, reach) if along else None

    def forward(self, x: Tensor, rows: Tensor | None = None, turns: Tensor | None = None) -> Tensor:
        """(B, N, D) to (B, N, D); with `rows` (B, n), all of the grid, only these tokens of the result, (B, n, D).

        `turns` are rotary positions of all tokens, see `rotary.rotated`.
        """
        self._check_length(x)
        kernels = self._uses_kernels(x)
        gates = self._gates(x)
        if rows is None and kernels and turns is None and self.output_gate is None:
            qkv = self.qkv(x)
            return self.proj(self._read_by_kernels(qkv, gates, self._local(x, qkv.chunk(3, -1)[2], kernels=True)))
        queried = None if self.all_queries else rows
        q, k, v = self._projected(x, queried)  # (B, n, D), (B, N, D), (B, N, D)
        local = self._local(x, v, kernels=kernels)
        merged = self._read(*self._heads(q, k, v, queried, turns), gates, x)
        if rows is not None and queried is None:
            merged = take(merged, rows)
        if self.output_gate is not None:
            merged = self.output_gate(merged, x if rows is None else take(x, rows))
        if local is not None and rows is not None:
            local = take(local, rows - (x.shape[1] - local.shape[1]))
        return self.proj(merged if local is None else added(merged, local))

    def _uses_kernels(self, x: Tensor) -> bool:
        """Where they do not know a value of the design, and for softmax, torch's own are taken."""
        if not self.has_kernels or self.backend == "torch":
            return False
        device = x.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
        return self.backend == "triton" or usable(x.device, dtype, self.head_size)

    def _gates(self, x: Tensor) -> dict[str, Tensor]:
        """The weights of keys and values by name, (H or 1, N), or (B, H or 1, N) if they depend on the input."""
        gates: dict[str, Tensor] = self.gates.weights(x)
        return gates if self.groups is None else self.groups(gates, x.shape[1])

    def _local(self, x: Tensor, v: Tensor, *, kernels: bool) -> Tensor | None:
        """The convolutions of grid and sequence, (B, L, D): the sum of what there is, for the last L tokens."""
        there: list[Local] = [part for part in (self.sequence_conv, self.conv) if part is not None]
        parts = [part.local(x, v, kernels=kernels) for part in there]
        return reduce(added, parts) if parts else None

    def _projected(self, x: Tensor, rows: Tensor | None) -> tuple[Tensor, ...]:
        """q of some tokens (B, n, D), or of all; k and v of all (B, N, D)."""
        if rows is None:
            return self.qkv(x).chunk(3, dim=-1)
        width = x.shape[-1]
        (q_weight, kv_weight), (q_bias, kv_bias) = (t.split([width, 2 * width]) for t in self.qkv.parameters())
        return F.linear(take(x, rows), q_weight, q_bias), *F.linear(x, kv_weight, kv_bias).chunk(2, dim=-1)

    def _heads(
        self, q: Tensor, k: Tensor, v: Tensor, rows: Tensor | None, turns: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """q (B, H, n, d), k and v (B, H, N, d), q and k turned."""
        q, k, v = (u.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for u in (q, k, v))
        if turns is None:
            return q, k, v
        return rotated(q, turns if rows is None else turns[:, rows]), rotated(k, turns), v

    def _read_by_kernels(self, qkv: Tensor, gates: Mapping[str, Tensor], local: Tensor | None) -> Tensor:
        """What `_read` does, and the sum with the convolution: each of q, k, v is read once, in place."""
        return linear.linear_core(
            qkv,
            gates,
            local,
            num_heads=self.num_heads,
            normalization=self.config.normalization,
            feature_map=self.config.feature_map,
            feature_eps=self.normalization.feature_eps,
        )

    def _read(self, q: Tensor, k: Tensor, v: Tensor, gates: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Feature map, gates and read-out, with heads merged: (B, n, D)."""
        q, k = (self.feature_map(u) + self.normalization.feature_eps for u in (q, k))
        dtype = q.dtype
        with torch.autocast(q.device.type, enabled=False):
            if self.normalization.float32:
                q, k, v = (u.to(torch.promote_types(u.dtype, torch.float32)) for u in (q, k, v))
            key, value = _gated(k, gates.get("key")), _gated(v, gates.get("value"))
            mass = _gated(k, gates["mass"]) if "mass" in gates else key
            given = Given(k_mass=mass, x=x.to(q.dtype), layout=self.layout, parameters=self.core)
            out = self.normalization.read(q, key, value, given)  # (B, H, n, d)
        return out.to(dtype).transpose(1, 2).flatten(2)

    def _check_length(self, x: Tensor) -> None:
        if self.layout is not None and x.shape[1] != self.layout.tokens:
            raise ValueError(
                f"the sequence must have {self.layout.tokens} tokens as in {self.layout}, not {x.shape[1]}"
            )


def _gated(u: Tensor, gate: Tensor | None) -> Tensor:
    return u if gate is None else u * gate.unsqueeze(-1).to(u.dtype)  # gate (H, N, 1) or (B, H, N, 1)

"""Attention written once more from its formulas: token by token and head by head, as slowly as it is plain.

Nothing of `lina_lab.model` is used but the names of its weights. Everything is float64.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

Places = Sequence[tuple[int, int]]
"""Row and column of every token, for rotary positions."""


def slow_attention(
    weights: Mapping[str, Tensor],
    design: Mapping[str, object],
    x: Tensor,
    *,
    num_heads: int,
    grid: tuple[int, int],
    context_tokens: int,
    num_mediators: int = 64,
    places: Places | None = None,
) -> Tensor:
    """One image (N, D) to (N, D); the grid is its last tokens."""
    count, width = x.shape
    d = width // num_heads
    q, k, v = (x @ weights["qkv.weight"].T + weights["qkv.bias"]).split(width, dim=-1)
    merged = torch.empty_like(x)
    for head in range(num_heads):
        part = slice(head * d, head * d + d)
        own_q, own_k = (turned(u[:, part], places) if places else u[:, part] for u in (q, k))
        key, mass, value = (gate(weights, design, x, head, name) for name in ("key", "mass", "value"))
        mass = key if mass is None else mass
        in_memory = key * groups(weights, design, count, head)
        read = pair_weights(design, own_q, own_k, in_memory, mass, num_mediators)
        merged[:, part] = read @ (value.unsqueeze(-1) * v[:, part])
    if design["output_gate"] == "sigmoid":
        opened = 1 / (1 + (-(x @ weights["output_gate.gate.weight"].T + weights["output_gate.gate.bias"])).exp())
        rms = (merged**2).mean(-1, keepdim=True).sqrt()
        merged = weights["output_gate.weight"] * merged / (rms + 1e-6) * opened
    merged = merged + along_grid(weights, design, x, num_heads, grid)
    merged = merged + along_sequence(weights, design, x, v, num_heads, context_tokens)
    return merged @ weights["proj.weight"].T + weights["proj.bias"]


def gate(weights: Mapping[str, Tensor], design: Mapping[str, object], x: Tensor, head: int, name: str) -> Tensor | None:
    """The weight of every token, (N,): 1 without a gate; None for the normaliser's own keys where they have none."""
    row = head if design["kv_gate_heads"] == "per_head" else 0
    if f"gates.{name}" in weights:
        return weights[f"gates.{name}"][row]
    if f"gates.{name}.weight" in weights:
        logit = x @ weights[f"gates.{name}.weight"][row] + weights[f"gates.{name}.bias"][row]
        return (1 / (1 + (-logit).exp())) ** (1 / 16)
    return None if name == "mass" else torch.ones(len(x), dtype=x.dtype)


def groups(weights: Mapping[str, Tensor], design: Mapping[str, object], count: int, head: int) -> Tensor:
    """G softmax_g(logit) of the group that each position is in, (N,): then the mean over N is Σ_g softmax_g M_g."""
    number = int(design["memory_groups"])
    if number == 1:
        return torch.ones(count, dtype=torch.float64)
    share = weights["groups.logits"][head].exp()
    share = share / share.sum()
    return torch.stack([number * share[math.floor(number * position / count)] for position in range(count)])


def pair_weights(
    design: Mapping[str, object], q: Tensor, k: Tensor, in_memory: Tensor, mass: Tensor, num_mediators: int
) -> Tensor:
    """The (N, N) matrix that each normalization stands for."""
    count, d = q.shape
    scale = d**-0.5
    epsilon = 1e-6 if design["normalization"] == "division" else 0.0
    phi = {
        "relu": lambda u: u.clamp(min=0),
        "elu1": lambda u: torch.where(u > 0, u + 1, u.exp()),
        "silu": lambda u: u / (1 + (-u).exp()) + 0.2784645427610738,
        "identity": lambda u: u,
    }[str(design["feature_map"])]
    q, k = phi(q) + epsilon, phi(k) + epsilon
    similarity, total = q @ (in_memory.unsqueeze(-1) * k).T, (q @ (mass.unsqueeze(-1) * k).T).sum(-1, keepdim=True)
    if design["normalization"] == "division":
        return similarity / (total + count * 1e-6)
    if design["normalization"] == "subtraction":
        return scale * similarity / count + (1 - scale * total / count) / count
    if design["normalization"] == "softmax":
        return (scale * similarity).softmax(-1)
    number = min(num_mediators, count)
    ends = [(math.floor(j * count / number), math.ceil((j + 1) * count / number)) for j in range(number)]
    mediators = torch.stack([q[first:last].mean(0) for first, last in ends])
    into = (scale * mediators @ (in_memory.unsqueeze(-1) * k).T).softmax(-1)
    return (scale * q @ mediators.T).softmax(-1) @ into


def turned(u: Tensor, places: Places) -> Tensor:
    """Rotary positions (N, d): neighbouring channels as one complex number, times exp(i place frequency)."""
    d = u.shape[-1]
    each = 2 * ((d - d // 8) // 4)
    out = u.clone()
    for axis, start in ((0, d - 2 * each), (1, d - each)):
        for channel in range(0, each, 2):
            pair = slice(start + channel, start + channel + 2)
            angle = torch.tensor([place[axis] for place in places]).double() * 10000 ** (-channel / each)
            turn = torch.polar(torch.ones_like(angle), angle)
            out[:, pair] = torch.view_as_real(torch.view_as_complex(u[:, pair].contiguous()) * turn)
    return out


def generated(weights: Mapping[str, Tensor], name: str, x: Tensor, num_heads: int) -> Tensor:
    """Filters (D, K) from the mean token: a map within each head, GELU, a map within each head."""
    width = x.shape[-1]
    d = width // num_heads
    mean = x.mean(0)
    w1, b1, w2, b2 = (weights[f"{name}.generator.fc{i}.{what}"] for i in (1, 2) for what in ("weight", "bias"))
    taps = len(b2) // width
    filters = torch.empty(width, taps, dtype=x.dtype)
    for head in range(num_heads):
        part = slice(head * d, head * d + d)
        hidden = w1[part, :, 0] @ mean[part] + b1[part]
        hidden = 0.5 * hidden * (1 + torch.erf(hidden / 2**0.5))
        rows = slice(head * d * taps, (head + 1) * d * taps)
        filters[part] = (w2[rows, :, 0] @ hidden + b2[rows]).view(d, taps)
    return filters


def along_grid(
    weights: Mapping[str, Tensor], design: Mapping[str, object], x: Tensor, num_heads: int, grid: tuple[int, int]
) -> Tensor:
    """The two-dimensional convolution, for the tokens on the grid."""
    out, side = torch.zeros_like(x), int(design["conv_kernel"])
    if not side:
        return out
    if design["conv_weights"] == "generated":
        filters, bias = generated(weights, "conv", x, num_heads), torch.zeros(x.shape[-1], dtype=x.dtype)
    else:
        filters, bias = weights["conv.weight"].flatten(1), weights["conv.bias"]
    height, columns = grid
    front = len(x) - height * columns
    for row in range(height):
        for column in range(columns):
            total = bias.clone()
            for tap in range(side * side):
                r, c = row + tap // side - side // 2, column + tap % side - side // 2
                if 0 <= r < height and 0 <= c < columns:
                    total = total + filters[:, tap] * x[front + r * columns + c]
            out[front + row * columns + column] = total
    return out


def along_sequence(
    weights: Mapping[str, Tensor],
    design: Mapping[str, object],
    x: Tensor,
    v: Tensor,
    num_heads: int,
    context_tokens: int,
) -> Tensor:
    """The one-dimensional convolution: of v, generated; or of the first tokens of x, fixed."""
    kind, out = str(design["sequence_conv"]), torch.zeros_like(x)
    if kind == "none":
        return out
    if kind == "fixed_5":
        source, filters = x[:context_tokens], weights["sequence_conv.weight"].flatten(1)
        bias = weights["sequence_conv.bias"]
    else:
        source, filters, bias = v, generated(weights, "sequence_conv", x, num_heads), torch.zeros_like(x[0])
    taps = filters.shape[1]
    for position in range(len(source)):
        near = [(tap, position + tap - taps // 2) for tap in range(taps)]
        out[position] = bias + sum(filters[:, tap] * source[at] for tap, at in near if 0 <= at < len(source))
    return out

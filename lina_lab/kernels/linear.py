"""The linear attention core in four Triton programs: the fast twin of the plain torch in `lina_lab.model.attention`.

Shapes: B batch, N tokens, D width, H heads, d = D / H. `moments` (B, H, d + 2, d) holds for every head its memory
M = mean_n κ_n ν_nᵀ, then k̄ = mean_n μ_n, then v̄ = mean_n ν_n (0 for division): all that queries see of keys and values.
φ is evaluated in the model's dtype, everything after it in float32, and the result is rounded to the model's dtype
once. No sum depends on the order in which programs run: equal inputs give equal bits.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lina_lab.kernels.availability import require

SPLIT = 512
"""Tokens that one program sums. A constant, so that the bits of a sample depend neither on its batch nor on the GPU.
Long enough that a partial memory is small compared with its keys and values (a fifth of their bytes at d = 96 in
bfloat16), short enough that one image of 5,120 tokens and 16 heads occupies every processor of a large GPU."""

BLOCK = 64
"""Tokens of a program that reads a memory. With fewer, the memories would be read more often than the tokens; with 128,
the gradients spill registers at d = 128."""

NORMALIZATIONS = ("division", "subtraction")
FEATURE_MAPS = ("relu", "elu1", "identity")


def linear_core(
    qkv: Tensor,
    gates: Mapping[str, Tensor],
    local: Tensor | None,
    *,
    num_heads: int,
    normalization: str,
    feature_map: str,
    feature_eps: float,
) -> Tensor:
    """(B, N, 3 D) to (B, N, D): φ, gates, memory, normaliser and read-out of all heads, merged; plus `local`.

    `gates` has any of "key", "mass" and "value", each (H, N), or (1, N) for all heads: κ = key·k', ν = value·v, and the
    normaliser's keys μ = mass·k' if there is "mass", else κ. `local` (B, L, D) is added to the last L tokens after the
    merged output was rounded, and the sum is rounded again. Differentiable once, in qkv, gates and local.

    Raises:
        ValueError: if names or shapes do not fit, or the kernels cannot run here (see `availability.missing`).
    """
    rows = (gates.get("key"), gates.get("mass"), gates.get("value"))
    return _core(qkv, *rows, local, num_heads, normalization, feature_map, feature_eps)[0]


@torch.library.custom_op("lina_lab::linear_core", mutates_args=())
def _core(
    qkv: Tensor,
    key: Tensor | None,
    mass: Tensor | None,
    value: Tensor | None,
    local: Tensor | None,
    num_heads: int,
    normalization: str,
    feature_map: str,
    feature_eps: float,
) -> tuple[Tensor, Tensor]:
    """The output (B, N, D) and the moments."""
    from lina_lab.kernels.linear_triton import read

    _check(qkv, (key, mass, value), local, num_heads, normalization, feature_map)
    batch, tokens, width = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
    qkv, local = qkv.contiguous(), None if local is None else local.contiguous()
    constants = _constants(qkv, num_heads, feature_map, feature_eps)
    (key, mass, value), stride = _one_stride([key, mass, value], num_heads)
    product = key * value if key is not None and value is not None else key if value is None else value
    weights = (product, key if mass is None else mass, value)
    out = qkv.new_empty(batch, tokens, width)
    with torch.cuda.device_of(qkv):
        k, v = qkv[..., width : 2 * width], qkv[..., 2 * width :]
        moments = _accumulate(k, v, weights, (0, stride), constants, right_sum=normalization == "subtraction")
        read[_blocks(batch * num_heads, tokens, constants)](
            qkv,
            moments,
            local,
            out,
            tokens,
            tokens - (0 if local is None else local.shape[1]),
            DIVISION=normalization == "division",
            **constants,
        )
    return out, moments


@torch.library.custom_op("lina_lab::linear_core_backward", mutates_args=())
def _core_backward(
    gradient: Tensor,
    qkv: Tensor,
    moments: Tensor,
    key: Tensor | None,
    mass: Tensor | None,
    value: Tensor | None,
    num_heads: int,
    normalization: str,
    feature_map: str,
    feature_eps: float,
) -> tuple[Tensor, Tensor]:
    """The gradients of qkv, packed as it is, and of the gates there are, in order, for every sample: (G, B, H, N)."""
    from lina_lab.kernels.linear_gradient_triton import key_value_gradient, query_gradient

    batch, tokens, width = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
    qkv, gradient = qkv.contiguous(), gradient.contiguous()
    constants = _constants(qkv, num_heads, feature_map, feature_eps)
    division = normalization == "division"
    blocks = _blocks(batch * num_heads, tokens, constants)
    rows = (batch, num_heads, tokens)
    dqkv = qkv.new_empty(qkv.shape)
    scale, of_mass, of_mean = (qkv.new_empty(rows, dtype=torch.float32) for _ in range(3))
    weights = (scale, of_mass, None if division else of_mean)
    gates, stride = _one_stride([key, mass, value], num_heads)
    dgates = qkv.new_empty(sum(gate is not None for gate in gates), *rows, dtype=torch.float32)
    each = iter(dgates)
    with torch.cuda.device_of(qkv):
        query_gradient[blocks](gradient, qkv, moments, dqkv, *weights, tokens, DIVISION=division, **constants)
        strides = (num_heads * tokens, tokens)
        dmoments = _accumulate(qkv[..., :width], gradient, weights, strides, constants, right_sum=not division)
        of_gates = [None if gate is None else next(each) for gate in gates]
        key_value_gradient[blocks](qkv, dmoments, dqkv, *gates, *of_gates, tokens, stride, **constants)
    return dqkv, dgates


@_core.register_fake
def _(qkv: Tensor, _key: Any, _mass: Any, _value: Any, _local: Any, num_heads: int, *_: Any) -> tuple[Tensor, Tensor]:
    batch, tokens, width = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
    size = width // num_heads
    moments = qkv.new_empty(batch, num_heads, size + 2, size, dtype=torch.float32)
    return qkv.new_empty(batch, tokens, width), moments


@_core_backward.register_fake
def _(_gradient: Tensor, qkv: Tensor, _moments: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    *gates, num_heads, _, _, _ = rest
    count = sum(gate is not None for gate in gates)
    return qkv.new_empty(qkv.shape), qkv.new_empty(count, qkv.shape[0], num_heads, qkv.shape[1], dtype=torch.float32)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    qkv, key, mass, value, local, *ctx.values = inputs
    ctx.local_tokens = 0 if local is None else local.shape[1]
    ctx.save_for_backward(qkv, output[1], key, mass, value)
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, gradient: Tensor, _: object) -> tuple[Tensor | None, ...]:
    qkv, moments, *gates = ctx.saved_tensors
    dqkv, dgates = _core_backward(gradient, qkv, moments, *gates, *ctx.values)
    each = iter(dgates)
    of_gates = [None if gate is None else _summed(next(each), gate) for gate in gates]
    of_local = gradient[:, gradient.shape[1] - ctx.local_tokens :] if ctx.local_tokens else None
    return dqkv, *of_gates, of_local, None, None, None, None


_core.register_autograd(_backward, setup_context=_remember)


def _summed(rows: Tensor, gate: Tensor) -> Tensor:
    """(B, H, N) to the gate's (H, N) or (1, N)."""
    return (rows.sum(0) if gate.shape[0] > 1 else rows.sum((0, 1)).unsqueeze(0)).to(gate.dtype)


def _accumulate(
    left: Tensor,
    right: Tensor,
    weights: tuple[Tensor | None, ...],
    strides: tuple[int, int],
    constants: dict[str, Any],
    *,
    right_sum: bool,
) -> Tensor:
    """Σ_n of a_n φ(left_n) right_nᵀ, b_n φ(left_n), c_n right_n over N, for weights a, b, c: (B, H, d + 2, d)."""
    from lina_lab.kernels.linear_triton import accumulate

    batch, tokens, _ = left.shape
    heads, size = constants["HEADS"], constants["SIZE"]
    splits = -(-tokens // SPLIT)
    moments = left.new_empty(splits, batch, heads, size + 2, size, dtype=torch.float32)
    own = {name: value for name, value in constants.items() if name != "CHUNK"} | {"BLOCK": _sum_block(size)}
    accumulate[batch * heads, splits](
        left,
        right,
        *weights,
        moments,
        tokens,
        SPLIT,
        1 / tokens,
        *left.stride()[:2],
        *right.stride()[:2],
        *strides,
        RIGHT_SUM=right_sum,
        **own,
    )
    return moments[0] if splits == 1 else moments.sum(0)


def _constants(qkv: Tensor, heads: int, feature_map: str, feature_eps: float) -> dict[str, Any]:
    """Compile-time constants of a program. Block sizes are fixed, so that sums have the same order everywhere.

    They were chosen by compiling for compute capability 8.0 and 9.0, where 16-bit programs spill no registers.
    """
    size = qkv.shape[2] // (3 * heads)
    padded = max(16, 1 << (size - 1).bit_length())
    return {
        "HEADS": heads,
        "SIZE": size,
        "PADDED": padded,
        "CHUNK": min(32, padded),
        "BLOCK": BLOCK,
        "FEATURE_MAP": feature_map,
        "EPS": feature_eps,
        # One operand of a product is float32 in every model. As one TF32 it would change a tenth of all bfloat16
        # results, and more where a GPU cuts it; as the sum of two, in three products, it changes none.
        "PRECISION": "ieee" if qkv.dtype == torch.float32 else "tf32x3",
        "num_warps": 8 if padded > 32 else 4,
    }


def _sum_block(size: int) -> int:
    """Tokens that a program sums at once: beside a memory of 128 x 128 there are registers for only a few."""
    return 16 if size > 64 else 32


def _blocks(heads: int, tokens: int, constants: dict[str, Any]) -> tuple[int, int]:
    return heads, -(-tokens // constants["BLOCK"])


def _one_stride(gates: list[Tensor | None], heads: int) -> tuple[list[Tensor | None], int]:
    """Gates as contiguous rows, and the stride between heads: 0 if all heads share a row."""
    per_head = any(gate is not None and gate.shape[0] > 1 for gate in gates)
    rows = [g if g is None else g.expand(heads if per_head else 1, -1).contiguous() for g in gates]
    return rows, next((g.shape[1] for g in rows if g is not None), 0) if per_head else 0


def _check(
    qkv: Tensor,
    gates: tuple[Tensor | None, ...],
    local: Tensor | None,
    heads: int,
    normalization: str,
    feature_map: str,
) -> None:
    if normalization not in NORMALIZATIONS or feature_map not in FEATURE_MAPS:
        raise ValueError(
            f"the kernels know {', '.join(NORMALIZATIONS)} and {', '.join(FEATURE_MAPS)}, "
            f"not {normalization} of {feature_map}"
        )
    if qkv.dim() != 3 or qkv.shape[2] % (3 * heads):
        raise ValueError(f"qkv must be (B, N, 3 D) with {heads} heads in D, not {tuple(qkv.shape)}")
    batch, tokens, width = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
    require(qkv.device, qkv.dtype, width // heads)
    for gate in gates:
        if gate is not None and gate.shape not in ((heads, tokens), (1, tokens)):
            raise ValueError(f"a gate must be ({heads} or 1, {tokens}), not {tuple(gate.shape)}")
    if local is None:
        return
    if local.dtype != qkv.dtype or local.shape[::2] != (batch, width) or not 0 < local.shape[1] <= tokens:
        raise ValueError(
            f"local must be {qkv.dtype} of ({batch}, 1 to {tokens}, {width}), not {local.dtype} of {tuple(local.shape)}"
        )

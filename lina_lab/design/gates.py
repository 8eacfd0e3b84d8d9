"""Learnt weights: of keys and values, of runs of positions, of what the heads have read.

Symbols as in `lina_lab.design.axes`.
"""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass

from lina_lab.design.value import Axis, CoreValue, ModuleSizes, TokenCounts, Value


@dataclass(frozen=True)
class KVGate(CoreValue):
    """Gates that are free numbers, one for every head and position."""

    _: KW_ONLY
    weights: tuple[str, ...]
    """What has a gate: `key` keys, in the normaliser too unless `mass` gates those, and `value` values."""
    published_names: tuple[str, ...] = ()
    """The names of these gates in published checkpoints, in the same order."""
    marker: str
    """Of lines in figures; "" for that of the convolution."""

    def parameters(self, module: ModuleSizes, length: int) -> int:
        return len(self.weights) * module.gate_heads * length


@dataclass(frozen=True)
class DataGate(KVGate):
    """Gates that one linear map a head makes of the block's input."""

    def parameters(self, module: ModuleSizes, length: int) -> int:  # noqa: ARG002
        return self.activations(module) * (module.width + 1)

    def macs(self, module: ModuleSizes, tokens: TokenCounts) -> float:
        return self.activations(module) * tokens.length

    def activations(self, module: ModuleSizes) -> int:
        return len(self.weights) * module.gate_heads


KV_GATE = Axis(
    "Which learnt weights, one for each position, scale keys (after φ) and values?",
    {
        "none": KVGate(
            "k'_n, v_n",
            "LINA (variant decouple1)",
            said="no gate",
            weights=(),
            marker="",
            kernels=True,
            published=True,
        ),
        "key": KVGate(
            "k'_n ← a_n k'_n in M and in k̄",
            "reference code, variant kvscale3",
            said="a gate on keys",
            weights=("key",),
            needs_grid=True,
            kernels=True,
            published=True,
            published_names=("key_scale",),
            marker="<",
        ),
        "value": KVGate(
            "v_n ← b_n v_n",
            "reference code, variant kvscale4",
            said="a gate on values",
            weights=("value",),
            needs_grid=True,
            kernels=True,
            published=True,
            published_names=("value_scale",),
            marker=">",
        ),
        "key_value": KVGate(
            "k'_n ← a_n k'_n in M and in k̄, v_n ← b_n v_n",
            "LINA (variant kvscale1)",
            said="a gate on keys and values",
            weights=("key", "value"),
            needs_grid=True,
            kernels=True,
            published=True,
            published_names=("key_scale", "value_scale"),
            marker="P",
        ),
        "key_value_split": KVGate(
            "a_n k'_n in M, c_n k'_n in k̄, v_n ← b_n v_n; refused with softmax and mediator, which have no k̄",
            "reference code, variant kvscale5",
            said="a gate on keys and values, and one on the key mean",
            weights=("key", "mass", "value"),
            needs_grid=True,
            kernels=True,
            published=True,
            published_names=("key_scale_gamma", "key_scale_tau", "value_scale"),
            marker="X",
        ),
        "key_value_data": DataGate(
            "k'_n ← a_n k'_n in M and in k̄, v_n ← b_n v_n, a_n = sigmoid(w·x_n + c)^(1/16), b_n likewise, as "
            "exp(logsigmoid / 16)",
            "reference code, variant kvscale6, which took exp(log(sigmoid) / 16): NaN from step 3,080 at learning "
            "rate 8e-4, from 15,540 at 2e-4",
            said="a gate on keys and values that is made from the data",
            weights=("key", "value"),
            marker="*",
        ),
    },
    decoder_only=True,
)


@dataclass(frozen=True)
class KVGateHeads(Value):
    _: KW_ONLY
    heads: Callable[[int], int]
    """Of H, the heads with gates of their own."""


KV_GATE_HEADS = Axis(
    "Does each head have gates of its own? (Means nothing where kv_gate is none: then `per_head`.)",
    {
        "per_head": KVGateHeads(
            "a, b, c have shape (H, N)",
            "LINA (variant kvscale1)",
            said="a gate for each head",
            heads=lambda H: H,
            published=True,
        ),
        "shared": KVGateHeads(
            "a, b, c have shape (1, N)",
            "reference code, variant kvscale2",
            said="one gate for all heads",
            heads=lambda H: 1,
            published=True,
        ),
    },
    decoder_only=True,
)


@dataclass(frozen=True)
class SplitMemory(Value):
    """A memory of several groups, each with a logit a head."""

    _: KW_ONLY
    groups: int

    def parameters(self, module: ModuleSizes, length: int) -> int:  # noqa: ARG002
        return module.num_heads * self.groups


MEMORY_GROUPS: Axis[Value] = Axis(
    "Into how many runs of positions is the memory M split, each with a learnt share of it?",
    {
        1: Value("M = mean_m k'_m v_mᵀ", "LINA", said="one memory", published=True),
        4: SplitMemory(
            "M = Σ_g p_g M_g, p = softmax of 4 logits a head, M_g = (4 / N) Σ k'_m v_mᵀ over the g-th of 4 runs of "
            "N / 4 positions; k̄ and v̄ as they are; equal to 1 while the logits are 0, as at the start",
            "reference code, variant mem1",
            said="a memory of 4 groups",
            groups=4,
            needs_grid=True,
        ),
    },
    decoder_only=True,
)


@dataclass(frozen=True)
class OutputGate(Value):
    _: KW_ONLY
    projections: int = 0
    """Maps of D channels to D, of every token of the result."""

    def parameters(self, module: ModuleSizes, length: int) -> int:  # noqa: ARG002
        """The weights and bias of each, and the weights of its normalization."""
        return self.projections * (module.width**2 + 2 * module.width)

    def activations(self, module: ModuleSizes) -> int:
        return self.projections * module.width


OUTPUT_GATE = Axis(
    "Is what the heads have read normalised and gated before convolutions are added and it is projected?",
    {
        "none": OutputGate("o", "LINA", said="no output gate", published=True),
        "sigmoid": OutputGate(
            "w o / (rms(o) + 1e-6) * sigmoid(W x + b), rms over all D channels",
            "reference code, variant linear4 (rotary, without convolution)",
            said="a sigmoid gate on the output",
            projections=1,
        ),
    },
)

"""The design axes of the LINA family: every value of every part, with its formula and source.

A new value is a word in a Literal here, its line in `AXES`, and its line in the model's table
(`lina_lab/model/attention.py`); a test checks that the three agree.

Symbols: q, k, v queries, keys and values of one head, d channels each; φ the feature map; N the sequence length.
LINA is arXiv:2601.22630; "reference code" is the code published with it.
"""

from typing import Literal, NamedTuple

Normalization = Literal["division", "subtraction", "softmax"]
FeatureMap = Literal["relu", "elu1", "identity"]
ConvKernel = Literal[0, 3, 5, 7]
KVGate = Literal["none", "key", "value", "key_value", "key_value_split"]
KVGateHeads = Literal["per_head", "shared"]


class Value(NamedTuple):
    """What one value of an axis means."""

    formula: str
    source: str


class Axis(NamedTuple):
    """A design axis: its question and its values, in the order of the tables."""

    question: str
    values: dict[str | int, Value]


AXES: dict[str, Axis] = {
    "normalization": Axis(
        "How do queries read keys and values?",
        {
            "division": Value(
                "o_n = q'_n M / (q'_n·k̄ + 1e-6), M = mean_m k'_m v_mᵀ, k̄ = mean_m k'_m, k' = φ(k) + 1e-6",
                "LINA (variant linear6); Katharopoulos et al., arXiv:2006.16236",
            ),
            "subtraction": Value(
                "o_n = s q'_n M + (1 - s q'_n·k̄) v̄, s = d^-1/2: weights sum to 1 and may be negative",
                "LINA (variant linear9); InLine attention, arXiv:2412.06590",
            ),
            "softmax": Value(
                "o_n = Σ_m softmax_m(q_n·k_m d^-1/2) v_m: the quadratic baseline",
                "Vaswani et al., arXiv:1706.03762",
            ),
        },
    ),
    "feature_map": Axis(
        "What makes queries and keys comparable without softmax? (Softmax has only `identity`.)",
        {
            "relu": Value("φ(u) = max(u, 0)", "LINA"),
            "elu1": Value("φ(u) = elu(u) + 1", "Katharopoulos et al., arXiv:2006.16236, section 3.2.1"),
            "identity": Value(
                "φ(u) = u; refused with division, whose denominator must stay positive",
                "reference code, variant linear5 (its loss stayed near 1.43)",
            ),
        },
    ),
    "conv_kernel": Axis(
        "Side of the depthwise convolution over the token grid, added before the output projection; 0 for none.",
        {
            0: Value("no convolution", "LINA (variants linear6, linear9)"),
            3: Value("3x3, zero padding 1, with bias, on the block's input", "LINA (locality study)"),
            5: Value(
                "5x5, zero padding 2, with bias, on the block's input",
                "LINA (variants decouple1, decouple10)",
            ),
            7: Value("7x7, zero padding 3, with bias, on the block's input", "LINA (locality study)"),
        },
    ),
    "kv_gate": Axis(
        "Which learnt weights, one for each position, scale keys (after φ) and values?",
        {
            "none": Value("k'_n, v_n", "LINA (variant decouple1)"),
            "key": Value("k'_n ← a_n k'_n in M and in k̄", "reference code, variant kvscale3"),
            "value": Value("v_n ← b_n v_n", "reference code, variant kvscale4"),
            "key_value": Value("k'_n ← a_n k'_n in M and in k̄, v_n ← b_n v_n", "LINA (variant kvscale1)"),
            "key_value_split": Value(
                "a_n k'_n in M, c_n k'_n in k̄, v_n ← b_n v_n; refused with softmax, which has no k̄",
                "reference code, variant kvscale5",
            ),
        },
    ),
    "kv_gate_heads": Axis(
        "Does each head have gates of its own? (Means nothing where kv_gate is none: then `per_head`.)",
        {
            "per_head": Value("a, b, c have shape (H, N)", "LINA (variant kvscale1)"),
            "shared": Value("a, b, c have shape (1, N)", "reference code, variant kvscale2"),
        },
    ),
}
"""Every design axis by its config name (the last part of `model.attention.<name>`)."""

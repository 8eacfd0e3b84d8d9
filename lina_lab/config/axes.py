"""The design axes of the LINA family: every value of every part, with its formula and source.

A new value is a word in a Literal here, its line in `AXES`, and its line in the model's table
(`attention.py`, `gates.py` and `local_convolutions.py` of `lina_lab/model`); a test checks that the three agree. What
the published training logs saw of a value stands in its source.

Symbols: q, k, v queries, keys and values of one head, d channels each; φ the feature map; x the input of the block;
N the sequence length, P the context tokens, D the width. LINA is arXiv:2601.22630; "reference code" is the code
published with it.
"""

from typing import Literal, NamedTuple

Normalization = Literal["division", "subtraction", "softmax", "mediator"]
FeatureMap = Literal["relu", "elu1", "identity"]
ConvKernel = Literal[0, 3, 5, 7]
ConvWeights = Literal["fixed", "generated"]
SequenceConv = Literal["none", "generated_3", "generated_5", "fixed_5"]
KVGate = Literal["none", "key", "value", "key_value", "key_value_split", "key_value_data"]
KVGateHeads = Literal["per_head", "shared"]
MemoryGroups = Literal[1, 4]
OutputGate = Literal["none", "sigmoid"]
Position = Literal["table", "rotary"]


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
                "Vaswani et al., arXiv:1706.03762; at learning rate 8e-4 its published loss diverged, in all segments "
                "(variant softmax) and in the decoder alone (analysis2), not in context and encoder alone (analysis1)",
            ),
            "mediator": Value(
                "o_n = Σ_j softmax_j(q_n·c_j d^-1/2) u_j, u_j = Σ_m softmax_m(c_j·k_m d^-1/2) v_m, mediators c_j = "
                "mean of q over the j-th of min(64, N) parts of the sequence; no φ",
                "reference code, variant linear7 (trained stably, at a higher loss than linear6)",
            ),
        },
    ),
    "feature_map": Axis(
        "What makes queries and keys comparable without softmax? (Softmax and mediator have only `identity`.)",
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
    "conv_weights": Axis(
        "Are the filters of that convolution the same for every image? (Means nothing without one: then `fixed`.)",
        {
            "fixed": Value("learnt filters and bias", "LINA (variant decouple1)"),
            "generated": Value(
                "filters g(mean of x over the sequence) of each image, no bias; g a linear map D to D, GELU and a "
                "linear map D to k² D, each within heads",
                "reference code, variants decouple4 (3x3) and decouple5 (5x5)",
            ),
        },
    ),
    "sequence_conv": Axis(
        "Which depthwise convolution along the sequence is added before the output projection?",
        {
            "none": Value("no convolution along the sequence", "LINA"),
            "generated_3": Value(
                "3 taps of v along all of the sequence, filters g(mean of x) of each image as in conv_weights "
                "`generated`; in the encoder neighbours are visible tokens in random order",
                "reference code, variant decouple3 (in context and encoder)",
            ),
            "generated_5": Value(
                "the same with 5 taps",
                "reference code, variants linear8 (everywhere), decouple2, decouple4, decouple5; InLine attention",
            ),
            "fixed_5": Value(
                "5 taps, zero padding 2, with bias, on the first P tokens of x: the context tokens of encoder and "
                "decoder; in the context stack what stands first, the label or prompt too",
                "reference code, variants decouple8 (P = 64) and decouple9",
            ),
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
                "a_n k'_n in M, c_n k'_n in k̄, v_n ← b_n v_n; refused with softmax and mediator, which have no k̄",
                "reference code, variant kvscale5",
            ),
            "key_value_data": Value(
                "k'_n ← a_n k'_n in M and in k̄, v_n ← b_n v_n, a_n = sigmoid(w·x_n + c)^(1/16), b_n likewise, as "
                "exp(logsigmoid / 16)",
                "reference code, variant kvscale6, which took exp(log(sigmoid) / 16): NaN from step 3,080 at learning "
                "rate 8e-4, from 15,540 at 2e-4",
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
    "memory_groups": Axis(
        "Into how many runs of positions is the memory M split, each with a learnt share of it?",
        {
            1: Value("M = mean_m k'_m v_mᵀ", "LINA"),
            4: Value(
                "M = Σ_g p_g M_g, p = softmax of 4 logits a head, M_g = (4 / N) Σ k'_m v_mᵀ over the g-th of 4 runs of "
                "N / 4 positions; k̄ and v̄ as they are; equal to 1 while the logits are 0, as at the start",
                "reference code, variant mem1",
            ),
        },
    ),
    "output_gate": Axis(
        "Is what the heads have read normalised and gated before convolutions are added and it is projected?",
        {
            "none": Value("o", "LINA"),
            "sigmoid": Value(
                "w o / (rms(o) + 1e-6) * sigmoid(W x + b), rms over all D channels",
                "reference code, variant linear4 (rotary, without convolution)",
            ),
        },
    ),
}
"""Every design axis by its config name (the last part of `model.attention.<name>`)."""

OTHER_AXES: dict[str, Axis] = {
    "model.position": Axis(
        "How does attention know where a token is?",
        {
            "table": Value(
                "tables of sines and cosines, and a constant time embedding, are added to tokens and context queries",
                "LINA",
            ),
            "rotary": Value(
                "q and k are turned before φ: pairs of channels by row 10000^(-i/r), then by column, r = "
                "2 ⌊(d - ⌊d/8⌋) / 4⌋ channels each, i = 0, 2, ...; label, prompt, and context in front of an image at "
                "(0, 0); nothing is added to tokens, and all context queries are one vector",
                "reference code, variants linear3 and linear4; turned after φ (linear2) the denominator may be 0: NaN "
                "from step 79,320, so that order is not built",
            ),
        },
    ),
    "model.softmax_every": Axis(
        "Which blocks are plain softmax, without gates and convolutions?",
        {
            "null": Value("none but those of a segment whose normalization is softmax", "LINA"),
            "k": Value(
                "every k-th: the k-th, 2 k-th, ... of the context stack, and of encoder and decoder counted as one",
                "reference code, variant hybrid1 (k = 8, from text)",
            ),
        },
    ),
    "sampling.flow_steps_last": Axis(
        "How many Euler steps do the last tokens get?",
        {
            "null": Value("T = flow_steps, as all others", "LINA"),
            "count": Value(
                "T_k = ⌊(flow_steps - count) (K - 1 - k) / (K - 1) + count⌋ at autoregressive step k of K",
                "DiSA, as in the reference code (25 to 5: 895 evaluations of the head instead of 1,525)",
            ),
        },
    ),
}
"""Axes that are not the attention's, by their dotted path."""

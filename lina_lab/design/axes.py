"""The design axes of the LINA family, by their config names.

A new value is its entry in the table of its axis and its line in the model's table of the same words, in
`attention.py`, `gates.py`, `local_convolutions.py` or `lina.py` of `lina_lab/model`; the tests enumerate these tables
and ask for its formula once more, in `tests/model/slow_attention.py`.

Symbols: q, k, v queries, keys and values of one head, d channels each; φ the feature map; x the input of the block;
N the sequence length, P the context tokens, D the width, H the heads. LINA is arXiv:2601.22630; "reference code" is the
code published with it.
"""

from lina_lab.design.convolutions import CONV_KERNEL, CONV_WEIGHTS, SEQUENCE_CONV
from lina_lab.design.gates import KV_GATE, KV_GATE_HEADS, MEMORY_GROUPS, OUTPUT_GATE
from lina_lab.design.normalization import FEATURE_MAP, NORMALIZATION
from lina_lab.design.position import POSITION
from lina_lab.design.value import Axis, Value

AXES: dict[str, Axis[Value]] = {
    "normalization": NORMALIZATION,
    "feature_map": FEATURE_MAP,
    "conv_kernel": CONV_KERNEL,
    "conv_weights": CONV_WEIGHTS,
    "sequence_conv": SEQUENCE_CONV,
    "kv_gate": KV_GATE,
    "kv_gate_heads": KV_GATE_HEADS,
    "memory_groups": MEMORY_GROUPS,
    "output_gate": OUTPUT_GATE,
}
"""Every axis of attention: the last part of `model.attention.<name>`."""

OTHER_AXES: dict[str, Axis[Value]] = {
    "model.position": POSITION,
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
    "training.parametrization": Axis(
        "How do initial weights and learning rates follow the width?",
        {
            "standard": Value("one rate for all weights, which start within ±fan-in^-1/2", "LINA"),
            "mup": Value(
                "g = fan-in over that at the base width: rates / g; outputs start g^-1/2 as large, biases as there",
                "arXiv:2203.03466, table 3; for diffusion transformers arXiv:2505.15270",
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
"""Axes that are not the attention's, by their dotted path; numbers are shown by a word for any."""

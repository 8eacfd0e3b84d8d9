"""How queries read keys and values, and the feature map φ that makes them comparable.

Symbols as in `lina_lab.design.axes`.
"""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass

from lina_lab.design.value import Axis, CoreValue

NUM_MEDIATORS = 64
"""As published, where the shortest sequence has 64 tokens; of a shorter sequence all tokens are mediators."""


@dataclass(frozen=True)
class Normalization(CoreValue):
    _: KW_ONLY
    core: Callable[[float, int], tuple[float, float]]
    """Of N and d, multiply-adds a channel: of every token for what queries read, and of every query to read it."""
    by_softmax: bool = False
    """Whether queries are compared with keys by softmax."""
    features: bool = True
    """Whether queries and keys go through a feature map φ first."""
    memory: bool = True
    """Whether a memory M and a key mean k̄ are read, which gates weigh apart and groups split."""
    divides: bool = False
    """Whether a sum of φ(q)·φ(k) is divided by: φ must be positive."""
    all_queries: bool = False
    """Whether what one query reads may depend on the other queries, so that all are computed."""
    averages_queries: bool = False
    """Whether queries are averaged over many positions."""
    published_maps: tuple[str, ...] = ("qkv",)
    """The linear maps of published checkpoints that hold q, k and v, in this order."""
    colour: str = ""
    """Of lines and markers, one of Okabe and Ito's, a grey or a dark wine; '' for the next that is free."""
    fill: str = "full"
    """How markers are filled: full, none, or one half."""


NORMALIZATION = Axis(
    "How do queries read keys and values?",
    {
        "division": Normalization(
            "o_n = q'_n M / (q'_n·k̄ + 1e-6), M = mean_m k'_m v_mᵀ, k̄ = mean_m k'_m, k' = φ(k) + 1e-6",
            "LINA (variant linear6); Katharopoulos et al., arXiv:2006.16236",
            said="division",
            core=lambda N, d: (d, d + 1),
            divides=True,
            kernels=True,
            published=True,
            colour="#0072B2",
            fill="full",
        ),
        "subtraction": Normalization(
            "o_n = s q'_n M + (1 - s q'_n·k̄) v̄, s = d^-1/2: weights sum to 1 and may be negative",
            "LINA (variant linear9); InLine attention, arXiv:2412.06590",
            said="subtraction",
            core=lambda N, d: (d, d + 1),
            kernels=True,
            published=True,
            published_maps=("q", "kv"),
            colour="#D55E00",
            fill="none",
        ),
        "softmax": Normalization(
            "o_n = Σ_m softmax_m(q_n·k_m d^-1/2) v_m: the quadratic baseline",
            "Vaswani et al., arXiv:1706.03762; at learning rate 8e-4 its published loss diverged, in all segments "
            "(variant softmax) and in the decoder alone (analysis2), not in context and encoder alone (analysis1)",
            said="softmax",
            core=lambda N, d: (0, 2 * N),
            by_softmax=True,
            features=False,
            memory=False,
            published=True,
            colour="#555555",
            fill="left",
        ),
        "mediator": Normalization(
            "o_n = Σ_j softmax_j(q_n·c_j d^-1/2) u_j, u_j = Σ_m softmax_m(c_j·k_m d^-1/2) v_m, mediators c_j = "
            "mean of q over the j-th of min(64, N) parts of the sequence; no φ",
            "reference code, variant linear7 (trained stably, at a higher loss than linear6)",
            said="mediator",
            core=lambda N, d: (2 * min(NUM_MEDIATORS, N), 2 * min(NUM_MEDIATORS, N)),
            by_softmax=True,
            features=False,
            memory=False,
            all_queries=True,
            averages_queries=True,
            colour="#882255",
            fill="bottom",
        ),
    },
)

BY_SOFTMAX = tuple(word for word, value in NORMALIZATION.values.items() if value.by_softmax)


@dataclass(frozen=True)
class FeatureMap(CoreValue):
    _: KW_ONLY
    positive: bool
    """Whether φ(u) >= 0 for all u, as a division needs."""
    published_with: tuple[str, ...] = ()
    """Normalizations with which published checkpoints have it."""


FEATURE_MAP = Axis(
    "What makes queries and keys comparable without softmax? (Softmax and mediator have only `identity`.)",
    {
        "relu": FeatureMap(
            "φ(u) = max(u, 0)",
            "LINA",
            positive=True,
            kernels=True,
            published_with=("division", "subtraction"),
        ),
        "elu1": FeatureMap(
            "φ(u) = elu(u) + 1",
            "Katharopoulos et al., arXiv:2006.16236, section 3.2.1",
            positive=True,
            kernels=True,
        ),
        "silu": FeatureMap(
            "φ(u) = u sigmoid(u) + 0.27846..., SiLU less its least value: never below 0",
            "SiLU: TransNormerLLM, arXiv:2307.14995, which does not divide; the shift is ours",
            positive=True,
        ),
        "identity": FeatureMap(
            "φ(u) = u; refused with division, whose denominator must stay positive",
            "reference code, variant linear5 (its loss stayed near 1.43)",
            positive=False,
            kernels=True,
            published_with=("softmax",),
        ),
    },
)

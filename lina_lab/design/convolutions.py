"""Depthwise convolutions that are added to what the heads have read: over the token grid and along the sequence.

K taps with filters that are learnt have (K + 1) D parameters; with filters that are generated for every image, by two
maps within heads, (K + 1) (D d + D), and cost (K + 1) D d multiply-adds an image. Other symbols as in
`lina_lab.design.axes`.
"""

from dataclasses import KW_ONLY, dataclass
from typing import Any

from lina_lab.design.value import Axis, ModuleSizes, TokenCounts, Value


@dataclass(frozen=True)
class ConvKernel(Value):
    _: KW_ONLY
    side: int
    """k; 0 for no convolution."""
    line: Any
    """matplotlib's line style."""
    marker: str
    """Of lines without a gate of keys and values."""

    def macs(self, module: ModuleSizes, tokens: TokenCounts) -> float:
        return module.grid_taps * tokens.grid

    def reread_tokens(self, tokens: TokenCounts) -> float:
        return tokens.grid if self.side else 0


CONV_KERNEL = Axis(
    "Side of the depthwise convolution over the token grid, added before the output projection; 0 for none.",
    {
        0: ConvKernel(
            "no convolution",
            "LINA (variants linear6, linear9)",
            said="no convolution",
            side=0,
            published=True,
            line=(0, (4, 2)),
            marker="o",
        ),
        3: ConvKernel(
            "3x3, zero padding 1, with bias, on the block's input",
            "LINA (locality study)",
            said="a 3x3 depthwise convolution",
            side=3,
            needs_grid=True,
            published=True,
            line=(0, (1, 1)),
            marker="p",
        ),
        5: ConvKernel(
            "5x5, zero padding 2, with bias, on the block's input",
            "LINA (variants decouple1, decouple10)",
            said="a 5x5 depthwise convolution",
            side=5,
            needs_grid=True,
            published=True,
            line="solid",
            marker="s",
        ),
        7: ConvKernel(
            "7x7, zero padding 3, with bias, on the block's input",
            "LINA (locality study)",
            said="a 7x7 depthwise convolution",
            side=7,
            needs_grid=True,
            published=True,
            line=(0, (5, 1, 1, 1)),
            marker="D",
        ),
    },
    decoder_only=True,
)


@dataclass(frozen=True)
class FixedFilters(Value):
    def parameters(self, module: ModuleSizes, length: int) -> int:  # noqa: ARG002
        return _learnt(module.grid_taps, module)


@dataclass(frozen=True)
class GeneratedFilters(Value):
    def parameters(self, module: ModuleSizes, length: int) -> int:  # noqa: ARG002
        return _generator(module.grid_taps, module)

    def image_macs(self, module: ModuleSizes) -> int:
        return _generation(module.grid_taps, module)


CONV_WEIGHTS: Axis[Value] = Axis(
    "Are the filters of that convolution the same for every image? (Means nothing without one: then `fixed`.)",
    {
        "fixed": FixedFilters(
            "learnt filters and bias",
            "LINA (variant decouple1)",
            said="a convolution with the same filters for every image",
            published=True,
        ),
        "generated": GeneratedFilters(
            "filters g(mean of x over the sequence) of each image, no bias; g a linear map D to D, GELU and a "
            "linear map D to k² D, each within heads",
            "reference code, variants decouple4 (3x3) and decouple5 (5x5)",
            said="a convolution whose filters are generated for each image",
        ),
    },
    decoder_only=True,
)


@dataclass(frozen=True)
class FixedSequence(Value):
    """Learnt taps on the context tokens of the block's input."""

    _: KW_ONLY
    taps: int

    def parameters(self, module: ModuleSizes, length: int) -> int:  # noqa: ARG002
        return _learnt(self.taps, module)

    def macs(self, module: ModuleSizes, tokens: TokenCounts) -> float:  # noqa: ARG002
        return self.taps * tokens.context

    def reread_tokens(self, tokens: TokenCounts) -> float:
        return tokens.context


@dataclass(frozen=True)
class GeneratedSequence(Value):
    """Generated taps on all values, which are in memory anyway."""

    _: KW_ONLY
    taps: int

    def parameters(self, module: ModuleSizes, length: int) -> int:  # noqa: ARG002
        return _generator(self.taps, module)

    def macs(self, module: ModuleSizes, tokens: TokenCounts) -> float:  # noqa: ARG002
        return self.taps * tokens.length

    def image_macs(self, module: ModuleSizes) -> int:
        return _generation(self.taps, module)


SEQUENCE_CONV: Axis[Value] = Axis(
    "Which depthwise convolution along the sequence is added before the output projection?",
    {
        "none": Value(
            "no convolution along the sequence", "LINA", said="no convolution along the sequence", published=True
        ),
        "generated_3": GeneratedSequence(
            "3 taps of v along all of the sequence, filters g(mean of x) of each image as in conv_weights "
            "`generated`; in the encoder neighbours are visible tokens in random order",
            "reference code, variant decouple3 (in context and encoder)",
            said="a generated convolution of 3 taps along the sequence",
            taps=3,
        ),
        "generated_5": GeneratedSequence(
            "the same with 5 taps",
            "reference code, variants linear8 (everywhere), decouple2, decouple4, decouple5; InLine attention",
            said="a generated convolution of 5 taps along the sequence",
            taps=5,
        ),
        "fixed_5": FixedSequence(
            "5 taps, zero padding 2, with bias, on the first P tokens of x: the context tokens of encoder and "
            "decoder; in the context stack what stands first, the label or prompt too",
            "reference code, variants decouple8 (P = 64) and decouple9",
            said="a fixed convolution of 5 taps along the context",
            taps=5,
        ),
    },
)


def _learnt(taps: int, module: ModuleSizes) -> int:
    return (taps + 1) * module.width if taps else 0


def _generator(taps: int, module: ModuleSizes) -> int:
    return (taps + 1) * module.width * (module.head_size + 1) if taps else 0


def _generation(taps: int, module: ModuleSizes) -> int:
    return (taps + 1) * module.head_size if taps else 0

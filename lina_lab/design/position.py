"""How attention knows where a token is."""

from dataclasses import dataclass

from lina_lab.design.value import Axis, Value

TIME_FEATURES = 256
"""Sines and cosines of a time, in the head and in the context queries."""


@dataclass(frozen=True)
class Position(Value):
    def query_parameters(self, width: int) -> int:  # noqa: ARG002
        """Of the context queries beside the one vector that they all start from; they never train."""
        return 0

    def query_macs(self, width: int) -> int:  # noqa: ARG002
        """Multiply-adds of these, once a forward."""
        return 0


@dataclass(frozen=True)
class Table(Position):
    """Two linear maps and a LayerNorm make the constant time embedding."""

    def query_parameters(self, width: int) -> int:
        return self.query_macs(width) + 4 * width

    def query_macs(self, width: int) -> int:
        return TIME_FEATURES * width + width**2


POSITION: Axis[Position] = Axis(
    "How does attention know where a token is?",
    {
        "table": Table(
            "tables of sines and cosines, and a constant time embedding, are added to tokens and context queries",
            "LINA",
            said="a position table",
            published=True,
        ),
        "rotary": Position(
            "q and k are turned before φ: pairs of channels by row 10000^(-i/r), then by column, r = "
            "2 ⌊(d - ⌊d/8⌋) / 4⌋ channels each, i = 0, 2, ...; label, prompt, and context in front of an image at "
            "(0, 0); nothing is added to tokens, and all context queries are one vector",
            "reference code, variants linear3 and linear4; turned after φ (linear2) the denominator may be 0: NaN "
            "from step 79,320, so that order is not built",
            said="a rotary position",
            published=True,
        ),
    },
)

"""What a design axis and a value of it are: meaning, source, and every fact that the rooms read of a value.

A value's facts stand in its entry and nowhere else: `cost` sums them, figures take their looks from them, configs what
they refuse, the kernels what they compute, published checkpoints their names. What an entry does not state is the
default of its class: no parameters, no multiply-adds, not known to kernels, not published.
"""

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from lina_lab.errors import LabError


class ModuleSizes(NamedTuple):
    """The sizes of one attention module that do not depend on its input."""

    width: int
    """Channels D."""
    num_heads: int
    """Heads H, each of d = D / H channels."""
    gate_heads: int
    """Heads with gates of their own: H, or 1 where all share them."""
    grid_taps: int
    """Taps K = k² of the k x k convolution of the grid; 0 without one."""

    @property
    def head_size(self) -> int:
        return self.width // self.num_heads


class TokenCounts(NamedTuple):
    """Tokens of a sequence; expected numbers need not be whole."""

    length: float
    """N, all of them."""
    grid: float
    """G, those under the convolution of the grid."""
    context: float
    """P, those in front that a fixed convolution along the sequence reaches."""


class Source(NamedTuple):
    """A user's file of designs, as it was loaded."""

    path: Path
    digest: str
    """12 hex digits of its SHA-256, with those of the files that it names."""


@dataclass(frozen=True)
class Value:
    """One value of an axis. Costs are of one attention module and one image, and add to those of the other axes."""

    formula: str
    """What it computes, in the symbols of `lina_lab.design.axes`."""
    source: str
    """Where it was published, and what its training logs showed."""
    _: KW_ONLY
    needs_grid: bool = False
    """Whether it weighs positions: it needs a full grid in order, which the encoder has not."""
    published: bool = False
    """Whether checkpoints of the published code with it can be read and written."""
    origin: Source | None = None
    """The user's file that it comes from; None for a shipped value."""
    said: str = ""
    """What a sentence calls it, after "with" or "is": 'a 5x5 depthwise convolution', 'no convolution'; "": its word and
    axis."""

    def parameters(self, module: ModuleSizes, length: int) -> int:  # noqa: ARG002
        """Exact, on sequences of `length` tokens."""
        return 0

    def macs(self, module: ModuleSizes, tokens: TokenCounts) -> float:  # noqa: ARG002
        """Multiply-adds for each of the D channels that grow with the tokens."""
        return 0

    def image_macs(self, module: ModuleSizes) -> int:  # noqa: ARG002
        """Multiply-adds for each of the D channels that an image costs once."""
        return 0

    def activations(self, module: ModuleSizes) -> int:  # noqa: ARG002
        """Numbers a token that are written to memory and read again."""
        return 0

    def reread_tokens(self, tokens: TokenCounts) -> float:  # noqa: ARG002
        """Tokens of the module's input that are read from memory once more."""
        return 0


@dataclass(frozen=True)
class CoreValue(Value):
    """A value of an axis of the linear core, which the kernels may compute."""

    _: KW_ONLY
    kernels: bool = False
    """Whether `lina_lab.kernels.linear` computes it; where it does not, torch does."""


V_co = TypeVar("V_co", bound=Value, covariant=True)


@dataclass(frozen=True)
class Axis(Generic[V_co]):
    """A design axis: its question and its values, in the order of the tables."""

    question: str
    values: dict[Any, V_co]
    """By word, a text or a number, as configs have it; a plugin adds to it: see `lina_lab.plugins.load`."""
    decoder_only: bool = False
    """Whether `model.attention` sets it in the decoder alone, where the full grid is, unless a segment asks for it."""

    def __getitem__(self, word: str | int) -> V_co:
        """Raises: LabError: if the axis has no such value."""
        if word not in self.values:
            known = ", ".join(map(str, self.values))
            raise LabError(f"{word!r} is no value of the axis '{self.question}'; known are {known}")
        return self.values[word]


def plain(word: Any) -> Any:
    """A word as users write it: a plugin's value is word@digest in an experiment, so that its key holds the source."""
    return word.partition("@")[0] if isinstance(word, str) else word

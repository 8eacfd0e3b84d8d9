"""What a plugin file may define for the design axes: `PROVIDES = [Core("mine", ...), FeatureMap("cube", ...)]`.

Here is no torch, so tensors have no type. Shapes: B batch, N tokens, D width, H heads, d = D / H.
"""

import math
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any

from lina_lab.design import computed
from lina_lab.design.computed import Given, Reading
from lina_lab.design.normalization import FEATURE_MAP, NORMALIZATION, Normalization
from lina_lab.design.normalization import FeatureMap as FeatureMapFacts
from lina_lab.design.value import ModuleSizes, Source, TokenCounts
from lina_lab.errors import LabError
from lina_lab.plugins.checks import Entry, check_fields

COUNTING = "lina_lab.profiling.plugin_counts"
"""Imports torch, and so is imported by name, when a plugin's value is counted."""
CACHED = 1024


@dataclass(frozen=True)
class Core:
    """A value of `normalization`: how queries read keys and values. All N queries are computed, in float32.

    Raises:
        ValueError: if a field is not what it must be.
    """

    word: str
    """What YAML calls it: letters, digits, _ and -."""
    _: KW_ONLY
    formula: str
    """What it computes, in a line for `lab axes`."""
    source: str
    """Where it was published."""
    read: Callable[[Any, Any, Any, Given], Any]
    """(q, k, v, given) to the output, all (B, H, N, d). Gates have weighed k and v, rotary positions turned q and k."""
    parameters: Callable[[int, int], Any] | None = None
    """From D and H to an `nn.Module` of all that is learnt, which is `given.parameters`.

    Weights and biases of nn.Linear and nn.Conv are drawn from the experiment's seed as all others; any other parameter
    starts as the module makes it, and must be the same each time.
    """
    ordered: bool = False
    """Whether the order of tokens matters: then the encoder, which sees them in random order, refuses it.

    Without, `lab check` wants outputs that move with their tokens.
    """
    features: bool = False
    """Whether q and k go through the axis `feature_map` first; without it is `identity`."""
    macs: Callable[[float, int, int], float] | None = None
    """Closed form: from N, H and d to the multiply-adds of one image; without, torch counts."""
    num_parameters: Callable[[int, int], int] | None = None
    """Closed form: from D and H to the parameters; without, they are counted."""
    exact: Callable[[Any, Any, Any, Given], Any] | None = None
    """The definition once more, written plainly, to check `read` against in float64."""

    axis = "normalization"

    def __post_init__(self) -> None:
        check_fields(self, {"read": 4, "parameters": 2, "macs": 3, "num_parameters": 2, "exact": 4})

    def entries(self, source: Source) -> list[Entry]:
        """What the tables of its axis get."""
        facts = PluginCore(
            self.formula,
            self.source,
            core=lambda N, d: (0, 0),
            features=self.features,
            memory=False,
            all_queries=True,
            needs_grid=self.ordered,
            origin=source,
            own=self,
        )
        reading = Reading(self.read, parameters=self.parameters)
        return [Entry(NORMALIZATION.values, facts), Entry(computed.NORMALIZATIONS, reading)]


@dataclass(frozen=True)
class PluginCore(Normalization):
    """The facts of a core of a plugin; what it has no closed form for is counted by torch."""

    _: KW_ONLY
    own: Core

    def parameters(self, module: ModuleSizes, length: int) -> int:  # noqa: ARG002
        if self.own.num_parameters is None:
            return counted_parameters(self.own, module.width, module.num_heads)
        check_closed_forms(self.own)
        return self.own.num_parameters(module.width, module.num_heads)

    def macs(self, module: ModuleSizes, tokens: TokenCounts) -> float:
        return core_macs(self.own, module, tokens) / module.width


@lru_cache(CACHED)
def counted_parameters(core: Core, width: int, num_heads: int) -> int:
    """Numbers that are learnt, as torch has them."""
    if core.parameters is None:
        return 0
    return int(import_module(COUNTING).num_parameters(core, width, num_heads))


@lru_cache(CACHED)
def core_macs(core: Core, module: ModuleSizes, tokens: TokenCounts) -> float:
    """Multiply-adds of a core for one image; between whole numbers of tokens, on the line between their counts."""
    if core.macs is not None:
        check_closed_forms(core)
        return core.macs(tokens.length, module.num_heads, module.head_size)
    whole = int(tokens.length)
    share, grid = tokens.length - whole, int(tokens.grid)
    below = counted_macs(core, module.width, module.num_heads, whole, grid)
    above = counted_macs(core, module.width, module.num_heads, whole + 1, grid) if share else below
    return below + share * (above - below)


@lru_cache(CACHED)
def counted_macs(core: Core, width: int, num_heads: int, length: int, grid: int) -> float:
    """Multiply-adds, as torch counts them, of one image of `length` tokens, the last `grid` of them a grid."""
    return float(import_module(COUNTING).core_macs(core, width, num_heads, length, grid))


@lru_cache(CACHED)
def check_closed_forms(core: Core) -> None:
    """Compare its closed forms with what torch counts, for a small module.

    Raises:
        LabError: if they are not the same.
    """
    D, H, N = 24, 3, 20
    if core.num_parameters is not None:
        _check_count(core, "num_parameters", core.num_parameters(D, H), counted_parameters(core, D, H))
    if core.macs is not None:
        _check_count(core, "macs", core.macs(N, H, D // H), counted_macs(core, D, H, N, 0))


def _check_count(core: Core, name: str, closed: float, counted: float) -> None:
    if not math.isclose(closed, counted, rel_tol=1e-9):
        message = f"{core.word}: {name} gives {closed:,.10g} for 24 channels in 3 heads and 20 tokens"
        raise LabError(f"{message}, torch counts {counted:,.10g}: mend it, or leave it out")


@dataclass(frozen=True)
class FeatureMap:
    """A value of `feature_map`: φ, number by number, of queries and keys.

    Raises:
        ValueError: if a field is not what it must be.
    """

    word: str
    """What YAML calls it: letters, digits, _ and -."""
    _: KW_ONLY
    formula: str
    """What it computes, in a line for `lab axes`."""
    source: str
    """Where it was published."""
    phi: Callable[[Any], Any]
    """A tensor of any shape to one of the same shape and dtype."""
    positive: bool = False
    """Whether φ(u) >= 0 for all u, as `division` needs."""
    exact: Callable[[Any], Any] | None = None
    """The definition once more, written plainly, to check `phi` against in float64."""

    axis = "feature_map"

    def __post_init__(self) -> None:
        check_fields(self, {"phi": 1, "exact": 1})

    def entries(self, source: Source) -> list[Entry]:
        """What the tables of its axis get."""
        facts = FeatureMapFacts(self.formula, self.source, positive=self.positive, origin=source)
        return [Entry(FEATURE_MAP.values, facts), Entry(computed.FEATURE_MAPS, self.phi)]

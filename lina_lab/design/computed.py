"""How values of design axes are computed, by their words: tables that plugins add to, as `lina_lab.model` does.

Here is no torch, so tensors have no type. Shapes: B batch, N tokens, D width, H heads, d = D / H.
"""

from collections.abc import Callable
from typing import Any, NamedTuple


class Given(NamedTuple):
    """What a core may read beside q, k and v."""

    k_mass: Any
    """Keys (B, H, N, d) that a normaliser sees: k, unless a gate weighs them apart."""
    x: Any = None
    """The input of the attention (B, N, D), in the dtype of q."""
    layout: Any = None
    """`Layout(prefix, height, width)` of the N tokens; None where they stand in random order, as in the encoder."""
    parameters: Any = None
    """The module that `Reading.parameters` made; None where nothing is learnt."""


class Reading(NamedTuple):
    """How queries read keys and values.

    `read(q, k, v, given)` takes (B, H, N, d) and gives (B, H, N, d). `feature_eps` is added to φ before gates and
    before the cast to float32: with all-negative queries it decides the result, so it belongs to the normalization and
    not to φ.
    """

    read: Callable[[Any, Any, Any, Given], Any]
    feature_eps: float = 0.0
    float32: bool = True
    """Whether the core runs in float32 whatever the model's precision."""
    parameters: Callable[[int, int], Any] | None = None
    """From D and H to a module of what is learnt."""


NORMALIZATIONS: dict[str, Reading] = {}
FEATURE_MAPS: dict[str, Callable[[Any], Any]] = {}

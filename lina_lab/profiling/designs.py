"""Designs and lengths to profile: LINA, LINA with one axis changed, softmax."""

from collections.abc import Iterator
from typing import NamedTuple

from lina_lab.analysis.profile import BASE, LINA, NO_FLOAT32, SOFTMAX
from lina_lab.config.axes import AXES
from lina_lab.config.layout import near_square
from lina_lab.config.load import Document, validate
from lina_lab.config.model import AttentionConfig
from lina_lab.config.problems import ConfigError
from lina_lab.errors import LabError
from lina_lab.model.attention import Layout

PREFIX_SHARE = 5
"""One token in five is prefix, as in the published models: 64 + 16 x 16, 1024 + 64 x 64."""
WIDEST = 4
"""Largest ratio of a grid's sides."""


class Design(NamedTuple):
    name: str
    config: AttentionConfig
    float32_core: bool = True
    """Whether the core runs in float32 in every precision, for normalizations that have a core."""


def designs(precision: str, *, kernels: bool = False) -> tuple[list[Design], list[str]]:
    """LINA, then LINA with every other value of every axis, one at a time, then plain softmax; and what was left out.

    Designs that compute the same occur once. In bf16 LINA without its float32 core is added, unless `kernels` compute
    it, which have no such variant.
    """
    by_config, omitted = {LINA: Design(BASE, LINA)}, []
    changes = [(name, value) for name, axis in AXES.items() for value in axis.values]
    for axis, value in changes:
        try:
            config = validate(AttentionConfig, Document(LINA.model_dump() | {axis: value}, {}))
        except ConfigError as error:
            omitted.append(f"{axis} {value}: {error.problems[0].message}")
        else:
            by_config.setdefault(config, Design(f"{axis} {value}", config))
    softmax = AttentionConfig(normalization="softmax")
    by_config.setdefault(softmax, Design(SOFTMAX, softmax))
    if precision == "bf16" and kernels:
        omitted.append(f"{NO_FLOAT32}: the kernels have no other core; --backend torch measures it")
    more = [Design(NO_FLOAT32, LINA, float32_core=False)] if precision == "bf16" and not kernels else []
    return [*by_config.values(), *more], omitted


def layout_of(tokens: int) -> Layout:
    """A fifth of the tokens, rounded down, as prefix, and the rest as a grid as square as possible.

    Raises:
        LabError: if a side of the grid would be more than four times the other; it names the nearest lengths that fit.
    """
    layout = _layout(tokens)
    if tokens < 1 or not _fits(layout):
        near = ", ".join(str(length) for length in _nearest(tokens))
        raise LabError(
            f"--tokens must be a fifth of prefix and a grid that is nearly square, not {tokens}: "
            f"{layout.prefix} + {layout.height} x {layout.width}; the nearest that are: {near}"
        )
    return layout


def _layout(tokens: int) -> Layout:
    prefix = tokens // PREFIX_SHARE
    return Layout(prefix, *near_square(tokens - prefix)) if tokens > 0 else Layout(0, 0, 0)


def _fits(layout: Layout) -> bool:
    return layout.width <= WIDEST * layout.height


def _nearest(tokens: int) -> Iterator[int]:
    """The nearest lengths that fit, below and above."""
    below = (n for n in range(tokens - 1, 0, -1) if _fits(_layout(n)))
    above = (n for n in range(max(tokens, 0) + 1, tokens + 1000) if _fits(_layout(n)))
    yield from filter(None, (next(below, None), next(above, None)))

"""The model: its sizes, and the attention of every segment.

`model.attention` is shorthand for the attention of all three segments; it is spelled out while loading, so that in
code there is one `AttentionConfig` for each segment and no field is ever "unset".
"""

import math
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from lina_lab.config.base import Config, Count, KeyProblem, MeaninglessCombination, OneOf
from lina_lab.design.axes import AXES
from lina_lab.design.convolutions import CONV_KERNEL, CONV_WEIGHTS, SEQUENCE_CONV
from lina_lab.design.gates import KV_GATE, KV_GATE_HEADS, MEMORY_GROUPS, OUTPUT_GATE
from lina_lab.design.normalization import FEATURE_MAP, NORMALIZATION
from lina_lab.design.position import POSITION
from lina_lab.design.sizes import SIZES, Size
from lina_lab.design.value import Value, plain

SEGMENTS = ("context", "encoder", "decoder")
GRID_PARTS = tuple(name for name, axis in AXES.items() if axis.decoder_only)
"""Axes that `model.attention` sets in the decoder only, where the full grid is, unless a segment asks for them."""


class AttentionConfig(Config):
    """The attention of one segment: a value on each design axis (`lab axes` explains them)."""

    normalization: Annotated[str, OneOf(NORMALIZATION)] = "division"
    feature_map: Annotated[str, OneOf(FEATURE_MAP)] = "relu"
    conv_kernel: Annotated[int, OneOf(CONV_KERNEL)] = 0
    kv_gate: Annotated[str, OneOf(KV_GATE)] = "none"
    kv_gate_heads: Annotated[str, OneOf(KV_GATE_HEADS)] = "per_head"
    conv_weights: Annotated[str, OneOf(CONV_WEIGHTS)] = "fixed"
    sequence_conv: Annotated[str, OneOf(SEQUENCE_CONV)] = "none"
    memory_groups: Annotated[int, OneOf(MEMORY_GROUPS)] = 1
    output_gate: Annotated[str, OneOf(OUTPUT_GATE)] = "none"

    def values(self) -> list[Value]:
        """Its value on every axis, with all that is known of it, in the order of the axes."""
        return [axis[getattr(self, name)] for name, axis in AXES.items()]

    @model_validator(mode="before")
    @classmethod
    def _canonical(cls, values: Any) -> Any:
        """Bring values that another makes meaningless to one canonical form, so that equal designs have equal keys."""
        if not isinstance(values, dict):
            return values
        found = [value for word, value in NORMALIZATION.values.items() if word == values.get("normalization")]
        without = any(not value.features for value in found)
        if without and values.get("feature_map") in (None, *FEATURE_MAP.values):
            values = values | {"feature_map": "identity"}
        if values.get("kv_gate", "none") == "none" and values.get("kv_gate_heads") == "shared":
            values = values | {"kv_gate_heads": "per_head"}
        if values.get("conv_kernel", 0) == 0 and values.get("conv_weights") == "generated":
            values = values | {"conv_weights": "fixed"}
        return values

    @model_validator(mode="after")
    def _combination(self) -> Self:
        word, normalization = plain(self.normalization), NORMALIZATION[self.normalization]
        if normalization.divides and not FEATURE_MAP[self.feature_map].positive:
            positive = " or ".join(plain(other) for other, value in FEATURE_MAP.values.items() if value.positive)
            raise MeaninglessCombination(
                "feature_map",
                f"{word} needs a positive feature map ({positive}), not {plain(self.feature_map)}: its "
                "denominator could vanish",
                "normalization",
            )
        if not normalization.memory and "mass" in KV_GATE[self.kv_gate].weights:
            *others, last = (other for other, value in KV_GATE.values.items() if "mass" not in value.weights)
            raise MeaninglessCombination(
                "kv_gate",
                f"{word} has no key mean of its own to gate: kv_gate must be {', '.join(others)} or "
                f"{last}, not {self.kv_gate}",
                "normalization",
            )
        if not normalization.memory and self.memory_groups > 1:
            raise MeaninglessCombination(
                "memory_groups",
                f"{word} has no memory to split: memory_groups must be 1, not {self.memory_groups}",
                "normalization",
            )
        return self


BASE_WIDTH = SIZES["nano"].width
"""Where muP and the standard parametrization are one, in channels of the trunk and of the head."""


SOFTMAX = AttentionConfig(normalization="softmax")
"""Plain softmax, of the blocks that `softmax_every` picks."""


class ModelConfig(Config):
    size: str = "custom"
    """Name of the size that the widths and depths come from: a label, it does not enter the key."""
    width: Count
    """Channels D of every token."""
    num_heads: Count
    """Heads H; each has width / num_heads channels."""
    context_depth: Count
    """Blocks of the context stack, which turns the label into context tokens."""
    encoder_depth: Count
    """Blocks that see the context and the visible tokens."""
    decoder_depth: Count
    """Blocks that see the context and the full grid."""
    head_depth: Count
    """Blocks of the flow-matching head."""
    head_width: Count
    """Channels of the flow-matching head."""
    mlp_ratio: Count = 4
    patch: Count = 1
    """Side of the square of latent pixels that makes one token."""
    context_tokens: Count
    """Tokens between the label and the image; by default a quarter of the image tokens, as published."""
    position: Annotated[str, OneOf(POSITION)] = "table"
    """How attention knows where a token is."""
    softmax_every: Annotated[int, Field(ge=2)] | None = None
    """Every k-th block is plain softmax, counted in the context stack, and in encoder and decoder together."""
    context: AttentionConfig
    encoder: AttentionConfig
    decoder: AttentionConfig

    @model_validator(mode="before")
    @classmethod
    def _resolve(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        values = dict(values)
        attention = values.pop("attention", {})
        if not isinstance(attention, dict):
            raise KeyProblem("attention", f"must be a mapping of design axes, not {attention!r}")
        plain = {key: value for key, value in attention.items() if key not in GRID_PARTS}
        for segment in SEGMENTS:
            own = values.get(segment, {})
            if isinstance(own, dict):
                values[segment] = (attention if segment == "decoder" else plain) | own
        size = values.get("size", "custom")
        if isinstance(size, str) and size in SIZES:
            values = SIZES[size]._asdict() | values
        elif size != "custom" and not set(Size._fields) <= values.keys():  # with all of them it is a plugin's
            raise KeyProblem("size", f"must be one of {', '.join(SIZES)}, or custom, not {size!r}")
        return values

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.width % self.num_heads:
            raise KeyProblem(
                "num_heads",
                f"num_heads must divide width: {self.num_heads} heads do not divide {self.width} channels",
                *("width", "size"),
            )
        if self.width % 4:
            raise KeyProblem("width", f"width must be a multiple of 4 for the position table, not {self.width}", "size")
        self._fits_encoder()
        self._fits_rotary()
        self._fits_hybrid()
        return self

    def blocks(self, segment: str) -> list[AttentionConfig]:
        """The attention of every block of a segment, from its input to its output."""
        own, depth = getattr(self, segment), getattr(self, f"{segment}_depth")
        before = self.encoder_depth if segment == "decoder" else 0
        every = self.softmax_every
        return [SOFTMAX if every and (before + i + 1) % every == 0 else own for i in range(depth)]

    def _fits_encoder(self) -> None:
        for part, value in zip(AXES, self.encoder.values(), strict=True):
            if value.needs_grid:
                allowed = (str(plain(word)) for word, other in AXES[part].values.items() if not other.needs_grid)
                raise KeyProblem(
                    f"encoder.{part}",
                    f"encoder.{part} must be {' or '.join(allowed)}, not {plain(getattr(self.encoder, part))}: the "
                    "encoder sees only the visible tokens, in random order, where a position means nothing; use "
                    "decoder or context",
                )

    def _fits_rotary(self) -> None:
        if self.position != "rotary":
            return
        head_size = self.width // self.num_heads
        if head_size % 2 or head_size < 4:
            message = f"rotary needs heads of 4, 6, 8 ... channels, not {head_size}"
            raise KeyProblem("position", message, "width", "num_heads", "size")
        for segment in SEGMENTS:
            word = getattr(self, segment).normalization
            if NORMALIZATION[word].averages_queries:
                raise MeaninglessCombination(
                    "position",
                    f"rotary cannot stand with {word}, whose mediators are means of queries over many positions: "
                    f"position must be table, or {segment}.normalization another",
                    f"{segment}.normalization",
                )

    def _fits_hybrid(self) -> None:
        """Accept only the simpler of two ways to write the same design, so that it has one key."""
        if self.softmax_every is None:
            return
        changed = {s: [block != getattr(self, s) for block in self.blocks(s)] for s in SEGMENTS}
        depths = ("size", *(f"{segment}{name}" for segment in SEGMENTS for name in ("_depth", ".normalization")))
        if not any(map(any, changed.values())):
            message = f"{self.softmax_every} changes no block: leave it out"
            raise MeaninglessCombination("softmax_every", message, *depths)
        for segment, blocks in changed.items():
            if all(blocks):
                raise MeaninglessCombination(
                    "softmax_every",
                    f"{self.softmax_every} leaves no block of the {segment} as it says: "
                    f"{segment}.normalization softmax is that design",
                    *depths,
                )


def base_model(model: ModelConfig, times: int = 1) -> ModelConfig:
    """The same design at `times` the base width: as many heads as make it up, of the same channels; depths stay.

    The width is nano's, or one head's where heads are wider.
    """
    head_size = model.width // model.num_heads
    at_least = 4 // math.gcd(head_size, 4)  # a width is a multiple of 4
    heads = times * max(at_least, BASE_WIDTH // head_size // at_least * at_least)
    widths = {"width": heads * head_size, "num_heads": heads, "head_width": times * BASE_WIDTH}
    return model.model_copy(update={"size": "custom", **widths})


def at_base(model: ModelConfig) -> bool:
    """Whether a model has the base widths, up to the name of its size."""
    base = base_model(model)
    return (model.width, model.head_width) == (base.width, base.head_width)

"""The model: its sizes, and the attention of every segment.

`model.attention` is shorthand for the attention of all three segments; it is spelled out while loading, so that in
code there is one `AttentionConfig` for each segment and no field is ever "unset".
"""

from typing import Any, Self

from pydantic import model_validator

from lina_lab.config.axes import ConvKernel, FeatureMap, KVGate, KVGateHeads, Normalization
from lina_lab.config.base import Config, Count, KeyProblem, MeaninglessCombination
from lina_lab.config.sizes import SIZES

SEGMENTS = ("context", "encoder", "decoder")
GRID_PARTS = ("conv_kernel", "kv_gate", "kv_gate_heads")
"""Parts of `model.attention` that act in the decoder alone, where the full grid is, unless a segment asks for them."""


class AttentionConfig(Config):
    """The attention of one segment: a value on each design axis (`lab axes` explains them)."""

    normalization: Normalization = "division"
    feature_map: FeatureMap = "relu"
    conv_kernel: ConvKernel = 0
    kv_gate: KVGate = "none"
    kv_gate_heads: KVGateHeads = "per_head"

    @model_validator(mode="before")
    @classmethod
    def _canonical(cls, values: Any) -> Any:
        """What a value makes meaningless takes its one canonical form, so that equal designs have equal keys."""
        if not isinstance(values, dict):
            return values
        if values.get("normalization") == "softmax" and values.get("feature_map") in {None, "relu", "elu1"}:
            values = values | {"feature_map": "identity"}
        if values.get("kv_gate", "none") == "none" and values.get("kv_gate_heads") == "shared":
            values = values | {"kv_gate_heads": "per_head"}
        return values

    @model_validator(mode="after")
    def _combination(self) -> Self:
        if self.normalization == "division" and self.feature_map == "identity":
            raise MeaninglessCombination(
                "feature_map",
                "division needs a positive feature map (relu or elu1), not identity: its denominator could vanish",
            )
        if self.normalization == "softmax" and self.kv_gate == "key_value_split":
            raise MeaninglessCombination(
                "kv_gate",
                "softmax has no key mean of its own to gate: kv_gate must be none, key, value or key_value, "
                "not key_value_split",
            )
        return self


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
        elif size != "custom":
            raise KeyProblem("size", f"must be one of {', '.join(SIZES)}, or custom, not {size!r}")
        return values

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.width % self.num_heads:
            raise KeyProblem(
                "num_heads",
                f"num_heads must divide width: {self.num_heads} heads do not divide {self.width} channels",
            )
        if self.width % 4:
            raise KeyProblem("width", f"width must be a multiple of 4 for the position table, not {self.width}")
        for part, off in (("conv_kernel", 0), ("kv_gate", "none")):
            if getattr(self.encoder, part) != off:
                raise KeyProblem(
                    f"encoder.{part}",
                    f"encoder.{part} must be {off}, not {getattr(self.encoder, part)}: the encoder sees only the "
                    "visible tokens, in random order, where a position means nothing; use decoder or context",
                )
        return self

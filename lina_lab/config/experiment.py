"""One experiment: everything that determines a result, as validated and fully resolved values.

`model.attention` is shorthand for the attention of all three segments; it is spelled out while loading, so that in
code there is one `AttentionConfig` for each segment and no field is ever "unset".
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lina_lab.config.axes import ConvKernel, FeatureMap, KVGate, KVGateHeads, Normalization
from lina_lab.config.sizes import SIZES

SEGMENTS = ("context", "encoder", "decoder")
GRID_PARTS = ("conv_kernel", "kv_gate", "kv_gate_heads")
"""Parts of `model.attention` that act in the decoder alone, where the full grid is, unless a segment asks for them."""

SCHEMA = 1
"""Version of the canonical form. It changes when an old config would mean something else today."""

Count = Annotated[int, Field(gt=0)]
Probability = Annotated[float, Field(ge=0, lt=1)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class KeyProblem(ValueError):
    """A value that is wrong only beside others; `key` is where a user would mend it."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


class MeaninglessCombination(KeyProblem):
    """Two values, each right, that mean nothing together: a sweep leaves such a cell out and says so."""


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


class DataShape(NamedTuple):
    """What a model must know of its data: latents of shape (channels, side, side) and a label."""

    channels: int
    side: int
    num_classes: int


DATASETS = {"digits": DataShape(channels=1, side=8, num_classes=10)}
PUBLISHED_DATA = DataShape(channels=16, side=16, num_classes=1000)
"""ImageNet at 256 px through the MAR autoencoder, as the published class-conditional models see it."""


class DataConfig(Config):
    name: Literal["digits"] = "digits"

    @property
    def shape(self) -> DataShape:
        return DATASETS[self.name]


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


class TrainingConfig(Config):
    steps: Count
    """Optimizer steps."""
    batch_size: Count
    """Images a step."""
    learning_rate: PositiveFloat
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Steps over which the learning rate rises linearly from a thousandth; constant after."""
    weight_decay: NonNegativeFloat = 0.02
    """On everything trainable except LayerNorm parameters, as published."""
    beta1: Probability = 0.9
    beta2: Probability = 0.95
    gradient_clip: PositiveFloat | None = None
    """Largest norm of the gradient; null for no clipping, as published."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16 keeps float32 weights and computes in bfloat16; the linear core is float32 in either."""
    ema_decay: Probability = 0.99
    ema_every: Count = 1
    """Steps between updates of the averaged weights."""
    loss_repeat: Count = 4
    """Noise and time draws for each conditioning."""
    label_dropout: Probability = 0.1
    mask_ratio_min: Probability = 0.7
    """The mask ratio is drawn from a normal around 1, cut to [mask_ratio_min, 1]."""
    mask_ratio_std: PositiveFloat = 0.25

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.warmup_steps > self.steps:
            raise KeyProblem(
                "warmup_steps", f"warmup_steps must be at most steps ({self.steps}), not {self.warmup_steps}"
            )
        return self


class SamplingConfig(Config):
    autoregressive_steps: Count = 64
    """Steps S of the cosine count schedule; steps that would predict no token are left out."""
    flow_steps: Count = 25
    """Euler steps of the head for each token."""
    guidance_scale: PositiveFloat = 1.0
    """Classifier-free guidance at the last autoregressive step; 1 for none."""
    guidance_min: PositiveFloat = 1.0
    """Where the linear ramp of the guidance starts."""


class EvaluationConfig(Config):
    extractor: Literal["digits-cnn", "inception"] = "digits-cnn"
    num_samples: Annotated[int, Field(ge=2)] = 1000
    """Generated images, the same number for every class."""


class LoggingConfig(Config):
    """What is written on the way. It changes no result and does not enter the key."""

    every: Count = 10
    """Steps between two rows of metrics.csv; the loss is the mean over them."""
    validate_every: Count = 200
    """Steps between held-out losses and sample grids, both from the averaged weights."""
    checkpoint_every: Count = 200


class Experiment(Config):
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """A label; it does not enter the key."""
    seed: Annotated[int, Field(ge=0)] = 0
    data: DataConfig = DataConfig()
    model: ModelConfig
    training: TrainingConfig
    sampling: SamplingConfig = SamplingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    logging: LoggingConfig = LoggingConfig()

    @model_validator(mode="before")
    @classmethod
    def _resolve(cls, values: Any) -> Any:
        """The default number of context tokens, which only data and patch together tell."""
        if not isinstance(values, dict) or not isinstance(values.get("model"), dict):
            return values
        model, data = values["model"], values.get("data", {})
        shape = DATASETS.get(str(data.get("name", "digits"))) if isinstance(data, dict) else None
        patch = model.get("patch", 1)
        if "context_tokens" in model or shape is None or not isinstance(patch, int) or patch < 1:
            return values
        return values | {"model": {"context_tokens": default_context_tokens(shape, patch)} | model}

    @model_validator(mode="after")
    def _fits(self) -> Self:
        side, patch = self.data.shape.side, self.model.patch
        if side % patch:
            raise KeyProblem(
                "model.patch",
                f"patch must divide the side of {self.data.name}: {patch} does not divide {side}",
            )
        classes = self.data.shape.num_classes
        if self.evaluation.num_samples % classes:
            raise KeyProblem(
                "evaluation.num_samples",
                f"num_samples must be a multiple of the {classes} classes of {self.data.name}, "
                f"so that labels are balanced, not {self.evaluation.num_samples}",
            )
        return self


def default_context_tokens(shape: DataShape, patch: int) -> int:
    """A quarter of the image tokens, at least 1: the published ratio of 64 to 256."""
    return max(1, (shape.side // patch) ** 2 // 4)


def canonical(experiment: Experiment, *, seed: bool = True) -> dict[str, Any]:
    """The part of an experiment that determines its result, fully resolved, as JSON values."""
    values = experiment.model_dump(mode="json", exclude={"name": True, "logging": True, "model": {"size"}})
    if not seed:
        del values["seed"]
    return {"schema": SCHEMA} | values


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of a value, as hex."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def cell_key(experiment: Experiment) -> str:
    """12 hex digits that name the result: equal for two experiments exactly when they compute the same."""
    return digest(canonical(experiment))[:12]


def set_path(values: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of nested mappings in which the dotted path holds the value.

    Raises:
        KeyProblem: if something on the way is not a mapping.
    """
    key, _, rest = path.partition(".")
    if not rest:
        return {**values, key: value}
    inner = values.get(key, {})
    if not isinstance(inner, Mapping):
        raise KeyProblem(path, f"{key} is {inner!r} and has no keys below it")
    return {**values, key: set_path(inner, rest, value)}

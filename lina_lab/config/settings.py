"""How a model is trained, sampled, evaluated, logged and executed."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, Strict, field_validator, model_validator

from lina_lab.config.base import Config, Count, KeyProblem, NonNegativeFloat, OneOf, PositiveFloat, Probability, Table
from lina_lab.design.extractors import FEATURES

Backend = Literal["auto", "torch", "triton"]


class InitConfig(Config):
    """Start from the averaged weights of a trained cell, as published for higher resolutions."""

    cell: str = Field(pattern=r"^[0-9a-f]{12}$")
    """Its full key; the cell must be in the same runs folder."""
    gates: Literal["reset", "interpolate"] = "reset"
    """Position gates on another grid: they start at 1 (as published) or are interpolated."""


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
    parametrization: Literal["standard", "mup"] = "standard"
    """mup: initial weights and learning rates follow the width, so that a rate tuned at one width serves all; see
    `lina_lab.training.parametrization`. At the base width the two are one."""
    loss_repeat: Count = 4
    """Noise and time draws for each conditioning."""
    label_dropout: Probability = 0.1
    mask_ratio_min: Probability = 0.7
    """The mask ratio is drawn from a normal around 1, cut to [mask_ratio_min, 1]."""
    mask_ratio_std: PositiveFloat = 0.25
    init_from: InitConfig | None = None
    """Null: fresh weights, drawn from the seed."""
    imported: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """SHA-256 of the published weights that `lab import` gave the cell. Nothing is trained then: the other values here
    are the recipe as the experiment states it, which nothing verifies."""

    @property
    def ema_share(self) -> float:
        """How far the EMA weights look back, 1 / (1 - ema_decay) updates, as a share of all updates."""
        return self.ema_every / (1 - self.ema_decay) / self.steps

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.warmup_steps > self.steps:
            raise KeyProblem(
                "warmup_steps", f"warmup_steps must be at most steps ({self.steps}), not {self.warmup_steps}", "steps"
            )
        if self.imported is not None and self.init_from is not None:
            message = "init_from must be null where weights are imported: nothing is trained"
            raise KeyProblem("init_from", message, "imported")
        return self


class SamplingConfig(Config):
    autoregressive_steps: Count = 64
    """Steps S of the cosine count schedule; steps that would predict no token are left out."""
    flow_steps: Count = 25
    """Euler steps of the head for each token."""
    flow_steps_last: Count | None = None
    """Euler steps of the last autoregressive step, reached linearly from flow_steps; null for no change."""
    guidance_scale: PositiveFloat = 1.0
    """Classifier-free guidance at the last autoregressive step; 1 for none."""
    guidance_min: PositiveFloat = 1.0
    """Where the linear ramp of the guidance starts."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16 computes in bfloat16; norms, the sums of residuals and the linear core stay float32."""

    @model_validator(mode="before")
    @classmethod
    def _canonical(cls, values: Any) -> Any:
        """Drop a `flow_steps_last` without effect, so that equal samplers have equal keys."""
        if not isinstance(values, dict) or values.get("flow_steps_last") is None:
            return values
        default = cls.model_fields["flow_steps"].default
        same = values["flow_steps_last"] == values.get("flow_steps", default)
        return values | {"flow_steps_last": None} if same or values.get("autoregressive_steps") == 1 else values

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.flow_steps_last or 0) > self.flow_steps:
            raise KeyProblem(
                "flow_steps_last",
                f"flow_steps_last must be at most flow_steps ({self.flow_steps}), not {self.flow_steps_last}",
                "flow_steps",
            )
        return self

    def changed(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """All fields, with changes. Guidance that is constant over the steps stays constant at another scale."""
        constant = self.guidance_min == self.guidance_scale != 1
        scale = changes.get("guidance_scale")
        least = {} if scale is None or not constant else {"guidance_min": scale}
        return self.model_dump() | least | dict(changes)


class ExtractorInput(NamedTuple):
    """The data set that an embedded extractor was trained on, and the image shape that it reads."""

    data: str
    channels: int
    side: int


EXTRACTORS = {
    "digits-cnn": ExtractorInput("digits", channels=1, side=8),
    "digits-vicreg": ExtractorInput("digits", channels=1, side=8),
    "emoji-cnn-32": ExtractorInput("emoji", channels=3, side=32),
    "emoji-cnn-64": ExtractorInput("emoji", channels=3, side=64),
    "fashion-mnist-cnn": ExtractorInput("fashion-mnist", channels=1, side=28),
    "fashion-mnist-vicreg": ExtractorInput("fashion-mnist", channels=1, side=28),
    "mnist-cnn": ExtractorInput("mnist", channels=1, side=28),
    "mnist-vicreg": ExtractorInput("mnist", channels=1, side=28),
    "shapes-cnn-32": ExtractorInput("shapes", channels=3, side=32),
    "shapes-cnn-64": ExtractorInput("shapes", channels=3, side=64),
    "shapes-vicreg-32": ExtractorInput("shapes", channels=3, side=32),
}
"""The embedded extractors: `cnn` learnt the classes, `vicreg` learnt without labels."""
PUBLISHED = {"inception": 2048, "dinov2": 1024, "clip": 768}
"""Features of the extractors whose weights are not shipped; they read images of any shape."""
FEATURES |= dict.fromkeys(EXTRACTORS, 64) | {"digits-cnn": 32, "digits-vicreg": 32} | PUBLISHED
ExtractorName = Annotated[str, OneOf(Table(FEATURES))]


GUIDANCE_GRID = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0)
GUIDANCE_REFINEMENTS = 4
"""A search for the best guidance measures a grid and then as many scales about its best: one budget for every cell."""


class EvaluationConfig(Config):
    extractor: ExtractorName = "digits-cnn"
    """Extractor of the features; it must read images of the data set's shape."""
    also: Annotated[tuple[ExtractorName, ...], Strict(False)] = ()
    """Further extractors that measure the same images: a study whose extractors disagree on a winner has none."""
    num_samples: Annotated[int, Field(ge=2)] = 1000
    """Generated images, with the class proportions of the held-out split; with a `reference`, equally many a class."""
    reference: str | None = None
    """An .npz with `mu` and `sigma` of the extractor's features, as ADM's; null for the held-out split. What `also`
    names compares with the images in it."""
    at: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Strict(False)] = ()
    """Shares of the steps at which the averaged weights are measured too, as those of the end, 1, always are."""
    guidance: Literal["best"] | None = None
    """best: measured again at the guidance scale with the lowest FID, which a search finds; null: at its own alone."""
    generation_seeds: Count = 1
    """How often images are drawn and measured, each time from other noise: the first time from the cell's seed."""

    @field_validator("at")
    @classmethod
    def _before_the_end(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted(share for share in shares if share < 1))

    @property
    def num_measurements(self) -> int:
        """Sets of images that a cell is measured by: of its points, of its end, and at its best guidance as many as at
        its own, after the search.
        """
        search = len(GUIDANCE_GRID) + GUIDANCE_REFINEMENTS + self.generation_seeds
        return len(self.at) + self.generation_seeds + (search if self.guidance == "best" else 0)

    @property
    def extractors(self) -> list[str]:
        """All of them, the one that decides first."""
        return [self.extractor, *self.also]


class LoggingConfig(Config):
    """How often to write metrics and checkpoints. It changes no result and does not enter the key."""

    every: Count = 10
    """Steps between two rows of metrics.csv; the loss is the mean over them."""
    validate_every: Count = 200
    """Steps between held-out losses and sample sheets, both of the EMA weights."""
    checkpoint_every: Count = 200


class CheckpointConfig(Config):
    """What is kept of a training when it ends. It changes no result and does not enter the key."""

    keep_end: Literal["auto", "yes", "no"] = "auto"
    """The end state (weights, optimizer, average), from which a longer training of the same cell goes on: auto keeps it
    where the same plan has a longer one."""

    @field_validator("keep_end", mode="before")
    @classmethod
    def _word(cls, value: Any) -> Any:
        """YAML reads a bare yes or no as a truth value."""
        return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value


class ExecutionConfig(Config):
    """How a cell is computed. It changes results by rounding alone and does not enter the key."""

    attention_backend: Backend = "auto"
    """Linear attention by plain torch or by Triton kernels; auto takes the kernels where there is a GPU for them."""
    compile: bool = False
    """torch.compile every block: a minute at the start, faster steps where blocks are large."""
    activation_checkpointing: Literal["none", "mlp", "block"] = "none"
    """What is computed again in the backward pass instead of kept: nothing, every MLP (as published for 512 px and
    up), or every block."""
    accumulate: Count = 1
    """Micro-batches of a step, run one after the other, so that activations of only one are in memory. Gradients are
    exchanged once a step; with fsdp and more than one micro-batch every process therefore keeps whole gradients."""

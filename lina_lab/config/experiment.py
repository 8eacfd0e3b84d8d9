"""One experiment: everything that determines a result, as validated and fully resolved values."""

import contextlib
import hashlib
import json
from collections.abc import Mapping
from functools import reduce
from operator import getitem
from typing import Annotated, Any, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from lina_lab.config.base import Config, KeyProblem
from lina_lab.config.data import DIGITS, HELD_OUT, DataConfig
from lina_lab.config.model import SEGMENTS, ModelConfig, at_base
from lina_lab.config.settings import (
    EXTRACTORS,
    CheckpointConfig,
    EvaluationConfig,
    ExecutionConfig,
    LoggingConfig,
    SamplingConfig,
    TrainingConfig,
)
from lina_lab.design.extractors import FEATURES
from lina_lab.design.value import plain

SCHEMA = 1
"""Version of the canonical form; raised when an old config would mean something else today."""

LATER_OF_ATTENTION = {"conv_weights": "fixed", "sequence_conv": "none", "memory_groups": 1, "output_gate": "none"}
LATER: dict[tuple[str, ...], Any] = {
    ("sampling", "precision"): "fp32",
    ("data", "side"): 8,  # the only side of digits, and of no other set
    ("data", "text"): None,
    ("training", "init_from"): None,
    ("training", "imported"): None,
    ("training", "parametrization"): "standard",
    ("data", "path"): None,
    ("data", "num_classes"): None,
    ("data", "digest"): None,
    ("data", "held_out"): HELD_OUT,
    ("data", "autoencoder"): None,
    ("data", "fit"): "crop",
    ("data", "dataset"): None,
    ("data", "root"): None,
    ("data", "labels"): "category",
    ("model", "position"): "table",
    ("model", "softmax_every"): None,
    ("sampling", "flow_steps_last"): None,
    **{("model", s, field): value for s in SEGMENTS for field, value in LATER_OF_ATTENTION.items()},
    ("evaluation", "reference"): None,
    ("evaluation", "at"): [],
    ("evaluation", "guidance"): None,
    ("evaluation", "generation_seeds"): 1,
    ("evaluation", "also"): [],
}
"""Fields added after schema 1, by path, with the value that older cells imply. At that value they are left out of the
canonical form, so that old keys still name the same results."""


NOT_IN_KEY = ("name", "logging", "checkpoint", "execution", "contents")
"""What changes no result, or by rounding alone; the contents stand in the key where their paths do in the config."""
AFTER_TRAINING = ("sampling", "evaluation")
"""Sections that nothing of a training depends on but the sheets of samples."""


class Experiment(Config):
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """A label; it does not enter the key."""
    seed: Annotated[int, Field(ge=0)] = 0
    data: DataConfig = DIGITS
    model: ModelConfig
    training: TrainingConfig
    sampling: SamplingConfig = SamplingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    logging: LoggingConfig = LoggingConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    execution: ExecutionConfig = ExecutionConfig()
    contents: dict[str, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]] = {}
    """SHA-256, by path, of the local files and folders named above, when the cell was planned. In the key it replaces
    the path. It is filled in by planning; values that are given are checked against the content."""

    @model_serializer(mode="wrap")
    def _without_none(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out empty `contents`, so that such experiments are stored as before the field existed."""
        values: dict[str, Any] = handler(self)
        if not self.contents:
            values.pop("contents", None)
        return values

    @model_validator(mode="before")
    @classmethod
    def _resolve(cls, values: Any) -> Any:
        """Fill in the default number of context tokens, which depends on data and patch together."""
        if not isinstance(values, dict) or not isinstance(values.get("model"), dict):
            return values
        model, data, tokens = values["model"], values.get("data", {}), 1
        patch = model.get("patch", 1)
        # Wrong data or a wrong patch is reported by its own validator; no second error for what follows from it.
        with contextlib.suppress(ValueError):
            side = DataConfig.model_validate(data).shape.side
            tokens = default_context_tokens(side, patch) if isinstance(patch, int) and patch > 0 else 1
        return values | {"model": {"context_tokens": tokens} | model}

    @model_validator(mode="after")
    def _fits(self) -> Self:
        side, patch = self.data.shape.side, self.model.patch
        if side % patch:
            latent = " through its autoencoder" if self.data.autoencoder else ""
            raise KeyProblem(
                "model.patch",
                f"patch must divide the side of {self.data.title}{latent}: {patch} does not divide {side}",
                *("data.name", "data.dataset", "data.side", "data.autoencoder.stride"),
            )
        self._fits_extractor()
        batch, micro_batches = self.training.batch_size, self.execution.accumulate
        if batch % micro_batches:
            message = f"accumulate must divide batch_size ({batch}), not {micro_batches}"
            raise KeyProblem("execution.accumulate", message, "training.batch_size")
        self._fits_classes()
        self._fits_points()
        if self.evaluation.guidance and not self.training.label_dropout:
            message = "guidance best needs a label_dropout above 0: without labels the model was never trained"
            raise KeyProblem("evaluation.guidance", message, "training.label_dropout")
        return self

    def _fits_points(self) -> None:
        shares, steps = self.evaluation.at, self.training.steps
        if shares and self.training.imported is not None:
            raise KeyProblem("evaluation.at", "at must be empty where weights are imported: nothing is trained")
        found: dict[int, float] = {0: 0.0, steps: 1.0}
        for share in shares:
            step = step_at(share, steps)
            if step in found:
                raise KeyProblem(
                    "evaluation.at",
                    f"at must be shares at different steps: {found[step]:g} and {share:g} of {steps:,} steps are both "
                    f"step {step:,}",
                    "training.steps",
                )
            found[step] = share

    def _fits_classes(self) -> None:
        classes, count = self.data.shape.num_classes, self.evaluation.num_samples
        balanced = self.data.source.balanced or (self.evaluation.reference and self.data.text is None)
        if balanced and count % classes:
            below = count // classes * classes
            raise KeyProblem(
                "evaluation.num_samples",
                f"num_samples must be a multiple of the {classes} classes of {self.data.title}, so that labels are "
                f"balanced, as {f'{below:,} or ' if below else ''}{below + classes:,}, not {count:,}",
                *("data.name", "data.num_classes", "data.labels", "evaluation.reference"),
            )

    def _fits_extractor(self) -> None:
        data, beside = self.data, ("data.name", "data.dataset", "data.side")
        shaped = [
            other
            for other, reads in EXTRACTORS.items()
            if (reads.channels, reads.side) == (data.source.channels, data.side)
        ]
        # Where none was trained on such pictures, as for most folders, any that reads their shape may be named.
        own = [other for other in shaped if EXTRACTORS[other].data in {data.name, data.classes_of}]
        fitting = [*(own or shaped), *(name for name in FEATURES if name not in EXTRACTORS)]
        named = self.evaluation.extractors
        for place, name in enumerate(named):
            key = "also" if place else "extractor"
            if name not in fitting:
                known = ", ".join(map(plain, fitting))
                message = f"{key} of {data.title} of side {data.side} must be one of {known}, not {name}"
                raise KeyProblem(f"evaluation.{key}", message, *beside)
            if name in named[:place]:
                message = f"also must name further extractors, each once: {name} is there already"
                raise KeyProblem("evaluation.also", message, "evaluation.extractor")


def digests(experiment: Experiment) -> list[str]:
    """Of the plugins that an experiment uses, each once."""
    values = [value for segment in SEGMENTS for value in getattr(experiment.model, segment).values()]
    origins = [known.origin for known in (*values, experiment.data.source)]
    extractors = [name.partition("@")[2] for name in experiment.evaluation.extractors if "@" in name]
    return list(dict.fromkeys([*(origin.digest for origin in origins if origin is not None), *extractors]))


def step_at(share: float, steps: int) -> int:
    """The step that is nearest to a share of all steps."""
    return round(share * steps)


def points(experiment: Experiment) -> dict[int, float]:
    """The steps before the last at which the averaged weights are measured, in their order, with their shares."""
    return {step_at(share, experiment.training.steps): share for share in experiment.evaluation.at}


def default_context_tokens(side: int, patch: int) -> int:
    """A quarter of the image tokens, at least 1: the published ratio of 64 to 256."""
    return max(1, (side // patch) ** 2 // 4)


def named_paths(experiment: Experiment) -> dict[str, str]:
    """Files and folders that an experiment names, by dotted field.

    For an hf encoder and an autoencoder it may be a hub id instead.
    """
    data = experiment.data
    paths = {
        "data.path": data.path,
        "data.root": data.root,
        "data.autoencoder.path": data.autoencoder.path if data.autoencoder else None,
        "data.text.path": data.text.path if data.text else None,
        "evaluation.reference": experiment.evaluation.reference,
    }
    return {field: path for field, path in paths.items() if path is not None}


def canonical(experiment: Experiment, *, seed: bool = True) -> dict[str, Any]:
    """The part of an experiment that determines its result, fully resolved, as JSON values.

    A path whose content is known is replaced by its SHA-256; a `digest` that the user asked for is then redundant.
    """
    without: dict[str, Any] = dict.fromkeys(NOT_IN_KEY, True) | {"model": {"size"}}
    values = experiment.model_dump(mode="json", exclude=without)
    if at_base(experiment.model):  # where both parametrizations compute the same
        values["training"]["parametrization"] = "standard"
    # Left out at their old value, or every older key would change.
    for (*sections, field), value in LATER.items():
        holder = reduce(getitem, sections, values)
        if holder[field] == value:
            del holder[field]
    for place, path in named_paths(experiment).items():
        if path in experiment.contents:
            *sections, field = place.split(".")
            holder = reduce(getitem, sections, values)
            holder[field] = {"sha256": experiment.contents[path]}
            holder.pop("digest", None)
    if not seed:
        del values["seed"]
    return {"schema": SCHEMA} | values


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of a value, as hex."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def cell_key(experiment: Experiment) -> str:
    """12 hex digits: equal for two experiments exactly if they compute the same result."""
    return key_of(canonical(experiment))


def key_of(canonical_form: Mapping[str, Any]) -> str:
    """The key of the canonical form of an experiment."""
    return digest(canonical_form)[:12]


def training_key(experiment: Experiment) -> str:
    """12 hex digits: equal for two experiments exactly if the longer training does, to the bit, all of the shorter.

    Their `training.steps` may differ, since the learning rate is constant once it is warm and draws depend on the step
    alone, and so may what follows the training. The execution may not: it changes bits.
    """
    body = canonical(experiment)
    del body["training"]["steps"]
    kept = {name: value for name, value in body.items() if name not in AFTER_TRAINING}
    return key_of(kept | {"execution": experiment.execution.model_dump()})


def goes_on_from(experiment: Experiment, step: int) -> bool:
    """Whether a training of the same `training_key` can begin at the end of one of so many steps.

    It must be longer, and have no point before: the averaged weights of that step would be missing.
    """
    return step < min([experiment.training.steps, *points(experiment)])


def set_path(values: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of nested mappings in which the dotted path holds the value.

    Raises:
        KeyProblem: if a key on the path holds something other than a mapping.
    """
    key, _, rest = path.partition(".")
    if not rest:
        return {**values, key: value}
    inner = values.get(key, {})
    if not isinstance(inner, Mapping):
        raise KeyProblem(path, f"{key} is {inner!r} and has no keys below it")
    return {**values, key: set_path(inner, rest, value)}

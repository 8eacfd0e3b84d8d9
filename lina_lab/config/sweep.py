"""A sweep: a question, a base experiment, axes and seeds."""

import json
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from lina_lab.config.base import Config, KeyProblem, PositiveFloat
from lina_lab.config.engine import EngineConfig, user_file
from lina_lab.config.experiment import Experiment
from lina_lab.config.load import Document, build, override, parse_value, read_yaml, validate
from lina_lab.config.notify import Notify
from lina_lab.config.settings import TrainingConfig
from lina_lab.config.tune import Tune
from lina_lab.errors import LabError
from lina_lab.metric_names import METRICS, known_metric

Scalar = str | int | float | bool | None


class Budget(Config):
    """A sweep that would cost more is refused; null for no limit."""

    hours: PositiveFloat | None = None
    """Hours of wall time, extrapolated from a short timing on this machine."""
    flops: PositiveFloat | None = None
    """FLOPs of all trainings together, in closed form."""


class SetWhere(Config):
    """Training values of some cells, such as a learning rate of one size that was found before."""

    where: Annotated[dict[str, Scalar], Field(min_length=1)]
    """Axis to value; the cells that have all of them."""
    set: Annotated[dict[str, Scalar], Field(min_length=1)]
    """Values of training, by dotted path."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for path in self.set:
            section, _, field = path.partition(".")
            if section != "training" or field not in TrainingConfig.model_fields:
                raise KeyProblem("set", f"{path} must be a value of training: what else differs is an axis")
        return self


class Sweep(Config):
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Names the MLflow experiment and the folder of the report."""
    question: str
    """What the study asks: the heading of its report."""
    experiment: str
    """Path of the base experiment, relative to the sweep's file."""
    plugins: dict[str, dict[str, str]] = {}
    """By axis, the words of its plugins and what they stand for: in the file, a list of paths relative to it."""
    set: dict[str, Any] = {}
    """Changes to the base experiment, by dotted path."""
    set_where: list[SetWhere] = []
    """Training values for a part of the grid; where entries overlap, the last one counts."""
    axes: dict[str, Annotated[list[Scalar], Field(min_length=1)]] = Field(min_length=1)
    """Dotted path to the values it takes; the grid is their product."""
    metric: str = "fid"
    """What designs are compared by: a column of the results table, or fid, kid or another without its extractor."""
    better: Literal["lower", "higher"] | None = None
    """Which way the metric is better; null for what is known of it."""
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = [0]
    exclude: list[dict[str, Scalar]] = []
    """Combinations to leave out: a cell that has all values of one entry."""
    tune: Tune | None = None
    """What is tuned for every design at every size before its cells run."""
    budget: Budget = Budget()
    engine: EngineConfig = EngineConfig()
    """Where the cells run; fields that are left out come from the user's own file."""
    notify: Notify | None = None
    """Whom the sweep tells when it has ended or a cell has failed."""

    @model_validator(mode="after")
    def _metric_is_known(self) -> Self:
        known = known_metric(self.metric)
        better = known.better if known else ""
        if not better and self.better is None:
            names = [metric.key.removeprefix("eval/").rstrip("/") for metric in METRICS if metric.better]
            close = get_close_matches(self.metric, names, n=1)
            hint = f"did you mean {close[0]}? Or " if close else ""
            message = (
                f"{self.metric} is no metric of which lower or higher is known to be better: {hint}set better, too"
            )
            raise KeyProblem("metric", message)
        if better and self.better not in {None, better}:
            raise KeyProblem("better", f"of {self.metric} {better} is better, not {self.better}")
        return self


class Omission(NamedTuple):
    """A point of the grid that has no cell of its own, and why."""

    values: dict[str, Scalar]
    reason: str


def left_out(omitted: Iterable[Omission]) -> list[str]:
    """A line for each reason: what has no cell of its own, and why."""
    by_reason: dict[str, list[str]] = {}
    for omission in omitted:
        by_reason.setdefault(omission.reason, []).append(cell_label(omission.values))
    return [f"left out: {'; '.join(labels)}: {reason}" for reason, labels in by_reason.items()]


def cell_label(
    values: Mapping[str, Scalar], tuned: Mapping[str, Scalar] | None = None, trial: int | None = None
) -> str:
    """Axis values for people: words as they are, numbers with their axis ('division conv_kernel=5 nano')."""
    words = [v if isinstance(v, str) and v != "none" else f"{k}={json.dumps(v)}" for k, v in values.items()]
    if trial is not None:
        words += [f"trial {trial}", *(f"{k}={v:.3g}" for k, v in (tuned or {}).items())]
    return " ".join(words)


def axis_names(paths: Mapping[str, Any]) -> dict[str, str]:
    """Short name of every axis: the path without its section, unless two axes would share it.

    `model.attention.normalization` is `normalization`, `model.decoder.normalization` is `decoder.normalization`.
    """
    short = {path: path.partition(".")[2].removeprefix("attention.") or path for path in paths}
    twice = {name for name in short.values() if list(short.values()).count(name) > 1}
    return {(path if name in twice else name): path for path, name in short.items()}


def parse_settings(settings: list[str]) -> dict[str, Any]:
    """`key=value` words of `--set` as dotted path to value.

    Raises:
        LabError: if a word has no key or no '=', or a key stands twice.
    """
    pairs = [setting.partition("=") for setting in settings]
    for (key, equals, _), setting in zip(pairs, settings, strict=True):
        if not key or not equals:
            raise LabError(f"--set {setting}: must be key=value, as in --set training.steps=600")
    texts: dict[str, str] = {}
    for key, _, value in pairs:
        if texts.setdefault(key, value) != value:
            raise LabError(f"--set {key}: stands twice: {texts[key]} and {value}")
    return {key: parse_value(value) for key, _, value in pairs}


def chosen_engine(engine: EngineConfig, **options: Any) -> EngineConfig:
    """Options of the command line over the `engine:` section of a sweep over the user's file.

    Raises:
        LabError: if the user's file is missing or wrong.
    """
    path = user_file()
    chosen = validate(EngineConfig, read_yaml(path)) if path else EngineConfig()
    own = {name: getattr(engine, name) for name in engine.model_fields_set}
    return chosen.model_copy(update=own | {k: v for k, v in options.items() if v is not None})


def with_values(experiment: Experiment, changes: Mapping[str, Any], where: str) -> Experiment:
    """A resolved experiment with values set by dotted path; `where` names them in messages.

    Raises:
        ConfigError: if it is none then.
    """
    values = experiment.model_dump()
    return build(override(Document(values, {}), changes, where))

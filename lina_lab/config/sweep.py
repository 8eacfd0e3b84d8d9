"""A sweep: a question, a base experiment, axes and seeds; and its plan, the cells to run."""

import itertools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from lina_lab.config.base import Config, PositiveFloat
from lina_lab.config.engine import EngineConfig, user_file
from lina_lab.config.experiment import Experiment, cell_key
from lina_lab.config.load import (
    ConfigError,
    Document,
    Problem,
    build,
    override,
    parse_value,
    read_yaml,
    validate,
)
from lina_lab.config.naming import set_name
from lina_lab.config.settled import Settle, as_written, build_settled
from lina_lab.config.tune import Tune
from lina_lab.errors import LabError

Scalar = str | int | float | bool | None


class Budget(Config):
    """A sweep that would cost more is refused; null for no limit."""

    hours: PositiveFloat | None = None
    """Of wall time, as far as a short timing on this machine tells."""
    flops: PositiveFloat | None = None
    """Of all training together, in closed form."""


class Sweep(Config):
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Names the MLflow experiment and the folder of the report."""
    question: str
    """What the study asks: the heading of its report."""
    experiment: str
    """Path of the base experiment, relative to the sweep's file."""
    set: dict[str, Any] = {}
    """Changes to the base experiment, by dotted path."""
    axes: dict[str, Annotated[list[Scalar], Field(min_length=1)]] = Field(min_length=1)
    """Dotted path to the values it takes; the grid is their product."""
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = [0]
    exclude: list[dict[str, Scalar]] = []
    """Combinations to leave out: a cell that has all values of one entry."""
    tune: Tune | None = None
    """What is tuned for every design at every size before its cells run."""
    budget: Budget = Budget()
    engine: EngineConfig = EngineConfig()
    """Where the cells run; what it leaves out comes from the user's own file."""


class Cell(NamedTuple):
    """One point of the grid under one seed."""

    key: str
    values: dict[str, Scalar]
    """The value on every axis, by axis name."""
    seed: int
    experiment: Experiment
    tuned: dict[str, Scalar] = {}
    """What tuning chose, or, for a trial, what it tries; and how that came about."""
    trial: int | None = None
    """Its number in the tuning of its design and size; None for a cell of the study itself."""

    @property
    def label(self) -> str:
        """The cell without its seed, for people: 'division conv_kernel=5 nano'."""
        return cell_label(self.values, self.tuned, self.trial)


class Omission(NamedTuple):
    """A point of the grid that has no cell of its own, and why."""

    values: dict[str, Scalar]
    reason: str


class Plan(NamedTuple):
    sweep: Sweep
    axes: dict[str, str]
    """Axis name to dotted config path."""
    cells: list[Cell]
    omitted: list[Omission]
    trials: list[Cell] = []
    file: Path | None = None
    """The YAML file that it came from."""
    id: str = ""
    """Of what was asked for, once it has grown by trials; see plans.py."""


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
        LabError: if a word has no key or no '='.
    """
    pairs = [setting.partition("=") for setting in settings]
    for (key, equals, _), setting in zip(pairs, settings, strict=True):
        if not key or not equals:
            raise LabError(f"--set {setting}: must be key=value, as in --set training.steps=600")
    return {key: parse_value(value) for key, _, value in pairs}


def load_sweep(path: Path, settings: Mapping[str, Any] | None = None, settle: Settle = as_written) -> Plan:
    """The plan of a sweep file, after `--set` changes.

    A setting of `seeds` or `name` changes the sweep, a setting of an axis the values that it takes, any other the base
    experiment. Settings that change cells stand in the sweep's name, so that its plan and report are its own.

    Raises:
        LabError: with every problem of the sweep and of every cell, each with its line.
    """
    document = read_yaml(path)
    base_settings: dict[str, Any] = {}
    for key, value in (settings or {}).items():
        axes = document.values.get("axes")
        if isinstance(axes, dict) and key in axes:
            changed = {"axes": axes | {key: value if isinstance(value, list) else [value]}}
            document = Document(document.values | changed, document.places | {_axis(key): "--set"})
        elif key in {"name", "seeds"}:
            document = override(document, {key: value}, "--set")
        else:
            base_settings[key] = value
    sweep = validate(Sweep, document)
    base = read_yaml(path.parent / sweep.experiment)
    base = override(base, sweep.set, {k: document.places.get(("set", *k.split(".")), str(path)) for k in sweep.set})
    plan = expand(sweep, override(base, base_settings, "--set"), document, path, settle)._replace(file=path)
    named = {key: value for key, value in (settings or {}).items() if not key.startswith(SAME_CELLS)}
    if not named or "name" in named or _keys(path, settle) == [cell.key for cell in plan.cells]:
        return plan
    return plan._replace(sweep=sweep.model_copy(update={"name": set_name(sweep.name, axis_names(named), named)}))


SAME_CELLS = ("logging.", "execution.")
"""Settings that change no cell's key begin so."""


def _keys(path: Path, settle: Settle) -> list[str]:
    """Of the cells of a sweep as its file says; none if that cannot be run without settings."""
    try:
        return [cell.key for cell in load_sweep(path, settle=settle).cells]
    except LabError:
        return []


def engine_of(sweep: Sweep, **options: Any) -> EngineConfig:
    """The engine of a sweep: options of the command line over its `engine:` section over the user's file.

    Raises:
        LabError: if the user's file is missing or wrong.
    """
    path = user_file()
    chosen = validate(EngineConfig, read_yaml(path)) if path else EngineConfig()
    own = {name: getattr(sweep.engine, name) for name in sweep.engine.model_fields_set}
    return chosen.model_copy(update=own | {k: v for k, v in options.items() if v is not None})


def expand(sweep: Sweep, base: Document, document: Document, path: Path, settle: Settle = as_written) -> Plan:
    """Every point of the grid as a cell, or as an omission with its reason; `settle` looks at the files of each."""
    names = axis_names(sweep.axes)
    places = {axis: document.places.get(_axis(axis), str(path)) for axis in sweep.axes}
    _check_excludes(sweep, document, path)
    _check_tuning(sweep, document, path)
    cells: dict[str, Cell] = {}
    omitted: list[Omission] = []
    problems: list[Problem] = []
    for point in itertools.product(*sweep.axes.values()):
        assignment = dict(zip(sweep.axes, point, strict=True))
        values = dict(zip(names, point, strict=True))
        excluded = next((e for e in sweep.exclude if e.items() <= assignment.items()), None)
        if excluded is not None:
            omitted.append(Omission(values, f"excluded by {json.dumps(excluded)}"))
            continue
        try:
            experiment = build_settled(override(base, assignment, places), settle)
        except ConfigError as error:
            if error.meaningless:
                omitted.append(Omission(values, "; ".join(p.message for p in error.problems)))
            else:
                problems += error.problems
            continue
        for seed in sweep.seeds:
            seeded = experiment.model_copy(update={"seed": seed})
            cell = Cell(cell_key(seeded), values, seed, seeded)
            first = cells.setdefault(cell.key, cell)
            if first is not cell and seed == sweep.seeds[0]:
                omitted.append(Omission(values, f"the same computation as {first.label}, which stands for both"))
    if problems:
        raise ConfigError(problems)
    if not cells:
        raise LabError(f"{path}: no cell is left: {'; '.join(dict.fromkeys(o.reason for o in omitted))}")
    return Plan(sweep, names, list(cells.values()), omitted)


def _check_excludes(sweep: Sweep, document: Document, path: Path) -> None:
    for entry in sweep.exclude:
        for axis, value in entry.items():
            if axis not in sweep.axes:
                message = f"{axis} is no axis of this sweep; its axes are {', '.join(sweep.axes)}"
            elif value not in sweep.axes[axis]:
                message = f"{axis} never takes {value!r} here; its values are {sweep.axes[axis]}"
            else:
                continue
            raise ConfigError([Problem(document.places.get(("exclude",), str(path)), "exclude", message)])


def _check_tuning(sweep: Sweep, document: Document, path: Path) -> None:
    if sweep.tune is None:
        return
    for searched in sweep.tune.search:
        if searched in sweep.axes:
            place = document.places.get(("tune", "search", searched), str(path))
            raise ConfigError([Problem(place, "tune.search", f"{searched} is an axis: it cannot be tuned as well")])
    if sweep.tune.seed in sweep.seeds:
        place = document.places.get(("tune", "seed"), str(path))
        message = (
            f"must be none of the sweep's own seeds, whose results the choice would flatter, not {sweep.tune.seed}"
        )
        raise ConfigError([Problem(place, "tune.seed", message)])


def with_values(experiment: Experiment, changes: Mapping[str, Any], where: str) -> Experiment:
    """A resolved experiment with values set by dotted path; `where` names them in messages.

    Raises:
        ConfigError: if it is none then.
    """
    values = experiment.model_dump()
    return build(override(Document(values, {}), changes, where))


def _axis(path: str) -> tuple[str, ...]:
    """Where the places of a document hold an axis."""
    return ("axes", *path.split("."))

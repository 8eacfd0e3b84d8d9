"""Sweeps (a question, a base experiment, axes and seeds) and their plans (the cells to run)."""

import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial, reduce
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from lina_lab.config.base import Config, PositiveFloat
from lina_lab.config.engine import EngineConfig, user_file
from lina_lab.config.experiment import Experiment, canonical, key_of, set_path
from lina_lab.config.grid import MAX_CELLS, check_count, check_excludes, check_grid, check_tuning, count_cells
from lina_lab.config.load import Document, build, override, parse_value, read_yaml, tidy, validate
from lina_lab.config.naming import set_name
from lina_lab.config.problems import ConfigError, FileProblem
from lina_lab.config.settled import Settle, as_written, settled
from lina_lab.config.tune import Tune
from lina_lab.errors import LabError

Scalar = str | int | float | bool | None
SECTIONS = [name for name in Experiment.model_fields if name not in {"name", "seed"}]


class Budget(Config):
    """A sweep that would cost more is refused; null for no limit."""

    hours: PositiveFloat | None = None
    """Hours of wall time, extrapolated from a short timing on this machine."""
    flops: PositiveFloat | None = None
    """FLOPs of all trainings together, in closed form."""


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
    """Where the cells run; fields that are left out come from the user's own file."""


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
    """Of what was asked for, once it has grown by trials; see ledger/plan.py."""


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


def load_sweep(
    path: Path,
    settings: Mapping[str, Any] | None = None,
    settle: Settle = as_written,
    max_cells: int = MAX_CELLS,
    tell: Callable[[int], None] = lambda count: None,
) -> Plan:
    """The plan of a sweep file, after `--set` changes.

    A setting of `seeds` or `name` changes the sweep, a list for an axis the values that it takes, any other the base
    experiment. Settings that change cells stand in the sweep's name, so that its plan and report are its own. `settle`
    looks at the files that cells name; `tell` hears how many cells there are, before they are planned.

    Raises:
        LabError: with every problem of the sweep and of every cell, each with its line; or if there are too many cells.
    """
    document = read_yaml(path)
    if "axes" not in document.values and "model" in document.values:
        raise LabError(f"{tidy(path)}: is an experiment, not a sweep: lab train {tidy(path)} runs it")
    base_settings: dict[str, Any] = {}
    for key, value in (settings or {}).items():
        axes = document.values.get("axes")
        if isinstance(axes, dict) and key in axes:
            if not isinstance(value, list):
                message = f"is an axis: give the values that it shall take as a list, as in --set '{key}=[{value}]'"
                raise ConfigError([FileProblem("--set", key, message)])
            document = Document(
                document.values | {"axes": axes | {key: value}}, document.places | {_axis(key): "--set"}
            )
        elif key in {"name", "seeds"}:
            document = override(document, {key: value}, "--set")
        else:
            base_settings[key] = value
    sweep = validate(Sweep, document)
    check_count(sweep, max_cells)
    base = _base(path, sweep, document)
    check_grid(sweep, document, base, base_settings, str(tidy(path)))
    tell(count_cells(sweep))
    own = {".".join(key[1:]): place for key, place in document.places.items() if key[:1] == ("set",)}
    base = override(base, sweep.set, dict.fromkeys(sweep.set, str(tidy(path))) | own)
    plan = expand(sweep, override(base, base_settings, "--set"), document, path, settle)._replace(file=path)
    named = {key: value for key, value in (settings or {}).items() if not key.startswith(SAME_CELLS)}
    if not named or "name" in named or _keys(path, settle, max_cells) == [cell.key for cell in plan.cells]:
        return plan
    return plan._replace(sweep=sweep.model_copy(update={"name": set_name(sweep.name, axis_names(named), named)}))


SAME_CELLS = ("logging.", "execution.")
"""Prefixes of settings that change no cell's key."""


def _keys(path: Path, settle: Settle, max_cells: int) -> list[str]:
    """Keys of a sweep's cells without `--set`; none if the file alone is not valid."""
    try:
        return [cell.key for cell in load_sweep(path, settle=settle, max_cells=max_cells).cells]
    except LabError:
        return []


def _base(path: Path, sweep: Sweep, document: Document) -> Document:
    """The base experiment of a sweep file."""
    base, place = path.parent / sweep.experiment, document.places.get(("experiment",), str(path))
    try:
        base_document = read_yaml(base)
    except LabError as error:
        if base.exists():  # then the message names a line of that file
            raise
        raise ConfigError([FileProblem(place, "experiment", str(error))]) from error
    if "axes" in base_document.values:
        raise ConfigError([FileProblem(place, "experiment", f"{tidy(base)} is a sweep: must be an experiment")])
    return base_document


def engine_of(sweep: Sweep, **options: Any) -> EngineConfig:
    """The engine of a sweep: command-line options override its `engine:` section, which overrides the user's file.

    Raises:
        LabError: if the user's file is missing or wrong.
    """
    path = user_file()
    chosen = validate(EngineConfig, read_yaml(path)) if path else EngineConfig()
    own = {name: getattr(sweep.engine, name) for name in sweep.engine.model_fields_set}
    return chosen.model_copy(update=own | {k: v for k, v in options.items() if v is not None})


def expand(sweep: Sweep, base: Document, document: Document, path: Path, settle: Settle = as_written) -> Plan:
    """Turn every point of the grid into a cell or an omission with its reason; `settle` reads the files of each."""
    names = axis_names(sweep.axes)
    places = {axis: document.places.get(_axis(axis), str(path)) for axis in sweep.axes}
    check_excludes(sweep, document, path)
    check_tuning(sweep, document, path)
    cells: dict[str, Cell] = {}
    omitted: list[Omission] = []
    problems: list[FileProblem] = []
    known: dict[Any, Config] = {}
    for point in itertools.product(*sweep.axes.values()):
        assignment = dict(zip(sweep.axes, point, strict=True))
        values = dict(zip(names, point, strict=True))
        excluded = next((e for e in sweep.exclude if e.items() <= assignment.items()), None)
        if excluded is not None:
            omitted.append(Omission(values, f"excluded by {json.dumps(excluded)}"))
            continue
        try:
            built = _built(base, assignment, places, known)
            experiment = settled(built, settle, partial(override, base, assignment, places))
        except ConfigError as error:
            if error.meaningless:
                omitted.append(Omission(values, "; ".join(p.message for p in error.problems)))
            else:
                problems += [problem for problem in error.problems if not problem.meaningless]
            continue
        body = canonical(experiment)
        for seed in sweep.seeds:
            seeded = experiment.model_copy(update={"seed": seed})
            cell = Cell(key=key_of(body | {"seed": seed}), values=values, seed=seed, experiment=seeded)
            first = cells.setdefault(cell.key, cell)
            if first is not cell and seed == sweep.seeds[0]:
                omitted.append(Omission(values, f"the same computation as {first.label}, which stands for both"))
    if problems:
        raise ConfigError(problems)
    if not cells:
        raise LabError(f"{path}: no cell is left: {'; '.join(dict.fromkeys(o.reason for o in omitted))}")
    return Plan(sweep=sweep, axes=names, cells=list(cells.values()), omitted=omitted)


def _built(
    base: Document, assignment: Mapping[str, Any], places: Mapping[str, str], known: dict[Any, Config]
) -> Experiment:
    """The experiment of a point of the grid, with two shortcuts for large grids.

    A section is validated once for all points that give it the same values (`known` is that cache), and places in
    files are looked up only for points that are not valid.
    """
    keys = {
        name: (name, *(item for item in assignment.items() if item[0].partition(".")[0] in {name, "data"}))
        for name in SECTIONS
    }
    shared = {name: known[key] for name, key in keys.items() if key in known}
    try:
        values = reduce(lambda values, item: set_path(values, *item), assignment.items(), base.values)
        experiment = Experiment.model_validate(values | shared)
    except ValueError:
        return build(override(base, assignment, places))
    for name, key in keys.items():
        known[key] = getattr(experiment, name)
    return experiment


def _axis(path: str) -> tuple[str, ...]:
    """The key of an axis in the places of a document."""
    return ("axes", *path.split("."))

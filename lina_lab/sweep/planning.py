"""Plan a sweep: every point of the grid becomes a cell, once, or an omission with its reason."""

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from lina_lab.config.base import Config
from lina_lab.config.engine import EngineConfig
from lina_lab.config.experiment import Experiment, canonical, cell_key, key_of, set_path
from lina_lab.config.grid import MAX_CELLS, check_count, check_grid, check_parts, check_tuning, count_cells, within
from lina_lab.config.load import Document, build, override, read_yaml, tidy, validate, with_plugins
from lina_lab.config.naming import set_name
from lina_lab.config.plugins import resolved, with_words_of
from lina_lab.config.problems import ConfigError, FileProblem
from lina_lab.config.settled import Settle, as_written, settled
from lina_lab.config.sweep import Budget, Omission, Scalar, Sweep, axis_names
from lina_lab.config.tune import Tune
from lina_lab.config.variants import design_settings
from lina_lab.cost import training_flops
from lina_lab.errors import LabError
from lina_lab.ledger.cells import read_experiment
from lina_lab.ledger.part import WHOLE, Part, belongs
from lina_lab.ledger.plan import Measure, Plan, PlannedCell

SECTIONS = [name for name in Experiment.model_fields if name not in {"name", "seed"}]


class PlannedSweep(NamedTuple):
    """A plan, and everything that is needed to run it."""

    plan: Plan
    experiments: Mapping[str, Experiment]
    """The experiment of every cell, by key."""
    tune: Tune | None = None
    """Including its storage, which the plan leaves out."""
    budget: Budget = Budget()
    engine: EngineConfig = EngineConfig()
    file: Path | None = None
    """The YAML file that it came from."""
    part: Part = WHOLE
    """Of the cells, those that run here; the plan is of all."""
    missing: Sequence[str] = ()
    """What a run needs and this machine lacks; then only a dry run is possible."""

    @property
    def own_cells(self) -> list[PlannedCell]:
        """The study's own cells that run here, in the order of the plan."""
        return [cell for cell in self.plan.cells if belongs(cell, self.part)]

    @property
    def how_many(self) -> str:
        """Cells that run here: '120', or of a part '8 of 120'."""
        own, every = len(self.own_cells), len(self.plan.cells)
        return str(every) if own == every else f"{own} of {every}"

    @property
    def own_experiments(self) -> list[Experiment]:
        """Experiments of `own_cells`."""
        return [self.experiments[cell.key] for cell in self.own_cells]

    def named(self, name: str) -> "PlannedSweep":
        """The same plan under another name."""
        return self._replace(plan=self.plan._replace(name=name))


def single(experiment: Experiment, file: Path | None = None) -> PlannedSweep:
    """An experiment, and the file that it came from, as a sweep of one cell."""
    flops = training_flops(experiment)
    cell = PlannedCell(key=cell_key(experiment), values={}, seed=experiment.seed, flops=flops)
    plan = Plan(name=experiment.name, question="", axes={}, cells=[cell], omitted=[])
    return PlannedSweep(plan=plan, experiments={cell.key: experiment}, file=file)


def planned_again(runs: Path, plan: Plan) -> PlannedSweep:
    """A plan that has run, from the ledger alone."""
    experiments = {cell.key: read_experiment(runs / cell.key) for cell in plan.everything}

    def costed(cells: Sequence[PlannedCell]) -> list[PlannedCell]:  # older plans do not say what a cell costs
        return [cell._replace(flops=training_flops(experiments[cell.key])) for cell in cells]

    again = plan._replace(cells=costed(plan.cells), trials=costed(plan.trials))
    tune = Tune.model_validate(plan.tune) if plan.tune else None
    file = runs / plan.file if plan.file else None
    return PlannedSweep(plan=again, experiments=experiments, tune=tune, file=file)


def load_sweep(
    path: Path,
    settings: Mapping[str, Any] | None = None,
    settle: Settle = as_written,
    max_cells: int = MAX_CELLS,
    tell: Callable[[int], None] = lambda count: None,
) -> PlannedSweep:
    """The plan of a sweep file, after `--set` changes.

    A setting of `seeds`, `name`, `metric` or `better` changes the sweep, a list for an axis the values that it takes,
    any other the base experiment. Settings that change cells stand in the sweep's name, so that its plan and report are
    its own. `settle` looks at the files that cells name; `tell` hears how many cells there are before they are planned.

    Raises:
        LabError: with every problem of the sweep and of every cell, each with its line; or if there are too many cells.
    """
    document = with_plugins(read_yaml(path), path)
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
        elif key in {"name", "seeds", "metric", "better"}:
            document = override(document, {key: value}, "--set")
        else:
            base_settings[key] = value
    sweep = validate(Sweep, document)
    check_count(sweep, max_cells)
    base = _base(path, sweep, document)
    check_grid(sweep, document, base, base_settings, str(tidy(path)))
    tell(count_cells(sweep))
    sweep = _without(sweep, base_settings)
    own = {".".join(key[1:]): place for key, place in document.places.items() if key[:1] == ("set",)}
    base = override(base, sweep.set, dict.fromkeys(sweep.set, str(tidy(path))) | own)
    planned = expand(sweep, override(base, base_settings, "--set"), document, path, settle)._replace(file=path)
    named = {key: value for key, value in (settings or {}).items() if not key.startswith(SAME_CELLS)}
    if not named or "name" in named or _keys(path, settle, max_cells) == [cell.key for cell in planned.plan.cells]:
        return planned
    return planned.named(set_name(sweep.name, axis_names(named), named))


SAME_CELLS = ("logging.", "checkpoint.", "execution.")
"""Prefixes of settings that change no cell's key."""


def _keys(path: Path, settle: Settle, max_cells: int) -> list[str]:
    """Keys of a sweep's cells without `--set`; none if the file alone is not valid."""
    try:
        return [cell.key for cell in load_sweep(path, settle=settle, max_cells=max_cells).plan.cells]
    except LabError:
        return []


def _without(sweep: Sweep, settings: Mapping[str, Any]) -> Sweep:
    """A sweep whose `set_where` leaves alone what `--set` sets."""
    parts = []
    for entry in sweep.set_where:
        kept = {path: v for path, v in entry.set.items() if not any(within(path, key) for key in settings)}
        parts.append(entry.model_copy(update={"set": kept}))
    return sweep.model_copy(update={"set_where": parts})


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
    base_document = with_plugins(base_document, base)
    return base_document._replace(values=with_words_of(base_document.values, sweep.plugins, document.places))


def expand(sweep: Sweep, base: Document, document: Document, path: Path, settle: Settle = as_written) -> PlannedSweep:
    """Turn every point of the grid into a cell or an omission with its reason; `settle` reads the files of each."""
    names = axis_names(sweep.axes)
    varied = axis_names(dict.fromkeys([*sweep.axes, *(inner for entry in sweep.set_where for inner in entry.set)]))
    check_parts(sweep, document, path)
    check_tuning(sweep, document, path)
    cells: dict[str, PlannedCell] = {}
    experiments: dict[str, Experiment] = {}
    omitted: list[Omission] = []
    problems: list[FileProblem] = []
    known: dict[Any, Config] = {}
    for point in itertools.product(*sweep.axes.values()):
        assignment, places = _assignment(sweep, document, dict(zip(sweep.axes, point, strict=True)), path)
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
        body, flops = canonical(experiment), training_flops(experiment)
        chosen = {name: attrgetter(key)(experiment) for name, key in varied.items() if key not in sweep.axes}
        for seed in sweep.seeds:
            cell = PlannedCell(key=key_of(body | {"seed": seed}), values=values, seed=seed, flops=flops, tuned=chosen)
            first = cells.setdefault(cell.key, cell)
            if first is cell:
                experiments[cell.key] = experiment.model_copy(update={"seed": seed})
            elif seed == sweep.seeds[0]:
                omitted.append(Omission(values, f"the same computation as {first.label}, which stands for both"))
    if problems:
        raise ConfigError(problems)
    if not cells:
        raise LabError(f"{path}: no cell is left: {'; '.join(dict.fromkeys(o.reason for o in omitted))}")
    fixed = {path: value for path, value in design_settings(base.values) if path not in sweep.axes}
    plan = _plan(sweep, document, list(cells.values()), omitted)._replace(fixed=fixed)
    return PlannedSweep(plan=plan, experiments=experiments, tune=sweep.tune, budget=sweep.budget, engine=sweep.engine)


def _plan(sweep: Sweep, document: Document, cells: list[PlannedCell], omitted: list[Omission]) -> Plan:
    return Plan(
        name=sweep.name,
        question=sweep.question,
        axes=axis_names(sweep.axes),
        cells=cells,
        omitted=omitted,
        tune=sweep.tune.body if sweep.tune else None,
        metric=Measure(sweep.metric, sweep.better or "", document.places.get(("metric",), "")),
    )


def _assignment(
    sweep: Sweep, document: Document, point: Mapping[str, Scalar], file: Path
) -> tuple[dict[str, Any], dict[str, str]]:
    """What a point of the grid sets, its axes and its part of `set_where`: by dotted path, with the place of each."""
    written = {axis: (value, _axis(axis)) for axis, value in point.items()}
    for number, entry in enumerate(sweep.set_where):
        if entry.where.items() <= point.items():
            written |= {path: (value, ("set_where", str(number), "set", path)) for path, value in entry.set.items()}
    places = {path: document.places.get(key, str(file)) for path, (_, key) in written.items()}
    return {path: value for path, (value, _) in written.items()}, places


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
        experiment = Experiment.model_validate(resolved(values) | shared)
    except ValueError:
        return build(override(base, assignment, places))
    for name, key in keys.items():
        known[key] = getattr(experiment, name)
    return experiment


def _axis(path: str) -> tuple[str, ...]:
    """The key of an axis in the places of a document."""
    return ("axes", *path.split("."))

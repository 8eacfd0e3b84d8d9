"""The study that a plan of the next one chooses from, and the YAML file of the one that is chosen."""

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from lina_lab import cost
from lina_lab.analysis.cell_seconds import Work, duration, timed_cells
from lina_lab.analysis.confounds import confounds, untuned
from lina_lab.analysis.contrasts import DesignPair, columns_of, design_pairs
from lina_lab.analysis.match_cells import as_text, matched
from lina_lab.analysis.power import pilot_of
from lina_lab.analysis.study_metric import StudyMetric
from lina_lab.analysis.study_plan import Question, StudyCell
from lina_lab.analysis.table import SIZE_AXIS
from lina_lab.config.load import read_yaml, write_yaml
from lina_lab.design.sizes import PUBLISHED_SIZES, SIZES
from lina_lab.errors import LabError
from lina_lab.ledger.plan import PlannedCell
from lina_lab.sweep.planning import PlannedSweep, load_sweep

SIZE_PATH = "model.size"
PILOT_SIZES, PILOT_SEEDS = 2, 3
OF_THE_SWEEP = {"name", "seeds", "metric", "better"}
"""What `--set` changes of a sweep besides its axes; all else is of the base experiment."""


class Widest(NamedTuple):
    """Every cell that a candidate may have: all sizes under all seeds."""

    planned: PlannedSweep
    asked: tuple[str, ...]
    more: tuple[str, ...]
    seeds: tuple[int, ...]


def widest(planned: PlannedSweep, again: Callable[[Mapping[str, Any]], PlannedSweep], most_seeds: int) -> Widest:
    """The sweep with the next size of the ladder and up to `most_seeds` seeds; `again` plans it with such settings.

    Raises:
        LabError: if the sweep has no sizes to choose from.
    """
    if planned.plan.axes.get(SIZE_AXIS) != SIZE_PATH:
        raise LabError(f"{planned.file}: axes: must have {SIZE_PATH}, of one value if need be, to plan its sizes")
    there = {as_text(cell.values[SIZE_AXIS]) for cell in planned.plan.cells}
    if unknown := sorted(there - SIZES.keys()):
        raise LabError(
            f"{planned.file}: model.size {unknown[0]} is on no ladder: lab plan knows what follows shipped ones"
        )
    asked = tuple(size for size in SIZES if size in there)
    seeds = list(dict.fromkeys(cell.seed for cell in planned.plan.cells))
    taken = {*seeds, *([planned.tune.seed] if planned.tune else [])}
    fresh = (seed for seed in range(most_seeds + len(taken)) if seed not in taken)
    while len(seeds) < most_seeds:
        seeds.append(next(fresh))
    settings: dict[str, Any] = {"seeds": seeds, "name": planned.plan.name}
    following = next_size(asked[-1])
    if following:
        try:
            larger = again({**settings, SIZE_PATH: [*asked, following]})
            return Widest(planned=larger, asked=asked, more=(following,), seeds=tuple(seeds))
        except LabError:
            pass  # such as a batch that is too large for it: then it is no candidate
    same = again({**settings, SIZE_PATH: list(asked)})
    return Widest(planned=same, asked=asked, more=(), seeds=tuple(seeds))


def next_size(size: str) -> str | None:
    """The next of the ladder that a size belongs to; None after its largest."""
    ladder = [name for name in SIZES if (name in PUBLISHED_SIZES) == (size in PUBLISHED_SIZES)]
    later = ladder[ladder.index(size) + 1 :]
    return later[0] if later else None


def study_cells(study: PlannedSweep, table: pd.DataFrame) -> list[StudyCell]:
    """Every cell of the study with its seconds, by the finished cells of the pilot; a cell that is among them is done.

    Keys tell which; under tuning, which gives a cell its key when it ends, axis values and seed of the same sweep do.

    Raises:
        LabError: if no cell of the pilot says how long it took.
    """
    timed = timed_cells(table)
    if timed.empty:
        raise LabError("no finished cell of the pilot says how long it took: hours cannot be told")
    finished = table[table["state"] == "done"]
    keys = set(finished["key"]) if "key" in finished else set()
    axes = [*study.plan.axes, "seed"]
    places = {tuple(row) for row in finished[axes].map(as_text).to_numpy()} if study.tune else set()

    def cell(planned: PlannedCell) -> StudyCell:
        found = duration(timed, planned.values, work_of(study, planned))
        place = tuple(as_text(value) for value in (*planned.values.values(), planned.seed))
        return StudyCell(
            values=planned.values,
            size=as_text(planned.values[SIZE_AXIS]),
            seed=planned.seed,
            seconds=found.seconds,
            extrapolated=found.extrapolated,
            done=planned.key in keys or place in places,
        )

    return [cell(planned) for planned in study.plan.cells]


def work_of(study: PlannedSweep, planned: PlannedCell) -> Work:
    experiment = study.experiments[planned.key]
    drawing = cost.evaluation_flops(experiment) + cost.repeats_flops(experiment)
    return Work(float(_parameters(study, planned)), planned.flops, drawing)


def _parameters(study: PlannedSweep, planned: PlannedCell) -> int:
    experiment = study.experiments[planned.key]
    return cost.parameters(experiment.model, experiment.data.shape).total


class Asked(NamedTuple):
    """What is known of a study's comparisons before it runs."""

    questions: list[Question]
    without: list[str]
    """A line for each comparison of which the pilot tells nothing, or no spread over seeds."""
    against: list[str]
    """What stands against a claim in the pilot, whatever the number of seeds."""
    comparisons: int
    """Of the whole study; all their intervals hold together."""


def questions(study: PlannedSweep, table: pd.DataFrame, metric: StudyMetric, cells: Sequence[StudyCell]) -> Asked:
    """The comparisons of a study with their pilot."""
    found, without, against = [], [], []
    done = {(_design(cell.values), cell.size, str(cell.seed)) for cell in cells if cell.done}
    pairs_of_designs = list(design_pairs(study.plan))
    for pair in pairs_of_designs:
        name = pair.question
        try:
            pairs = matched(table, *columns_of(metric, pair), metric.scale)
        except LabError as error:
            without.append(f"{name}: {error}")
            continue
        pilot = pilot_of(pairs)
        if not pilot.measured_spread:
            without.append(f"{name}: the pilot has no size with two seeds: the spread over seeds was not measured")
            continue
        against += [f"either claim: {line}" for line in confounds(pairs, metric.column, lr_tuned=False).better]
        against += [] if study.tune else [f"which scales better: {line}" for line in untuned(pairs)]
        both = [{(size, seed) for design, size, seed in done if design == _design(side)} for side in (pair.a, pair.b)]
        x = _sizes(study, pair) | dict(zip(pilot.sizes, map(float, pilot.x), strict=True))
        kept = frozenset(both[0] & both[1])
        found.append(Question(pair=pair, pilot=pilot, x=x, kept=kept, has_law=metric.has_law))
    return Asked(
        questions=found,
        without=without,
        against=list(dict.fromkeys(against)),
        comparisons=len(pairs_of_designs),
    )


def _sizes(study: PlannedSweep, pair: DesignPair) -> dict[str, float]:
    """The geometric mean of both designs' parameters at every size."""
    of: dict[str, dict[str, int]] = {}
    for cell in study.plan.cells:
        if _design(cell.values) in (sides := [_design(pair.a), _design(pair.b)]):
            side = str(sides.index(_design(cell.values)))
            of.setdefault(as_text(cell.values[SIZE_AXIS]), {})[side] = _parameters(study, cell)
    return {size: float(sides["0"] * sides["1"]) ** 0.5 for size, sides in of.items() if len(sides) == 2}


def _design(values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((axis, as_text(value)) for axis, value in values.items() if axis != SIZE_AXIS)


def study_yaml(file: Path, settings: Mapping[str, Any], comment: Sequence[str], folder: Path) -> str:
    """A sweep file for `folder`: that of `file` with settings, as `load_sweep` takes them, written into it.

    Raises:
        LabError: if the text is no valid sweep.
    """
    values = dict(read_yaml(file).values)
    axes = dict(values["axes"])
    values["set"] = dict(values.get("set") or {})
    for key, value in settings.items():
        if key in axes:
            axes[key] = value
        elif key in OF_THE_SWEEP:
            values[key] = value
        else:
            values["set"][key] = value
    values["axes"] = axes
    own = {key for key in settings if key not in axes and key not in OF_THE_SWEEP}
    parts = [
        entry | {"set": {path: value for path, value in entry["set"].items() if path not in own}}
        for entry in values.get("set_where") or []
        if _met(entry["where"], axes)
    ]
    values["set_where"] = [entry for entry in parts if entry["set"]]
    values["exclude"] = [entry for entry in values.get("exclude") or [] if _met(entry, axes)]
    values = {key: value for key, value in values.items() if value or key not in {"set", "set_where", "exclude"}}
    with tempfile.TemporaryDirectory() as place:
        trial = Path(place) / "planned.yaml"
        trial.write_text(write_yaml(_moved(values, file.parent, Path(place))), encoding="utf-8")
        load_sweep(trial)
    return "".join(f"# {line}\n" for line in comment) + write_yaml(_moved(values, file.parent, folder))


def _moved(values: Mapping[str, Any], old: Path, new: Path) -> dict[str, Any]:
    """A sweep for another folder: the files that it names are where they were."""

    def path(name: str) -> str:
        return os.path.relpath((old / name).resolve(), new.resolve())

    plugins = [path(name) if name.endswith(".py") else name for name in values.get("plugins", [])]
    return {**values, "experiment": path(values["experiment"]), **({"plugins": plugins} if plugins else {})}


def _met(where: Mapping[str, Any], axes: Mapping[str, Sequence[Any]]) -> bool:
    """Whether a part of the grid is still there."""
    return all(value in axes.get(axis, [value]) for axis, value in where.items())


def pilot_settings(study: Widest) -> dict[str, Any]:
    """The settings of a pilot: the two smallest sizes under three seeds."""
    return {SIZE_PATH: list(study.asked[:PILOT_SIZES]), "seeds": list(study.seeds[:PILOT_SEEDS])}

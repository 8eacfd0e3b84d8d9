"""Which cells of a plan go on from shorter ones: in which order, what is left to train, and what is kept for it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lina_lab.config.experiment import Experiment, goes_on_from, training_key
from lina_lab.config.settings import CheckpointConfig
from lina_lab.cost import parameters
from lina_lab.ledger.ends import ends
from lina_lab.ledger.merged import without_weights
from lina_lab.ledger.plan import PlannedCell
from lina_lab.ledger.result import is_done
from lina_lab.sweep.planning import PlannedSweep


class Source(NamedTuple):
    """Where a cell goes on from: a shorter cell, and its last step."""

    cell: str
    step: int


Sources = Mapping[str, Source]
"""By key of the longer cell."""


def unfinished(runs: Path, planned: PlannedSweep) -> dict[str, Experiment]:
    """The study's own cells without a result that run here, by key."""
    keys = [cell.key for cell in planned.own_cells]
    return {key: planned.experiments[key] for key in keys if not ((runs / key).exists() and is_done(runs / key))}


def sources(runs: Path, todo: Mapping[str, Experiment]) -> dict[str, Source]:
    """The longest shorter cell of the same training, for every cell that has one whose end is there or will be kept."""
    kept = ends(runs)
    if not kept and len({experiment.training.steps for experiment in todo.values()}) < 2:
        return {}
    trainings = {key: training_key(e) for key, e in todo.items() if e.training.imported is None}
    known: dict[str, list[Source]] = {}
    for end in kept:
        known.setdefault(end.training, []).append(Source(end.folder.name, end.step))
    for key, training in trainings.items():
        if todo[key].checkpoint.keep_end != "no":
            known.setdefault(training, []).append(Source(key, todo[key].training.steps))
    found = {}
    for key, training in trainings.items():
        shorter = [source for source in known.get(training, ()) if goes_on_from(todo[key], source.step)]
        if shorter:  # of equal ones the first: one that is there already
            found[key] = max(shorter, key=lambda source: source.step)
    return found


def sources_of(runs: Path, planned: PlannedSweep, todo: Mapping[str, Experiment]) -> dict[str, Source]:
    """The same before anything has run: what tuning will choose, and so which trainings are the same, is not known."""
    return {} if planned.tune and not planned.plan.trials else sources(runs, todo)


def left_to_train(experiment: Experiment, source: Source | None) -> Experiment:
    """For costs: the experiment with the steps alone that come after those of its source."""
    if source is None:
        return experiment
    steps = experiment.training.steps - source.step
    return experiment.model_copy(update={"training": experiment.training.model_copy(update={"steps": steps})})


def keeping(experiments: Mapping[str, Experiment], found: Sources) -> dict[str, Experiment]:
    """Experiments as their cells run: `checkpoint.keep_end: auto` becomes yes where a longer one goes on from it."""
    needed = dict.fromkeys((source.cell for source in found.values()), CheckpointConfig(keep_end="yes"))
    return {
        key: e.model_copy(update={"checkpoint": needed[key]}) if key in needed else e for key, e in experiments.items()
    }


def in_order(cells: Iterable[PlannedCell], found: Sources, last: Collection[str] = ()) -> list[PlannedCell]:
    """The most expensive cell first, but before it those that it goes on from; those of the keys `last` after all."""
    ordered = sorted(cells, key=lambda cell: -cell.flops)
    longest: dict[str, float] = {}
    for cell in ordered:  # a longer cell comes before its source here
        longest[cell.key] = max(cell.flops, longest.get(cell.key, 0.0))
        if cell.key in found:
            shorter = found[cell.key].cell
            longest[shorter] = max(longest[cell.key], longest.get(shorter, 0.0))
    return sorted(ordered, key=lambda cell: (cell.key in last, -longest[cell.key], cell.flops))


def end_bytes(experiment: Experiment) -> int:
    """Bytes of a kept end: weights and their average, and two moments of what is trained, of 4 bytes each."""
    count = parameters(experiment.model, experiment.data.shape)
    return 4 * (2 * count.total + 2 * count.trainable)


def told(found: Sources) -> list[str]:
    """A line for each step at which cells go on from others."""
    by_step: dict[int, list[str]] = {}
    for key, source in found.items():
        by_step.setdefault(source.step, []).append(f"{key} from {source.cell}")
    return [f"{len(lines)} go on from step {step:,}: {', '.join(lines)}" for step, lines in sorted(by_step.items())]


def without_ends(runs: Path, planned: PlannedSweep, todo: Mapping[str, Experiment], found: Sources) -> list[str]:
    """A line on cells that train from the start, though a shorter one was merged: its end state is elsewhere."""
    merged = {cell.key for cell in planned.plan.cells if cell.key not in todo and without_weights(runs / cell.key)}
    shorter = [(training_key(e), e.training.steps) for key in merged if (e := planned.experiments[key])]
    alone = [
        key
        for key, experiment in todo.items()
        if key not in found
        and any(training_key(experiment) == same and goes_on_from(experiment, steps) for same, steps in shorter)
    ]
    reason = "the shorter cells of the same trainings were merged, and their end states are where they ran"
    return [f"{len(alone)} train from the start: {', '.join(alone)}: {reason}"] if alone else []


def kept_bytes(todo: Mapping[str, Experiment], found: Sources) -> Sequence[int]:
    """Bytes of every end that will be kept."""
    cells = keeping(todo, found).values()
    return [end_bytes(experiment) for experiment in cells if experiment.checkpoint.keep_end == "yes"]

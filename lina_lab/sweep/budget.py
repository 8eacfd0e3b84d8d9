"""The remaining cost of a sweep, in FLOPs and, after a short timing, in hours; and its budget."""

import heapq
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lina_lab.config.experiment import Experiment
from lina_lab.config.sweep import with_values
from lina_lab.cost import evaluation_flops, repeats_flops, training_flops
from lina_lab.errors import LabError
from lina_lab.ledger.plan import Plan, load_plan
from lina_lab.ledger.status import ENDED, read_status
from lina_lab.sweep.longer import left_to_train, sources_of, unfinished
from lina_lab.sweep.planning import PlannedSweep
from lina_lab.sweep.transfer import groups, tuned_places

if TYPE_CHECKING:
    from lina_lab.cell.estimate import Seconds


class Times(NamedTuple):
    """Seconds of wall time for the rest of a sweep."""

    total: float
    """From the command to the last result."""
    start: float
    """Until the first worker is ready."""
    by_size: dict[str, float]
    """Of the timed cell of each size."""


def to_do(runs: Path, planned: PlannedSweep) -> list[Experiment]:
    """The experiments that have no result yet, with every trial that tuning may still run.

    One that goes on from a shorter one has the steps alone that are left.
    """
    todo = unfinished(runs, planned)
    found = sources_of(runs, planned, todo)
    cells = [left_to_train(experiment, found.get(key)) for key, experiment in todo.items()]
    trials = list(_trials(planned))
    return [*cells, *trials[_ended_trials(runs, planned.plan) :]]


def times(
    todo: Sequence[Experiment], slots: int, timed: "Callable[[Experiment], Seconds]", start: float = 0.0
) -> Times:
    """Wall time on a number of workers. One cell of each size is `timed`; the others are scaled by their FLOPs.

    As in the engine, the longest cells start first, each on the first free worker.
    """
    known: dict[str, tuple[Experiment, Seconds]] = {}
    seconds = []
    for experiment in todo:
        size = experiment.model.size
        if size not in known:
            known[size] = experiment, timed(experiment)
        like, took = known[size]
        training = took.training * training_flops(experiment) / training_flops(like)
        seconds.append(training + took.drawing * evaluation_flops(experiment) / evaluation_flops(like) + took.rest)
    free = [start] * slots
    for each in sorted(seconds, reverse=True):
        heapq.heapreplace(free, free[0] + each)
    return Times(max(free) if todo else 0.0, start, {size: took.total for size, (_, took) in known.items()})


def _image_flops(experiment: Experiment) -> float:
    """Of all its measurements."""
    return evaluation_flops(experiment) + repeats_flops(experiment)


def gpu_hours(experiment: Experiment, tflops: float) -> float:
    """Hours of one GPU at `tflops` TFLOP/s for training and evaluation images, by their FLOPs alone."""
    return (training_flops(experiment) + _image_flops(experiment)) / (tflops * 1e12) / 3600


def check_budget(planned: PlannedSweep, todo: list[Experiment], measured: Callable[[], Times]) -> None:
    """Refuse what costs more than the sweep's budget allows.

    Raises:
        LabError: with the cost, and how much that is above the budget.
    """
    budget, name = planned.budget, planned.plan.name
    if budget.flops is not None:
        _refuse_more(name, "flops", sum(training_flops(e) for e in todo), budget.flops)
    if budget.hours is not None:
        _refuse_more(name, "hours", measured().total / 3600, budget.hours)


def _refuse_more(name: str, unit: str, cost: float, allowed: float) -> None:
    if cost > allowed:
        raise LabError(
            f"{name}: budget.{unit} allows {allowed:.3g} {unit}, and there are {cost:.3g} to do: "
            f"{cost - allowed:.3g} ({(cost / allowed - 1):.0%}) too many"
        )


def _trials(planned: PlannedSweep) -> Iterator[Experiment]:
    tune = planned.tune
    if tune is None:
        return
    points = [planned.experiments[group[0].key] for group in groups(planned.plan.cells)]
    bases = [points[place] for place in tuned_places(planned, tune)]
    for _ in range(tune.trials):
        yield from (with_values(base, tune.set, "tune.set") for base in bases)


def _ended_trials(runs: Path, plan: Plan) -> int:
    try:
        stored = load_plan(runs, plan.name)
    except LabError:
        return 0
    return sum(read_status(runs / cell.key).state in ENDED for cell in stored.trials)

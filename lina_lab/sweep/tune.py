"""Tuning: one controller proposes trials through Optuna and chooses a value for every design at every size.

Optuna's study holds what was proposed and told. How a trial ended is read from its cell's ledger, so a controller that
is killed loses nothing. Trials are proposed `parallel` at a time, each by a sampler with a seed of its own, and told in
the order of their numbers: the choice depends neither on the number or speed of workers nor on interruptions.

A trial that may be pruned runs from rung to rung. At a rung it pauses with a checkpoint until all trials have reached
it; then Optuna's pruner, which has seen them all, decides which go on.
"""

import fcntl
import math
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from lina_lab.config.experiment import Experiment, digest
from lina_lab.config.sweep import Omission, Scalar, axis_names, with_values
from lina_lab.config.tune import TUNABLE, Tune
from lina_lab.cost import training_flops
from lina_lab.errors import LabError
from lina_lab.ledger.leases import Watch, end_attempt, faults, last_attempt
from lina_lab.ledger.metrics import read_metrics
from lina_lab.ledger.plan import PlannedCell
from lina_lab.ledger.result import is_done, read_result
from lina_lab.sweep.older import keys_in
from lina_lab.sweep.planning import PlannedSweep
from lina_lab.sweep.transfer import groups, sources, transfer, tuned_places
from lina_lab.sweep.trial_storage import journal_of, open_storage

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

REDUCTION = 3
"""Ratio of steps between rungs: Hyperband's usual factor (Li et al. 2018, section 2.6)."""
RUNGS = 3
PASSED = "passed"
"""Optuna attribute of a trial: the last rung that it passed."""


class Todo(NamedTuple):
    """A trial that must run, and the step at which it pauses; 0 to run to its end."""

    cell: PlannedCell
    until: int


class Chosen(NamedTuple):
    """The best values by path, and by name, with how they were found, for the results table."""

    values: dict[str, float]
    facts: dict[str, Scalar]


class TrialOutcome(NamedTuple):
    """State of a trial in the ledger: complete, paused at a rung, failed for good, or still to run."""

    kind: Literal["complete", "rung", "failed", "runs"]
    value: float = math.nan


class Tuning:
    """The controller of a sweep's tuning; call `advance` whenever a trial has ended."""

    def __init__(self, runs: Path, planned: PlannedSweep, tune: Tune, retries: int) -> None:
        self.runs, self.planned, self.tune, self.retries = runs, planned, tune, retries
        self.name, self.experiments = planned.plan.name, dict(planned.experiments)
        self.groups, self.sources = groups(planned.plan.cells), sources(planned, tune)
        names = axis_names(dict.fromkeys([*planned.plan.axes.values(), *tune.search]))
        self.names = {path: name for name, path in names.items() if path in tune.search}
        self.key_of = keys_in(runs)
        self.given_up: set[str] = set()
        """Keys of trials that failed for good in this process, since on a full disk the ledger cannot record it."""
        with self._alone():
            storage = open_storage(journal_of(runs, self.name), tune.storage)
            self.studies = {place: self._study(storage, self.groups[place][0]) for place in tuned_places(planned, tune)}

    def advance(self) -> tuple[PlannedSweep, list[Todo]]:
        """The plan as far as it is known by now, and the trials that have to run for more of it to be."""
        cells: list[PlannedCell] = []
        trials: list[PlannedCell] = []
        todo: list[Todo] = []
        omitted = list(self.planned.plan.omitted)
        found: dict[int, Chosen | None] = {}
        with self._alone():
            for place, study in self.studies.items():
                base = self.groups[place][0]
                new = self._next(study, base)
                trials += [self._cell(base, trial) for trial in study.get_trials(deepcopy=False)]
                todo += new
                if not new:
                    found[place] = self._chosen(study, base)
            for place, source in enumerate(self.sources):
                if source in found:
                    chosen, group = found[source], self.groups[place]
                    cells += self._taken(group, chosen, self.groups[source][0]) if chosen else []
                    reason = "tuning found no value for it: none of its trials came to a finite end"
                    omitted += [] if chosen else [Omission(group[0].values, reason)]
        plan = self.planned.plan._replace(cells=cells, trials=trials, omitted=omitted)
        return self.planned._replace(plan=plan, experiments=self.experiments), todo

    def _next(self, study: Any, base: PlannedCell) -> list[Todo]:
        """Tell the study what has ended; then the trials to run, none when all have ended."""
        while True:
            self._propose(study, base)
            running = [trial for trial in study.get_trials(deepcopy=False) if not trial.state.is_finished()]
            if not running:
                return []
            cells = [self._cell(base, trial) for trial in running]
            outcomes = [self._outcome(trial, cell) for trial, cell in zip(running, cells, strict=True)]
            everything = list(zip(running, cells, outcomes, strict=True))
            todo = [
                Todo(cell, self._rung(trial, cell)) for trial, cell, outcome in everything if outcome.kind == "runs"
            ]
            if todo:
                return todo
            self._tell(study, everything)

    def _propose(self, study: Any, base: PlannedCell) -> None:
        """The rest of a round that has begun, or a new round when the last one is over."""
        from optuna.trial import Trial, TrialState

        if not study.get_trials(deepcopy=False):  # the first trial is what the sweep would use without tuning
            study.enqueue_trial(_within(self._base(base), self.tune))
        trials = study.get_trials(deepcopy=False)
        end = -(-len(trials) // self.tune.parallel) * self.tune.parallel
        if end == len(trials) and all(trial.state.is_finished() for trial in trials):
            end += self.tune.parallel
        begun = [trial.number for trial in trials if len(trial.params) < len(self.tune.search)]
        for number in [*begun, *range(len(trials), min(end, self.tune.trials))]:
            study.sampler = _sampler(self.tune, zlib.crc32(f"{study.study_name} {number}".encode()))
            # A killed controller may have left a trial with some parameters suggested: complete it.
            half = number in begun and trials[number].state == TrialState.RUNNING
            trial = Trial(study, trials[number]._trial_id) if half else study.ask()  # noqa: SLF001, no other way
            for path, limits in self.tune.search.items():
                trial.suggest_float(path, limits.low, limits.high, log=limits.log)

    def _outcome(self, trial: "FrozenTrial", cell: PlannedCell) -> TrialOutcome:
        folder = self.runs / cell.key
        if is_done(folder):
            result = read_result(folder)
            if result.state == "diverged":
                return TrialOutcome("complete", math.inf)
            if self.tune.metric not in result.metrics:
                known = ", ".join(sorted(result.metrics))
                raise LabError(f"tune.metric: {self.tune.metric} is not measured; measured are {known}")
            return TrialOutcome("complete", result.metrics[self.tune.metric])
        if cell.key in self.given_up or faults(folder) > self.retries:
            return TrialOutcome("failed")
        rung = self._rung(trial, cell)
        if rung and folder.exists() and Watch().is_over(last_attempt(folder)):
            for row in read_metrics(folder):
                if (row.step, row.metric) == (rung, self.tune.metric):
                    return TrialOutcome("rung", row.value)
        return TrialOutcome("runs")

    def _tell(self, study: Any, ended: "Sequence[tuple[FrozenTrial, PlannedCell, TrialOutcome]]") -> None:
        """All that was measured before any pruning, so that a pruner sees the whole round."""
        from optuna.trial import Trial, TrialState

        at_rung = []
        for trial, cell, outcome in ended:
            if outcome.kind == "complete":
                study.tell(trial.number, outcome.value)
            elif outcome.kind == "failed":
                study.tell(trial.number, state=TrialState.FAIL)
            else:
                rung, live = self._rung(trial, cell), Trial(study, trial._trial_id)  # noqa: SLF001, no other way
                if rung not in trial.intermediate_values:
                    live.report(outcome.value, rung)
                at_rung.append((live, cell, rung))
        for live, cell, rung in at_rung:
            if not live.should_prune():
                live.set_user_attr(PASSED, rung)
                continue
            study.tell(live.number, state=TrialState.PRUNED)
            last = last_attempt(self.runs / cell.key)
            if last is not None:
                end_attempt(last, "pruned", f"pruned at step {rung}")

    def _rung(self, trial: "FrozenTrial", cell: PlannedCell) -> int:
        """The step up to which a trial may run before the pruner is asked; 0 for its end."""
        if self.tune.pruner == "none":
            return 0
        return next((rung for rung in rungs(self.experiments[cell.key]) if rung > trial.user_attrs.get(PASSED, 0)), 0)

    def _chosen(self, study: Any, base: PlannedCell) -> Chosen | None:
        trials = study.get_trials(deepcopy=False)
        ended = [trial for trial in trials if trial.state.name in {"COMPLETE", "PRUNED"}]
        complete = [trial for trial in ended if trial.state.name == "COMPLETE" and math.isfinite(trial.value)]
        if not complete:
            return None
        best = min(complete, key=lambda trial: (trial.value, trial.number))
        facts: dict[str, Scalar] = {}
        for path, value in best.params.items():
            tried = [trial.params[path] for trial in ended]
            facts |= {self.names[path]: value, f"{self.names[path]}_inside": min(tried) < value < max(tried)}
        facts |= {
            "tune_trials": len(trials),
            "tune_pruned": len(ended) - sum(t.state.name == "COMPLETE" for t in ended),
        }
        facts |= {"tune_failed": len(trials) - len(ended), "tune_steps": sum(self._steps(base, t) for t in ended)}
        return Chosen(best.params, facts)

    def _steps(self, base: PlannedCell, trial: "FrozenTrial") -> int:
        if trial.state.name == "PRUNED":
            return max(trial.intermediate_values)
        return read_result(self.runs / self._cell(base, trial).key).steps

    def _base(self, cell: PlannedCell) -> Experiment:
        experiment = self.experiments[cell.key].model_copy(update={"seed": self.tune.seed})
        return with_values(experiment, self.tune.set, "tune.set")

    def _cell(self, base: PlannedCell, trial: "FrozenTrial") -> PlannedCell:
        experiment = with_values(self._base(base), trial.params, "tune.search")
        tried = {self.names[path]: value for path, value in trial.params.items()}
        cell = base._replace(seed=experiment.seed, tuned=tried, trial=trial.number)
        return self._planned(cell, experiment)

    def _taken(self, group: Sequence[PlannedCell], chosen: Chosen, source: PlannedCell) -> list[PlannedCell]:
        """The cells of a design at a size with the values that were chosen for it, or for it at another size."""
        experiments = [with_values(self.experiments[cell.key], chosen.values, "tune.search") for cell in group]
        facts = chosen.facts
        if group[0].values != source.values:
            how = transfer(self.runs, self.experiments[source.key], experiments[0])
            facts = facts | {"tune_at": self.tune.at, "tune_transfer": how}
        return [self._planned(c._replace(tuned=facts), e) for c, e in zip(group, experiments, strict=True)]

    def _planned(self, cell: PlannedCell, experiment: Experiment) -> PlannedCell:
        """A cell as that of an experiment."""
        key = self.key_of(experiment)
        self.experiments[key] = experiment
        return cell._replace(key=key, flops=training_flops(experiment))

    def _study(self, storage: Any, base: PlannedCell) -> Any:
        """The study of one design at one size, under a name that changes with all that its trials depend on."""
        import optuna

        settings = {name: value for name, value in self.tune.body.items() if name != "at"}
        name = f"{self.name}/{base.label}/{digest([self.key_of(self._base(base)), settings])[:12]}"
        pruner = _pruner(self.tune, self._base(base))
        return optuna.create_study(study_name=name, storage=storage, pruner=pruner, load_if_exists=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One controller of a sweep at a time."""
        path = journal_of(self.runs, self.name).with_suffix(".lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def num_trials(planned: PlannedSweep) -> int:
    """Trials of all designs and sizes together, as far as they run here."""
    return planned.tune.trials * len(tuned_places(planned, planned.tune)) if planned.tune else 0


def rungs(experiment: Experiment) -> list[int]:
    """Steps of the first validations at or after 1/27, 1/9 and 1/3 of the training."""
    steps, every = experiment.training.steps, experiment.logging.validate_every
    validations = {math.ceil(steps / REDUCTION**k / every) * every for k in range(1, RUNGS + 1)}
    return sorted(step for step in validations if step < steps)


def _within(experiment: Experiment, tune: Tune) -> dict[str, float]:
    values = {path: getattr(experiment.training, path.removeprefix(TUNABLE)) for path in tune.search}
    return {path: min(max(value, tune.search[path].low), tune.search[path].high) for path, value in values.items()}


def _sampler(tune: Tune, seed: int) -> Any:
    from optuna.samplers import RandomSampler, TPESampler

    if tune.sampler == "random":
        return RandomSampler(seed)
    return TPESampler(seed=seed, n_startup_trials=tune.parallel, multivariate=len(tune.search) > 1)


def _pruner(tune: Tune, experiment: Experiment) -> Any:
    from optuna.pruners import HyperbandPruner, MedianPruner, NopPruner

    first = next(iter(rungs(experiment)), 0)
    if tune.pruner != "none" and not first:
        raise LabError(
            f"tune.pruner: {tune.pruner} asks at validations, and none comes before the end: logging.validate_every "
            f"({experiment.logging.validate_every}) must be below training.steps ({experiment.training.steps})"
        )
    if tune.pruner == "hyperband":
        return HyperbandPruner(first, experiment.training.steps, REDUCTION)
    return MedianPruner(n_startup_trials=tune.parallel) if tune.pruner == "median" else NopPruner()

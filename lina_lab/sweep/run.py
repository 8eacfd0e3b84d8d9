"""Run a sweep: store its plan, run the cells without a result, show progress."""

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from lina_lab import cost
from lina_lab.config.engine import ALONE, LIMITS, Group, Limits
from lina_lab.config.experiment import Experiment, cell_key
from lina_lab.config.sweep import Cell, Plan, Sweep
from lina_lab.config.tune import Tune
from lina_lab.ledger.cells import create_cell, read_experiment
from lina_lab.ledger.plan import PlannedCell, StoredPlan, plan_id, store_plan
from lina_lab.ledger.result import is_done
from lina_lab.provenance import provenance
from lina_lab.sweep.alike import FailedAlike
from lina_lab.sweep.local_engine import Engine, Finished, Slot
from lina_lab.sweep.progress import Snapshot, SweepProgress, Work
from lina_lab.sweep.tune import Todo, Tuning


def single(experiment: Experiment, file: Path | None = None) -> Plan:
    """An experiment, and the file that it came from, as a sweep of one cell."""
    sweep = Sweep.model_construct(
        name=experiment.name, question="", experiment="", set={}, axes={}, seeds=[experiment.seed], exclude=[]
    )
    return Plan(sweep, {}, [Cell(cell_key(experiment), {}, experiment.seed, experiment)], [], file=file)


def planned_again(runs: Path, stored: StoredPlan) -> Plan:
    """The plan of a sweep as it last ran, from the ledger alone."""

    def cells(planned: Sequence[PlannedCell]) -> list[Cell]:
        return [Cell(c.key, c.values, c.seed, read_experiment(runs / c.key), c.tuned, c.trial) for c in planned]

    tune = Tune.model_validate(stored.tune) if stored.tune else None
    sweep = Sweep.model_construct(
        name=stored.name, question=stored.question, experiment="", axes={}, seeds=[], tune=tune
    )
    file = runs / stored.file if stored.file else None
    return Plan(sweep, stored.axes, cells(stored.cells), stored.omitted, cells(stored.trials), file, stored.id)


def run_sweep(
    runs: Path,
    plan: Plan,
    where: Sequence[Slot],
    show: Callable[[Snapshot, list[Finished]], None],
    retries: int,
    planned: Callable[[StoredPlan], None] = lambda _: None,
    group: Group = ALONE,
    limits: Limits = LIMITS,
) -> list[Finished]:
    """Run every cell without a result, the most expensive first, and return those that ended, in that order.

    Trials of a tuning come first. `planned` is called whenever the plan has grown by trials or by tuned cells.
    """
    steering = Steering(runs, plan, retries)
    engine = Engine(deque(), where, retries, group, limits=limits)
    progress = SweepProgress(runs, len(where))

    def grow() -> None:
        new, until = steering.advance()
        engine.until |= until
        busy = {*engine.queue, *engine.running.values(), *engine.elsewhere}
        engine.queue.extend(folder for folder in new if folder not in busy)
        progress.plan = steering.plan
        planned(steering.stored)

    def now() -> Snapshot:
        return progress.snapshot(Work(list(engine.running.values()), engine.elsewhere, engine.queue))

    def tick(new: list[Finished]) -> None:
        if steering.note(new):
            grow()
        show(now(), new)

    grow()
    show(now(), [])
    try:
        return engine.run(tick)
    except (KeyboardInterrupt, FailedAlike):
        show(now()._replace(stopped=True), [])
        raise


class Steering:
    """Releases cells as tuning completes; without tuning, all of them at once."""

    def __init__(self, runs: Path, plan: Plan, retries: int) -> None:
        self.runs, self.plan, self.record = runs, plan._replace(id=plan_id(plan)), provenance()
        self.stored: StoredPlan
        tune = plan.sweep.tune
        # A plan with trials comes from the ledger, and already has the values that they chose.
        self.tuning = Tuning(runs, self.plan, tune, retries) if tune and not plan.trials else None
        self.handed_out: set[str] = set()
        """Keys of the study's own cells that were released."""
        self.open = self.tuning is not None
        """Whether trials are still to come."""

    def advance(self) -> tuple[list[Path], dict[Path, int]]:
        """Folders of the cells that can run now, the most expensive first, and the steps at which trials pause.

        The plan, as far as it is known, is stored first.
        """
        todo: list[Todo] = []
        if self.tuning is not None:
            self.plan, todo = self.tuning.advance()
            self.open = bool(todo)
        # Stored before its cells have folders: at any moment, every cell in the ledger belongs to a plan.
        self.stored = store_plan(self.runs, self.plan, self.record)
        cells = (*self.plan.cells, *self.plan.trials)
        folders = {cell.key: create_cell(self.runs, cell.experiment, cell.key) for cell in cells}
        new = [c for c in self.plan.cells if c.key not in self.handed_out and not is_done(folders[c.key])]
        self.handed_out |= {cell.key for cell in self.plan.cells}
        new += [trial.cell for trial in todo]
        new.sort(key=lambda cell: -cost.training_flops(cell.experiment))
        return [folders[cell.key] for cell in new], {folders[trial.cell.key]: trial.until for trial in todo}

    def note(self, new: Sequence[Finished]) -> bool:
        """Note cells that ended; whether a trial is among them, so that more cells may be ready."""
        keys = {cell.key for cell in self.plan.trials}
        ended = [finished for finished in new if finished.folder.name in keys]
        if self.tuning is not None:
            self.tuning.given_up |= {finished.folder.name for finished in ended if finished.state == "failed"}
        return bool(ended)

"""Run a sweep: store its plan, run the cells that have no result, show how it goes."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from lina_lab import cost
from lina_lab.config.engine import ALONE, Group
from lina_lab.config.experiment import Experiment, cell_key
from lina_lab.config.sweep import Cell, Plan, Sweep
from lina_lab.config.tune import Tune
from lina_lab.ledger import ENDED, create_cell, is_done, read_experiment, read_state
from lina_lab.plans import PlannedCell, StoredPlan, plan_id, store_plan
from lina_lab.provenance import provenance
from lina_lab.sweep.local import Engine, Finished, Slot
from lina_lab.sweep.tune import Todo, Tuning


class Row(NamedTuple):
    """A cell as the display shows it."""

    label: str
    seed: int
    state: str
    phase: str
    step: int
    steps: int
    loss: float | None
    seconds_left: float | None
    reason: str
    flops: float

    @property
    def share(self) -> float:
        """How much of its training is done, 0 to 1."""
        return 1.0 if self.state in ENDED else self.step / self.steps


class Snapshot(NamedTuple):
    """The sweep at one moment."""

    rows: list[Row]
    seconds: float
    seconds_left: float | None


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
) -> list[Finished]:
    """Run every cell that has no result, the most expensive first; the cells that ended, in that order of ending.

    What is tuned runs its trials first; `planned` is told whenever the plan has grown by trials or by tuned cells.
    """
    steering = Steering(runs, plan, retries)
    engine = Engine(deque(), where, retries, group)
    progress = Progress(runs)

    def grow() -> None:
        new, until = steering.advance()
        engine.until |= until
        busy = {*engine.queue, *engine.running.values(), *engine.elsewhere}
        engine.queue.extend(folder for folder in new if folder not in busy)
        progress.plan = steering.plan
        planned(steering.stored)

    def tick(new: list[Finished]) -> None:
        if steering.note(new):
            grow()
        show(progress.snapshot(), new)

    grow()
    show(progress.snapshot(), [])
    return engine.run(tick)


class Steering:
    """What there is to run, by and by: without tuning, all cells at once."""

    def __init__(self, runs: Path, plan: Plan, retries: int) -> None:
        self.runs, self.plan, self.record = runs, plan._replace(id=plan_id(plan)), provenance()
        self.stored: StoredPlan
        tune = plan.sweep.tune
        # A plan that has trials comes from the ledger: what they chose stands in it.
        self.tuning = Tuning(runs, self.plan, tune, retries) if tune and not plan.trials else None
        self.handed_out: set[str] = set()
        """Keys of the study's own cells."""
        self.open = self.tuning is not None
        """Whether there are trials still to come."""

    def advance(self) -> tuple[list[Path], dict[Path, int]]:
        """Folders of the cells that can run now, the most expensive first, and the steps at which trials pause.

        The plan is stored, as far as it is known by now.
        """
        todo: list[Todo] = []
        if self.tuning is not None:
            self.plan, todo = self.tuning.advance()
            self.open = bool(todo)
        # Before there are folders: a cell that is there belongs to a plan, whoever asks at whatever moment.
        self.stored = store_plan(self.runs, self.plan, self.record)
        folders = {cell.key: create_cell(self.runs, cell.experiment) for cell in (*self.plan.cells, *self.plan.trials)}
        new = [c for c in self.plan.cells if c.key not in self.handed_out and not is_done(folders[c.key])]
        self.handed_out |= {cell.key for cell in self.plan.cells}
        new += [trial.cell for trial in todo]
        new.sort(key=lambda cell: -cost.training_flops(cell.experiment))
        return [folders[cell.key] for cell in new], {folders[trial.cell.key]: trial.until for trial in todo}

    def note(self, new: Sequence[Finished]) -> bool:
        """Whether a trial is among the cells that have ended, so that there may be more to run."""
        keys = {cell.key for cell in self.plan.trials}
        ended = [finished for finished in new if finished.folder.name in keys]
        if self.tuning is not None:
            self.tuning.given_up |= {finished.folder.name for finished in ended if finished.state == "failed"}
        return bool(ended)


class Progress:
    """How far the cells of a plan are, which may grow; a cell that has a result is read once."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self.plan: Plan
        self.flops: dict[str, float] = {}
        self.ended: dict[str, Row] = {}
        self.started = time.monotonic()
        self.done_before: float | None = None

    def snapshot(self) -> Snapshot:
        cells = [*self.plan.trials, *self.plan.cells]
        rows = [self.ended.get(cell.key) or self._row(cell) for cell in cells]
        self.ended |= {c.key: r for c, r in zip(cells, rows, strict=True) if r.state in ENDED}
        seconds = time.monotonic() - self.started
        done = sum(row.flops * row.share for row in rows)
        total = sum(row.flops for row in rows if row.state != "failed")
        self.done_before = done if self.done_before is None else self.done_before
        new = done - self.done_before
        return Snapshot(rows, seconds, seconds * (total - done) / new if new > 0 else None)

    def _row(self, cell: Cell) -> Row:
        state = read_state(self.runs / cell.key)
        flops = self.flops.setdefault(cell.key, cost.training_flops(cell.experiment))
        return Row(
            label=cell.label or cell.experiment.name,
            seed=cell.seed,
            state=state["state"],
            phase=state.get("phase", ""),
            step=state.get("step", 0),
            steps=state.get("steps", cell.experiment.training.steps),
            loss=state.get("loss"),
            seconds_left=state.get("seconds_left"),
            reason=state.get("reason", ""),
            flops=flops,
        )

"""Run a sweep: store its plan, run the cells that have no result, show how it goes."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from lina_lab import cost
from lina_lab.config.experiment import Experiment, cell_key
from lina_lab.config.sweep import Cell, Plan, Sweep
from lina_lab.ledger import ENDED, StoredPlan, create_cell, is_done, read_experiment, read_state, store_plan
from lina_lab.provenance import provenance
from lina_lab.sweep.local import Engine, Finished, Slot


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


def single(experiment: Experiment) -> Plan:
    """An experiment as a sweep of one cell."""
    sweep = Sweep.model_construct(
        name=experiment.name, question="", experiment="", set={}, axes={}, seeds=[experiment.seed], exclude=[]
    )
    return Plan(sweep, {}, [Cell(cell_key(experiment), {}, experiment.seed, experiment)], [])


def planned_again(runs: Path, stored: StoredPlan) -> Plan:
    """The plan of a sweep as it last ran, from the ledger alone."""
    cells = [Cell(c.key, c.values, c.seed, read_experiment(runs / c.key)) for c in stored.cells]
    sweep = Sweep.model_construct(name=stored.name, question=stored.question, experiment="", axes={}, seeds=[])
    return Plan(sweep, stored.axes, cells, stored.omitted)


def run_sweep(
    runs: Path, plan: Plan, where: Sequence[Slot], show: Callable[[Snapshot, list[Finished]], None], retries: int
) -> list[Finished]:
    """Run every cell that has no result, the most expensive first; the cells that ended, in that order of ending."""
    store_plan(runs, plan, provenance())
    folders = {cell.key: create_cell(runs, cell.experiment) for cell in plan.cells}
    todo = [cell for cell in plan.cells if not is_done(folders[cell.key])]
    todo.sort(key=lambda cell: -cost.training_flops(cell.experiment))
    engine = Engine(deque(folders[cell.key] for cell in todo), where, retries)
    progress = Progress(plan.cells, runs)
    show(progress.snapshot(), [])
    return engine.run(lambda new: show(progress.snapshot(), new))


class Progress:
    """How far a list of cells is; a cell that has a result is read once."""

    def __init__(self, cells: Sequence[Cell], runs: Path) -> None:
        self.cells, self.runs = cells, runs
        self.flops = {cell.key: cost.training_flops(cell.experiment) for cell in cells}
        self.ended: dict[str, Row] = {}
        self.started = time.monotonic()
        self.done_before: float | None = None

    def snapshot(self) -> Snapshot:
        rows = [self.ended.get(cell.key) or self._row(cell) for cell in self.cells]
        self.ended |= {c.key: r for c, r in zip(self.cells, rows, strict=True) if r.state in ENDED}
        seconds = time.monotonic() - self.started
        done = sum(row.flops * row.share for row in rows)
        total = sum(row.flops for row in rows if row.state != "failed")
        self.done_before = done if self.done_before is None else self.done_before
        new = done - self.done_before
        return Snapshot(rows, seconds, seconds * (total - done) / new if new > 0 else None)

    def _row(self, cell: Cell) -> Row:
        state = read_state(self.runs / cell.key)
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
            flops=self.flops[cell.key],
        )

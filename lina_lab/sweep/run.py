"""Run a sweep: store its plan, run the cells that have no result, show how it goes."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from lina_lab import cost
from lina_lab.config.experiment import Experiment, cell_key
from lina_lab.config.sweep import Cell, Plan, Sweep
from lina_lab.ledger import create_cell, is_done, read_state, store_plan, write_state
from lina_lab.provenance import provenance
from lina_lab.sweep.local import Finished, run_cells


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
        return 1.0 if self.state in {"done", "diverged"} else self.step / self.steps


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


def run_sweep(
    runs: Path, plan: Plan, num_workers: int, show: Callable[[Snapshot, list[Finished]], None]
) -> list[Finished]:
    """Run every cell that has no result, the most expensive first; the cells that ended, in that order of ending."""
    store_plan(runs, plan, provenance())
    folders = {cell.key: create_cell(runs, cell.experiment) for cell in plan.cells}
    flops = {cell.key: cost.training_flops(cell.experiment) for cell in plan.cells}
    todo = [cell for cell in plan.cells if not is_done(folders[cell.key])]
    todo.sort(key=lambda cell: -flops[cell.key])
    for cell in todo:
        write_state(folders[cell.key], "waiting")
    started = time.monotonic()
    at_start = _work_done(plan, folders, flops)

    def tick(new: list[Finished]) -> None:
        rows = [_row(cell, folders[cell.key], flops[cell.key]) for cell in plan.cells]
        seconds = time.monotonic() - started
        done = sum(row.flops * row.share for row in rows)
        total = sum(row.flops for row in rows if row.state != "failed")
        left = seconds * (total - done) / (done - at_start) if done > at_start else None
        show(Snapshot(rows, seconds, left), new)

    tick([])
    return run_cells([folders[cell.key] for cell in todo], num_workers, tick) if todo else []


def _work_done(plan: Plan, folders: dict[str, Path], flops: dict[str, float]) -> float:
    return sum(flops[c.key] for c in plan.cells if is_done(folders[c.key]))


def _row(cell: Cell, folder: Path, flops: float) -> Row:
    state = read_state(folder)
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

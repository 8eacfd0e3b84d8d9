"""Run a sweep: store its plan, run the cells without a result, show progress."""

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from lina_lab.config.engine import ALONE, LIMITS, Group, Limits
from lina_lab.ledger.cells import create_cell
from lina_lab.ledger.plan import Plan, plan_id, store_plan
from lina_lab.provenance import provenance
from lina_lab.sweep.alike import FailedAlike
from lina_lab.sweep.foresight import Foresight, largest
from lina_lab.sweep.local_engine import Engine, Finished, Slot
from lina_lab.sweep.longer import in_order, keeping, sources, unfinished
from lina_lab.sweep.planning import PlannedSweep
from lina_lab.sweep.progress import Snapshot, SweepProgress, Work
from lina_lab.sweep.tune import Todo, Tuning


def run_sweep(
    runs: Path,
    planned: PlannedSweep,
    where: Sequence[Slot],
    show: Callable[[Snapshot, list[Finished]], None],
    retries: int,
    stored: Callable[[Plan], None] = lambda _: None,
    group: Group = ALONE,
    limits: Limits = LIMITS,
) -> list[Finished]:
    """Run every cell without a result, and return those that ended, in that order.

    The most expensive come first, but those of the largest size last: before these start they are forecast, see
    `foresight`. A cell that goes on from a shorter one waits until that has ended.

    What is tuned runs its trials first; `stored` is told whenever the plan has grown by trials or by tuned cells.
    """
    steering = Steering(runs, planned, retries)
    engine = Engine(deque(), where, retries, group, limits=limits)
    foresight = Foresight(runs, lambda: steering.stored, lambda: steering.largest)
    engine.before = foresight.before
    progress = SweepProgress(runs, len(where))

    def grow() -> None:
        new, until = steering.advance()
        engine.until |= until
        engine.after |= steering.after
        busy = {*engine.queue, *engine.running.values(), *engine.elsewhere}
        engine.queue.extend(folder for folder in new if folder not in busy)
        progress.planned = steering.planned
        stored(steering.stored)

    def now() -> Snapshot:
        return progress.snapshot(Work(list(engine.running.values()), engine.elsewhere, engine.queue))

    def tick(new: list[Finished]) -> None:
        if steering.note(new):
            grow()
        foresight.after([finished.folder for finished in new])
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

    def __init__(self, runs: Path, planned: PlannedSweep, retries: int) -> None:
        plan = planned.plan
        self.runs, self.record = runs, provenance()
        self.planned = planned._replace(plan=plan._replace(id=plan_id(plan)))
        self.stored: Plan
        # A plan that has trials comes from the ledger: what they chose stands in it.
        tune = None if plan.trials else planned.tune
        self.tuning = Tuning(runs, self.planned, tune, retries) if tune else None
        self.handed_out: set[str] = set()
        """Keys of the study's own cells that were released."""
        self.after: dict[Path, Path] = {}
        """Folders of cells that go on from another one that has no result yet, and the folder of that."""
        self.largest: set[str] = set()
        """Keys of the study's own cells of the largest size, as far as they are known."""
        self.open = self.tuning is not None
        """Whether trials are still to come."""

    def advance(self) -> tuple[list[Path], dict[Path, int]]:
        """Folders of the cells that can run now, in the order of `run_sweep`, and the steps at which trials pause.

        The plan, as far as it is known, is stored first.
        """
        todo: list[Todo] = []
        if self.tuning is not None:
            self.planned, todo = self.tuning.advance()
            self.open = bool(todo)
        # Before there are folders: a cell that is there belongs to a plan, whoever asks at whatever moment.
        self.stored = store_plan(self.runs, self.planned.plan, self.record, self.planned.file)
        cells, experiments = self.stored.cells, self.planned.experiments
        everything = [*cells, *self.stored.trials]
        own = unfinished(self.runs, self.planned)
        found = sources(self.runs, own)
        experiments = keeping(experiments, found)
        folders = {cell.key: create_cell(self.runs, experiments[cell.key], cell.key) for cell in everything}
        self.after = {folders[key]: folders[s.cell] for key, s in found.items() if s.cell in own}
        new = [cell for cell in cells if cell.key not in self.handed_out and cell.key in own]
        self.handed_out |= {cell.key for cell in cells}
        new += [trial.cell for trial in todo]
        until = {folders[trial.cell.key]: trial.until for trial in todo}
        self.largest = largest(cells, experiments.__getitem__)
        return [folders[cell.key] for cell in in_order(new, found, self.largest)], until

    def note(self, new: Sequence[Finished]) -> bool:
        """Whether a trial is among the cells that have ended, so that there may be more to run."""
        keys = {cell.key for cell in self.planned.plan.trials}
        ended = [finished for finished in new if finished.folder.name in keys]
        if self.tuning is not None:
            self.tuning.given_up |= {finished.folder.name for finished in ended if finished.state == "failed"}
        return bool(ended)

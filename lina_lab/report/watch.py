"""A sweep as it is now, from the ledger alone: nothing is written and no lock is taken, so that anyone may look on.

A file that has not changed is not read again, and of a metrics.csv that has grown only what is new.
"""

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from lina_lab.analysis.names import Names, design_names
from lina_lab.analysis.sample_steps import SHEETS
from lina_lab.config.experiment import Experiment
from lina_lab.errors import LabError
from lina_lab.ledger.cells import read_experiment
from lina_lab.ledger.plan import Plan, PlannedCell, load_plan, plan_path
from lina_lab.ledger.result import Result
from lina_lab.ledger.status import ENDED, CellStatus, read_cell
from lina_lab.metric_names import LOSS
from lina_lab.sweep.planning import PlannedSweep
from lina_lab.sweep.progress import SweepProgress, Work

TRAINING_LOSS = "train/loss"
CURVES = (LOSS, TRAINING_LOSS)
"""Metrics whose curves are kept."""
CONFIGS = 200
"""Most configs that one look reads: five milliseconds each."""
T = TypeVar("T")


class Curve(NamedTuple):
    """A metric along a run: steps (n,), ascending, and finite values (n,)."""

    steps: NDArray[np.int64]
    values: NDArray[np.float64]


class CellLook(NamedTuple):
    cell: PlannedCell
    status: CellStatus
    result: Result | None
    steps: int | None
    """Of its training, once anything tells."""
    curves: Mapping[str, Curve]
    """By metric; a metric without a value is missing."""
    sheets: list[str]
    """File names of the sheets, by step."""

    @property
    def step(self) -> int:
        """How far its training is; the result knows, once there is one."""
        return self.status.step if self.result is None else self.result.steps


class Look(NamedTuple):
    """A sweep at one moment: trials first, as in `Plan.everything`."""

    plan: Plan
    names: Names
    """Of its designs."""
    cells: list[CellLook]
    share: float
    """Of the training FLOPs of the cells that are known: those that are spent, or no more needed."""
    seconds_left: float | None
    """None while that cannot be told, and where no cell is at work."""

    @property
    def states(self) -> list[str]:
        return [look.status.state for look in self.cells]

    @property
    def is_over(self) -> bool:
        """Whether no cell is at work, and none waits."""
        return not {"running", "waiting"} & {*self.states}


class SweepWatch:
    """Looks at a sweep, again and again.

    Raises:
        LabError: by every look, if no sweep of that name has run here, or its plan is damaged.
    """

    def __init__(self, runs: Path, name: str) -> None:
        self.runs, self.name = runs, load_plan(runs, name).name
        self.plan = Cached(plan_path(runs, self.name), self._read_plan)
        self.ended: dict[str, Cached[tuple[CellStatus, Result | None]]] = {}
        self.curves: dict[str, GrowingCurves] = {}
        self.experiments: dict[str, Experiment] = {}
        self.progress = SweepProgress(runs, 1)

    def look(self) -> Look:
        plan, names = self.plan.value()
        self._read_experiments(plan)
        cells = [self._cell(cell) for cell in plan.everything]
        whole = sum(cell.flops for cell in plan.everything)
        spent = sum(look.cell.flops * _share(look.status) for look in cells)
        return Look(
            plan=plan,
            names=names,
            cells=cells,
            share=spent / whole if whole else 0.0,
            seconds_left=self._seconds_left(plan, cells),
        )

    def _read_plan(self) -> tuple[Plan, Names]:
        plan = load_plan(self.runs, self.name)
        return plan, design_names(plan)

    def _cell(self, cell: PlannedCell) -> CellLook:
        folder, key = self.runs / cell.key, cell.key
        if (folder / "result.json").exists():
            ended = self.ended.setdefault(key, Cached(folder / "result.json", lambda: _read(folder)))
            status, result = ended.value()
        else:
            status, result = _read(folder)
        experiment = self.experiments.get(key)
        return CellLook(
            cell=cell,
            status=status,
            result=result,
            steps=status.steps or (None if experiment is None else experiment.training.steps),
            curves=self.curves.setdefault(key, GrowingCurves(folder / "metrics.csv")).now(),
            sheets=sorted(path.name for path in (folder / "samples").glob(SHEETS)),
        )

    def _read_experiments(self, plan: Plan) -> None:
        """Those that are there and not read yet, a few at every look."""
        for key in [cell.key for cell in plan.everything if cell.key not in self.experiments][:CONFIGS]:
            try:
                self.experiments[key] = read_experiment(self.runs / key)
            except (LabError, OSError):
                return  # a folder that is yet to come, or is gone

    def _seconds_left(self, plan: Plan, cells: list[CellLook]) -> float | None:
        """As `lab sweep` reckons, with as many workers as there are cells at work now."""
        running, waiting = (
            [self.runs / look.cell.key for look in cells if look.status.state == state]
            for state in ("running", "waiting")
        )
        if not running or any(look.cell.key not in self.experiments for look in cells):
            return None
        self.progress.planned, self.progress.num_workers = PlannedSweep(plan, self.experiments), len(running)
        self.progress.statuses |= {look.cell.key: look.status for look in cells}
        return self.progress.snapshot(Work(running, (), waiting)).seconds_left


def _share(status: CellStatus) -> float:
    """Of a cell's training that is spent, or no more needed."""
    return 1.0 if status.state in ENDED else min(1.0, status.step / (status.steps or 1))


def _read(folder: Path) -> tuple[CellStatus, Result | None]:
    """A cell that is taken away while it is read waits to be made again."""
    try:
        return read_cell(folder)
    except OSError:
        return CellStatus(state="waiting"), None


def stamp(path: Path) -> tuple[int, int] | None:
    """When a file was last written, and its size; None of one that cannot be seen."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


class Cached(Generic[T]):
    """What a file holds, read again whenever its stamp is another."""

    def __init__(self, path: Path, read: Callable[[], T]) -> None:
        self.path, self.read = path, read
        self.known: tuple[tuple[int, int] | None, T] | None = None

    def value(self) -> T:
        now = stamp(self.path)  # before the reading: what is written meanwhile is seen at the next look
        if self.known is None or now is None or self.known[0] != now:
            self.known = now, self.read()
        return self.known[1]


class GrowingCurves:
    """The curves of a metrics.csv, whose rows are only appended; one that was written anew is read from its start."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._forget()

    def _forget(self) -> None:
        self.seen: tuple[int, int] | None = None
        self.end, self.last = 0, b""
        """Where the last whole line ends that was read, and that line."""
        self.points: dict[str, dict[int, float]] = {metric: {} for metric in CURVES}
        self.curves: dict[str, Curve] = {}

    def now(self) -> Mapping[str, Curve]:
        """By metric; one without a value is missing. A line that is half written or no row is passed over."""
        seen = stamp(self.path)
        if seen is None:
            self._forget()
        elif seen != self.seen:
            try:
                self._read_on()
            except OSError:  # gone since
                self._forget()
            self.seen = seen
            self.curves = {name: _curve(points) for name, points in self.points.items() if points}
        return self.curves

    def _read_on(self) -> None:
        with self.path.open("rb") as file:
            file.seek(self.end - len(self.last))
            found = file.read()
            if not found.startswith(self.last):
                self._forget()
                file.seek(0)
                found = file.read()
        lines = found[len(self.last) : found.rfind(b"\n") + 1].splitlines(keepends=True)
        for line in lines:
            self._take(line.decode("utf-8", "replace"))
        self.end += sum(map(len, lines))
        self.last = lines[-1] if lines else self.last

    def _take(self, line: str) -> None:
        step, name, value, *_ = [*line.split(","), "", ""]
        if name in self.points:
            with contextlib.suppress(ValueError):
                self.points[name][int(step)] = float(value)


def _curve(points: Mapping[int, float]) -> Curve:
    steps, values = np.array([*points], np.int64), np.array([*points.values()])
    kept = np.isfinite(values)
    order = np.argsort(steps[kept], kind="stable")
    return Curve(steps[kept][order], values[kept][order])

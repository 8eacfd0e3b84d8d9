"""How far a sweep is, and how long the rest will take.

A cell goes through start, training, sampling and evaluation, and some through repeats of the last two. The pace of a
stage is learnt from the cells that this run takes through it, by size if possible; until then from earlier results of
the same machine.
"""

import heapq
import logging
import math
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lina_lab import cost
from lina_lab.config.experiment import Experiment
from lina_lab.errors import LabError
from lina_lab.ledger.part import belongs
from lina_lab.ledger.plan import PlannedCell
from lina_lab.ledger.result import read_result
from lina_lab.ledger.status import ENDED, CellStatus, read_status
from lina_lab.provenance import hardware
from lina_lab.sweep.planning import PlannedSweep

logger = logging.getLogger(__name__)

PARTS = ("start", "training", "sampling", "evaluation", "repeats")
WHOLE = (0, 3)
"""Stages without progress of their own."""
PHASES = {"": 0, "starting": 0, "sampling": 2, "decoding": 2, "evaluating": 3, "guidance": 4, "repeats": 4}
"""Stage of each phase in state.json; all other phases are training."""
LIKE = {2: 1, 4: 2}
"""Stages whose pace is supposed to be that of another until it is seen."""
OFTEN = 500
"""Most cells whose state is read at every look; of a larger plan only cells at work are."""
EXAMPLES = 100
"""Most earlier results that are read."""


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


class Snapshot(NamedTuple):
    """The sweep at one moment; `stopped`: it was asked to stop, and this is the last snapshot."""

    rows: list[Row]
    seconds: float
    seconds_left: float | None
    stopped: bool = False


class Work(NamedTuple):
    """Remaining cells: at work here, at work in other processes, and waiting, in order."""

    running: Sequence[Path] = ()
    elsewhere: Sequence[Path] = ()
    waiting: Sequence[Path] = ()


class Seen(NamedTuple):
    """A cell at one look: its stage, and the share of every stage that remains."""

    part: int
    left: tuple[float, ...]
    at: float
    told: float
    """The time written in its state.json, and..."""
    since: float
    """... when that was first seen."""
    entered: float
    """When it was first seen in its stage."""


class Pace:
    """Seconds a unit of each stage: a unit of start and evaluation is all of it, of the others a FLOP."""

    def __init__(self) -> None:
        self.seconds = defaultdict[tuple[int, str], float](float)
        self.units = defaultdict[tuple[int, str], float](float)

    def add(self, part: int, size: str, seconds: float, units: float) -> None:
        for known in (size, ""):
            self.seconds[part, known] += seconds
            self.units[part, known] += units

    def of(self, part: int, size: str) -> float | None:
        """The pace of cells of a size, or of all if that is unknown."""
        known = next((known for known in (size, "") if self.units[part, known] > 0), None)
        return None if known is None else self.seconds[part, known] / self.units[part, known]


class SweepProgress:
    """Progress of the cells of a plan, which may grow. Cells with a result are read only once."""

    def __init__(self, runs: Path, num_workers: int) -> None:
        self.runs, self.num_workers = runs, num_workers
        self.planned: PlannedSweep
        self.statuses: dict[str, CellStatus] = {}
        self.costs: dict[str, tuple[float, ...]] = {}
        self.seen: dict[str, Seen] = {}
        self.pace, self.before = Pace(), Pace()
        self.read_before = False
        self.started = time.monotonic()

    def snapshot(self, work: Work) -> Snapshot:
        """The cells as they are now, and the seconds until all `work` is done; None while that cannot be told."""
        planned, now = self.planned, time.monotonic()
        cells = {cell.key: cell for cell in planned.plan.everything if belongs(cell, planned.part)}
        at_work = {folder.name for folder in (*work.running, *work.elsewhere)}
        moving = {*cells} if len(cells) <= OFTEN else at_work | {*self.seen}
        for key in cells:
            if key not in self.statuses or (key in moving and self.statuses[key].state not in ENDED):
                self.statuses[key] = read_status(self.runs / key)
        if not self.read_before:
            self._learn_before(list(cells.values()))
        self._learn({key: cells[key] for key in at_work | {*self.seen} if key in cells}, at_work, now)
        left = self._left(work, cells, now)
        return Snapshot([self._row(cell) for cell in cells.values()], now - self.started, left)

    def _learn(self, cells: Mapping[str, PlannedCell], at_work: set[str], now: float) -> None:
        """Take down what the cells at work have done since the last look, and what that took."""
        for key, cell in cells.items():
            status, last = self.statuses[key], self.seen.pop(key, None)
            part, left = position(status)
            if last is not None:
                self._learn_step(cell, last, part, left, now)
            if key in at_work:
                told = status.time or 0.0
                since = last.since if last is not None and last.told == told else now
                entered = last.entered if last is not None and last.part == part else now
                self.seen[key] = Seen(part=part, left=left, at=now, told=told, since=since, entered=entered)

    def _learn_step(self, cell: PlannedCell, last: Seen, part: int, left: Sequence[float], now: float) -> None:
        """What lies between two looks belongs to the part of the first one; a whole part is known when it is over."""
        for p in range(last.part, len(PARTS)):
            done = max(0.0, last.left[p] - left[p]) if p == last.part or p < part else 0.0
            began = last.entered if p in WHOLE else last.at
            seconds = now - began if p == last.part and (part > p or p not in WHOLE) else 0.0
            self.pace.add(p, self._experiment(cell).model.size, seconds, done * self._cost(cell)[p])

    def _learn_before(self, cells: Sequence[PlannedCell]) -> None:
        """From results that were there when the run began, and that this machine has made."""
        self.read_before = True
        for cell in [cell for cell in cells if self.statuses[cell.key].state == "done"][:EXAMPLES]:
            try:
                result = read_result(self.runs / cell.key)
            except LabError as error:
                logger.debug("no estimate from an earlier result: %s", error)
                continue
            if result.provenance.hardware == hardware():
                for part, units in list(enumerate(self._cost(cell)))[1:]:
                    phase = PARTS[part]
                    of_points = (p.seconds.get(phase, 0.0) for p in result.points if phase != "training")
                    seconds = result.seconds.get(phase) and math.fsum((result.seconds[phase], *of_points))
                    if seconds is not None:
                        self.before.add(part, self._experiment(cell).model.size, seconds, units)

    def _experiment(self, cell: PlannedCell) -> Experiment:
        return self.planned.experiments[cell.key]

    def _cost(self, cell: PlannedCell) -> tuple[float, ...]:
        """Units of every part: see `Pace`."""
        if cell.key not in self.costs:
            e = self._experiment(cell)
            training, images = cost.training_flops(e), cost.evaluation_flops(e)
            self.costs[cell.key] = (1.0, training, images, 1.0, cost.repeats_flops(e))
        return self.costs[cell.key]

    def _left(self, work: Work, cells: Mapping[str, PlannedCell], now: float) -> float | None:
        """Seconds until everything is done, if free workers take the cells that wait in turn."""

        def each(folders: Sequence[Path]) -> list[float | None]:
            return [self._cell_left(cells[f.name], now) for f in folders if f.name in cells]

        running, elsewhere, waiting = map(each, work)
        known = [seconds for seconds in (*running, *elsewhere, *waiting) if seconds is not None]
        if len(known) < len(running) + len(elsewhere) + len(waiting):
            return None
        busy = known[: len(running)] + [0.0] * max(0, self.num_workers - len(running))
        heapq.heapify(busy)
        for seconds in known[len(running) + len(elsewhere) :]:
            heapq.heapreplace(busy, busy[0] + seconds)
        return max([*busy, *known[len(running) : len(running) + len(elsewhere)]], default=0.0)

    def _cell_left(self, cell: PlannedCell, now: float) -> float | None:
        """Seconds that a worker will need for a cell; one that is at work has its own account of its part."""
        status, seen = self.statuses[cell.key], self.seen.get(cell.key)
        part, left = position(status) if seen is None else (seen.part, seen.left)
        total = 0.0
        for p, (share, units) in enumerate(zip(left, self._cost(cell), strict=True)):
            each = self._seconds_of(p, self._experiment(cell).model.size)
            own = status.seconds_left if seen is not None and p == part else None
            if own is not None and seen is not None:
                total += max(0.0, own - (now - seen.since))
            elif each is None and share > 0:
                return None
            elif each is not None:
                passed = now - seen.entered if seen is not None and p == part and p in WHOLE else 0.0
                total += max(0.0, each * units * share - passed)
        return total

    def _seconds_of(self, part: int, size: str) -> float | None:
        """Seconds a unit of a stage, unseen as `LIKE` says; other unseen stages but training are assumed to be free."""
        found = self.pace.of(part, size)
        found = self.before.of(part, size) if found is None else found
        if found is None and part in LIKE:
            return self._seconds_of(LIKE[part], size)
        return 0.0 if found is None and PARTS[part] != "training" else found

    def _row(self, cell: PlannedCell) -> Row:
        status, experiment = self.statuses[cell.key], self._experiment(cell)
        return Row(
            label=cell.label or experiment.name,
            seed=cell.seed,
            state=status.state,
            phase=status.phase,
            step=status.step,
            steps=experiment.training.steps if status.steps is None else status.steps,
            loss=status.loss,
            seconds_left=status.seconds_left,
            reason=status.reason or "",
        )


def position(status: CellStatus) -> tuple[int, tuple[float, ...]]:
    """The part that a cell is in, and the share of every part that is still to do. One that waits has to start."""
    if status.state in ENDED:
        return len(PARTS), (0.0,) * len(PARTS)
    at = PHASES.get(status.phase, 1)
    trained = 1.0 if at > 1 else status.step / max(1, status.steps or 1)
    sampled, repeated = (1.0 if at > part else status.share if at == part else 0.0 for part in (2, 4))
    part = at if status.state == "running" else 0
    return part, (float(part == 0), 1.0 - trained, 1.0 - sampled, float(at < 4), 1.0 - repeated)


def duration(seconds: float | None) -> str:
    """'1:02:03' or '2:03'; '?' if not known."""
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"

"""Workers that hang: told from those that are slow, made to write down where they are, and ended.

A sign of progress of a cell is any change of its state.json: a step (they are written at most once a second), images
that were drawn, a new phase. While steps are counted, which is when state.json has `step_seconds`, nothing else is a
sign, and the limit is never less than ten such steps. Where none are (start-up, the first step with its compilation,
validations, checkpoints, decoding, evaluations), a worker that takes processor time is at work too.
"""

import contextlib
import logging
import os
import signal
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

from lina_lab.cell.attempt import STARTING
from lina_lab.ledger.status import read_status
from lina_lab.signals import STACKS

logger = logging.getLogger(__name__)

GRACE_SECONDS = 60.0
"""That a worker may take to write a checkpoint when it is asked to stop."""
STEPS = 10
"""Of its own that a worker may take at least."""
LONGEST_TICK = 5.0
"""Seconds: where more pass between two looks, the watcher itself stood still, and its workers perhaps with it."""
WORKING = 0.02
"""Share of a core that a process takes when it works; one that waits in a loop, or only beats, takes a hundredth."""


class Sign(NamedTuple):
    """The last one of a cell at work."""

    written: int
    """The time of its state.json, in the file's own clock."""
    seen: float
    """When that was first seen, by the watch's clock."""
    used: tuple[float, float] | None = None
    """Processor time of its worker and its processes half a limit later, and when that was: by then it may matter."""


class Watched:
    """Cells at work, and when each last gave a sign of progress; workers that give none are ended."""

    def __init__(self, minutes: float) -> None:
        """Without a limit, 0 minutes, no worker hangs."""
        self.limit = 60 * minutes
        self.first: dict[Path, int] = {}
        self.signs: dict[Path, Sign] = {}
        self.ending: dict[Path, tuple[str, float]] = {}
        """Cells whose worker was asked to end: why, and when it is made to."""
        self.clock, self.looked = 0.0, time.monotonic()

    def begin(self, folder: Path) -> None:
        """Watch a cell that a worker has just been given."""
        self.first[folder] = _written(folder)
        self.signs[folder] = Sign(self.first[folder], self.clock)

    def look(self, running: Mapping[Path, int]) -> None:
        """Look at the cells at work and the processes of their workers: who hangs is asked to end, then made to."""
        now = time.monotonic()
        self.clock += min(now - self.looked, LONGEST_TICK)
        self.looked = now
        for folder, pid in running.items():
            if folder in self.ending:
                if self.clock > self.ending[folder][1]:
                    send(signal.SIGKILL, family(pid))
            elif why := self._silence(folder, pid):
                self.ending[folder] = why, self.clock + GRACE_SECONDS
                _ask_to_end(folder, pid, why)

    def hung(self, folder: Path) -> str:
        """Why the worker of a cell that is no more at work was ended; '' if it was not."""
        return self.ending.pop(folder, ("", 0.0))[0]

    def before_first_step(self, folder: Path) -> bool:
        """Whether a cell that was begun has said nothing yet but that it starts."""
        return _written(folder) == self.first[folder] or read_status(folder).phase == STARTING

    def _silence(self, folder: Path, pid: int) -> str:
        """Why a worker counts as hanging; '' if it does not."""
        last, written = self.signs[folder], _written(folder)
        silent = self.clock - last.seen
        if written != last.written:
            self.signs[folder] = Sign(written, self.clock)
        elif self.limit and silent > self.limit / 2 and last.used is None:
            self.signs[folder] = last._replace(used=(processor_seconds(pid), self.clock))
        if written != last.written or not self.limit or silent < self.limit or last.used is None:
            return ""
        status = read_status(folder)
        used, since = last.used
        if status.step_seconds is None and processor_seconds(pid) - used > WORKING * (self.clock - since):
            self.signs[folder] = Sign(written, self.clock)
            return ""
        if silent < STEPS * (status.step_seconds or 0):
            return ""
        return f"no step for {silent / 60:.3g} minutes ({status.phase or STARTING})"


def _written(folder: Path) -> int:
    try:
        return (folder / "state.json").stat().st_mtime_ns
    except OSError:
        return 0


def family(pid: int) -> list[int]:
    """A process of this machine and all that come from it; where the kernel does not tell, itself alone."""
    if pid <= 0:  # what a signal would take for a whole group
        return []
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            children.setdefault(int(_stat(path)[1]), []).append(int(path.parent.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def processor_seconds(pid: int) -> float:
    """Of a process, of all that come from it and of those that it has waited for; 0 where the kernel does not tell."""
    ticks = 0
    for one in family(pid):
        with contextlib.suppress(OSError):
            ticks += sum(map(int, _stat(Path(f"/proc/{one}/stat"))[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _stat(path: Path) -> list[str]:
    """What stands after the name, which may hold anything: state, parent, ..."""
    return path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()


def _ask_to_end(folder: Path, pid: int, why: str) -> None:
    """Have a worker and its processes write their stacks to the cell's log, and ask it for a checkpoint and its end."""
    pids = family(pid)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        with (folder / "log.txt").open("a", encoding="utf-8") as log:
            log.write(f"{now} {why}: processes {', '.join(map(str, pids))} are ended; their stacks:\n")
    except OSError as error:  # as on a full disk
        logger.info("%s, and its log cannot be written: %s", why, error)
    send(STACKS, [one for one in pids if _catches(one, STACKS)])
    send(signal.SIGTERM, [pid])
    send(signal.SIGCONT, pids)  # who was stopped from outside can do both as well


def _catches(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal, which would end it else."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
        mask = next(line.split()[1] for line in lines if line.startswith("SigCgt:"))
        return bool(int(mask, 16) >> (number - 1) & 1)
    return False


def send(number: signal.Signals, pids: Iterable[int]) -> None:
    """Send a signal to processes, of which some may be gone."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def end_now(process: BaseProcess) -> None:
    """End a worker, and what it started, at once."""
    if process.is_alive():
        send(signal.SIGKILL, family(process.pid or 0))
    process.join()

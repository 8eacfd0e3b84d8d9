"""Detect workers that hang, as opposed to slow ones; have them write their stacks, and end them.

Any change of a cell's state.json is a sign of progress: a step (written at most once a second), drawn images, a new
phase. While steps are counted, that is while state.json has `step_seconds`, nothing else counts, and the limit is at
least ten such steps. In phases without steps (start-up, the first step with its compilation, validations, checkpoints,
decoding, evaluation) a worker that uses processor time counts as working too.
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
"""How long a worker may take to write a checkpoint when it is asked to stop."""
STEPS = 10
"""The limit is at least so many of a worker's own steps."""
LONGEST_TICK = 5.0
"""If more seconds pass between two looks, the watcher was suspended itself, and perhaps its workers too."""
WORKING = 0.02
"""Share of a core that tells work from waiting: a loop that polls, or heartbeats alone, use a hundredth."""


class Sign(NamedTuple):
    """The last sign of progress of a cell at work."""

    written: int
    """Time of change of its state.json, by the file system's clock."""
    seen: float
    """When that change was first seen, by the watcher's own clock."""
    used: tuple[float, float] | None = None
    """Processor time of its worker's processes, and when that was read: half a limit later, as it rarely matters."""


class Watched:
    """Watches cells at work and ends workers whose cell shows no progress."""

    def __init__(self, minutes: float) -> None:
        """`minutes` 0: no limit, so no worker counts as hanging."""
        self.limit = 60 * minutes
        self.first: dict[Path, int] = {}
        self.signs: dict[Path, Sign] = {}
        self.ending: dict[Path, tuple[str, float]] = {}
        """Cells whose worker was asked to end: the reason, and when it will be killed."""
        self.clock, self.looked = 0.0, time.monotonic()

    def begin(self, folder: Path) -> None:
        """Start watching a cell that was just given to a worker."""
        self.first[folder] = _written(folder)
        self.signs[folder] = Sign(self.first[folder], self.clock)

    def look(self, running: Mapping[Path, int]) -> None:
        """Check the cells at work by their workers' processes: a worker that hangs is asked to end, later killed."""
        now = time.monotonic()
        # A clock that stops while the machine sleeps: after a suspension every worker would seem to hang.
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
        """Why the worker of a finished attempt was ended; '' if it was not."""
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
        # In phases without steps, processor time is the only sign of work.
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
    """A process of this machine and all its descendants; only itself where there is no /proc."""
    if pid <= 0:  # a signal to 0 or less goes to a whole process group
        return []
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            children.setdefault(int(_stat(path)[1]), []).append(int(path.parent.name))
    processes = [pid]
    for one in processes:
        processes += children.get(one, [])
    return processes


def processor_seconds(pid: int) -> float:
    """Processor time of a process, its descendants and ended children; 0 where there is no /proc."""
    ticks = 0
    for one in family(pid):
        with contextlib.suppress(OSError):
            ticks += sum(map(int, _stat(Path(f"/proc/{one}/stat"))[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _stat(path: Path) -> list[str]:
    """The fields of /proc/PID/stat after the name, which may itself hold spaces and brackets: state, parent, ..."""
    return path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()


def _ask_to_end(folder: Path, pid: int, why: str) -> None:
    """Have a worker and its processes write their stacks to the cell's log, then ask it for a checkpoint and to end."""
    pids = family(pid)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        with (folder / "log.txt").open("a", encoding="utf-8") as log:
            log.write(f"{now} {why}: processes {', '.join(map(str, pids))} are ended; their stacks:\n")
    except OSError as error:  # as on a full disk
        logger.info("%s, and its log cannot be written: %s", why, error)
    # A process that has not yet registered its handler would be killed by the signal instead.
    send(STACKS, [one for one in pids if _catches(one, STACKS)])
    send(signal.SIGTERM, [pid])
    send(signal.SIGCONT, pids)  # a process suspended from outside must run to do either


def _catches(pid: int, number: signal.Signals) -> bool:
    """Whether a process handles a signal; without a handler the signal would kill it."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
        mask = next(line.split()[1] for line in lines if line.startswith("SigCgt:"))
        return bool(int(mask, 16) >> (number - 1) & 1)
    return False


def send(number: signal.Signals, pids: Iterable[int]) -> None:
    """Send a signal to processes, some of which may have ended."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def end_now(process: BaseProcess) -> None:
    """End a worker, and what it started, at once."""
    if process.is_alive():
        send(signal.SIGKILL, family(process.pid or 0))
    process.join()

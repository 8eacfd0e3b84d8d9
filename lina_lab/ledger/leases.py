"""Who works on a cell. Every attempt at a cell is a file that one process alone could make:

    runs/<key>/attempts/0001.json   owner, machine, process; how it ended, once it has

Attempt n + 1 is made by a process that saw that attempt n is over: it says so itself, or its owner is gone. A process
of this machine is gone when the kernel says so; one of another machine when its heartbeat has stood still for a lease,
measured by the watcher's own steady clock, so that no wrong or changed clock matters. Files are only added, never
taken from someone, so two watchers cannot both win. An owner that finds a later attempt than its own stops at once.
"""

import json
import os
import platform
import threading
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self

from lina_lab.files import write_atomic, write_new

HEARTBEAT_SECONDS = 5.0
LEASE_SECONDS = 60.0
"""An owner on another machine whose heartbeat stands still for so long is gone."""

End = Literal["done", "diverged", "paused", "pruned", "stopped", "failed", "refused", "died"]
"""`stopped`: was asked to, will continue; `paused`: at a rung of its tuning, until the others are there; `failed`: an
exception; `refused`: no retry can help; `died`: was killed."""
FAULTS = ("failed", "refused", "died")


class Attempt(NamedTuple):
    """One attempt at a cell, as its file says; a file that cannot be read has an unknown owner."""

    number: int
    path: Path
    owner: str = ""
    machine: str = ""
    host: str = ""
    pid: int = 0
    born: int = 0
    job: str = ""
    started: float = 0.0
    ended: End | None = None
    reason: str = ""
    forgiven: bool = False

    @property
    def is_fault(self) -> bool:
        return self.ended in FAULTS and not self.forgiven


def attempts(folder: Path) -> list[Attempt]:
    """All attempts at a cell, the first one first."""
    return [_read(path) for path in sorted((folder / "attempts").glob("[0-9]*.json"))]


def last_attempt(folder: Path) -> Attempt | None:
    paths = sorted((folder / "attempts").glob("[0-9]*.json"))
    return _read(paths[-1]) if paths else None


def _read(path: Path) -> Attempt:
    number = int(path.stem)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        known = {name: values[name] for name in Attempt._fields[2:] if name in values}
        return Attempt(number, path, **known)
    except (OSError, ValueError, TypeError):
        return Attempt(number, path)


class Watch:
    """Tells whether an attempt is over. Heartbeats are seen to stand still only while the same watch looks on."""

    def __init__(self, lease: float = LEASE_SECONDS) -> None:
        self.lease = lease
        self.seen: dict[Path, tuple[int, float]] = {}

    def is_over(self, attempt: Attempt | None) -> bool:
        if attempt is None or attempt.ended is not None:
            return True
        if attempt.machine and attempt.machine == this_machine():
            return _born(attempt.pid) != attempt.born
        try:
            beat = attempt.path.stat().st_mtime_ns
        except OSError:
            return False
        last, since = self.seen.get(attempt.path, (None, 0.0))
        if beat != last:
            self.seen[attempt.path] = (beat, time.monotonic())
            return False
        return time.monotonic() - since > self.lease


class Lease:
    """The right to work on a cell, kept alive by a thread until `end`."""

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def end(self, ended: End, reason: str = "") -> None:
        """Give the cell back, and say how it went."""
        self._stop.set()
        end_attempt(self.attempt, ended, reason)

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            last = last_attempt(self.attempt.path.parents[1])
            if last is None or last.number != self.attempt.number:
                # Somebody saw this process stand still and took over. Two must not write: nothing more from here.
                os._exit(70)
            os.utime(self.attempt.path)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()


def claim(folder: Path, watch: Watch) -> Lease | None:
    """Claim a cell for this process; None while another works on it."""
    last = last_attempt(folder)
    if not watch.is_over(last):
        return None
    number = last.number + 1 if last else 1
    attempt = Attempt(
        number,
        folder / "attempts" / f"{number:04d}.json",
        owner=uuid.uuid4().hex,
        machine=this_machine(),
        host=platform.node(),
        pid=os.getpid(),
        born=_born(os.getpid()),
        job=this_job(),
        started=time.time(),
    )
    return Lease(attempt) if write_new(attempt.path, _text(attempt)) else None


def end_attempt(attempt: Attempt, ended: End, reason: str = "") -> None:
    write_atomic(attempt.path, _text(attempt._replace(ended=ended, reason=reason)))


def faults(folder: Path) -> int:
    """How often the cell has failed or taken its process with it since it was last forgiven."""
    return sum(attempt.is_fault for attempt in attempts(folder))


def forgive(folder: Path) -> None:
    """Let a cell that has failed be tried again."""
    for attempt in attempts(folder):
        if attempt.is_fault:
            write_atomic(attempt.path, _text(attempt._replace(forgiven=True)))


def _text(attempt: Attempt) -> str:
    return json.dumps({name: value for name, value in attempt._asdict().items() if name not in {"number", "path"}})


def this_job() -> str:
    """The SLURM job that this process runs in, as SLURM's commands take it; '' outside.

    Of an array that is ARRAY_TASK: one task has the array's own number as its job number, by which SLURM means all.
    """
    array, task = (os.environ.get(f"SLURM_ARRAY_{part}_ID") for part in ("JOB", "TASK"))
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID", "")


def this_machine() -> str:
    """Names this boot of this machine, and the container: process numbers mean the same only within. Or ''."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _born(pid: int) -> int:
    """When a process began, in clock ticks since boot; 0 if it is gone. A number used again has another birth."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in {"Z", "X"} else int(fields[19])

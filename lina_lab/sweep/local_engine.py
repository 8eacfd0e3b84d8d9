"""The local engine: worker processes that keep their imports and run one cell after the other, on one thread each."""

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import NamedTuple

from lina_lab.config.engine import ALONE, LIMITS, Group, Limits, WorkerCount
from lina_lab.errors import LabError
from lina_lab.interpreter import BINDING, surroundings, without_script
from lina_lab.ledger.leases import FAULTS, Watch, claim, end_attempt, faults, last_attempt
from lina_lab.ledger.result import is_done
from lina_lab.ledger.status import read_status
from lina_lab.provenance import changed_files, loaded
from lina_lab.sweep.alike import Alike
from lina_lab.sweep.hang import GRACE_SECONDS, Watched, end_now
from lina_lab.sweep.local_worker import OTHER_CODE, work

logger = logging.getLogger(__name__)

ENVIRONMENT = {
    # With more than one thread, small models ran 10 to 50 times slower beside busy neighbours, and bits may differ.
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # A stopped worker cannot release its semaphores and need not: they end with the launcher. Python warns of that.
    "PYTHONWARNINGS": "ignore:resource_tracker:UserWarning",
}

TICK_SECONDS = 0.5
RETRIES = 2
"""How often a cell that fails is tried again."""

Slot = Mapping[str, str]
"""Where a worker runs, as environment variables: on which GPU, or, with none, on a core."""


class Finished(NamedTuple):
    """How a cell ended: done, diverged, paused or failed, with the first line of the reason."""

    folder: Path
    state: str
    reason: str = ""


class Worker(NamedTuple):
    process: ForkServerProcess
    connection: Connection
    slot: int


def slots(num_workers: WorkerCount, per_gpu: int, gpus: Sequence[str], devices: int = 1) -> list[Slot]:
    """The slots of a machine: `per_gpu` on each set of `devices` GPUs; without GPUs, one for each `devices` cores.

    `num_workers` limits the slots on GPUs, and replaces the number of slots on cores.

    Raises:
        LabError: if there are GPUs, but too few for one slot.
    """
    if not gpus:
        return [{}] * (max(1, cores() // devices) if num_workers == "auto" else num_workers)
    if devices > len(gpus):
        raise LabError(f"devices must be at most the {len(gpus)} GPUs that are visible here, not {devices}")
    together = [",".join(gpus[i : i + devices]) for i in range(0, len(gpus) - devices + 1, devices)]
    everywhere: list[Slot] = [{"CUDA_VISIBLE_DEVICES": some} for _ in range(per_gpu) for some in together]
    return everywhere if num_workers == "auto" else everywhere[:num_workers]


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def visible_gpus() -> list[str]:
    """The GPUs that CUDA_VISIBLE_DEVICES allows, or all, found without importing torch."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [gpu for gpu in named.split(",") if gpu not in {"", "-1", "NoDevFiles"}]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError) as error:
        logger.debug("no GPUs: %s", error)
        return []
    return [str(i) for i in range(sum(line.startswith("GPU ") for line in listed.splitlines()))]


class Engine:
    """Runs cells until none is left. `queue` may grow while it runs.

    A cell that another process works on is waited for, and taken over if that process ends. A cell that fails, hangs or
    kills its worker is tried again `retries` times. The others go on, unless cells fail alike (`Alike`).
    """

    def __init__(
        self,
        queue: deque[Path],
        where: Sequence[Slot],
        retries: int = RETRIES,
        group: Group = ALONE,
        *,
        patient: bool = True,
        limits: Limits = LIMITS,
    ) -> None:
        """If not `patient`, cells that other processes work on are left to them. Each cell is trained by a `group`."""
        self.queue, self.where, self.retries, self.group, self.patient = queue, where, retries, group, patient
        self.idle: list[Worker] = []
        self.first: threading.Thread | None = None
        self.running: dict[Worker, Path] = {}
        self.elsewhere: list[Path] = []
        self.until: dict[Path, int] = {}
        """The step at which a queued cell pauses, for those that do."""
        self.after: dict[Path, Path] = {}
        """The cell that has to end before a queued one begins, for those that go on from another."""
        self.before: Callable[[Path], None] = lambda _: None
        """Called with each cell that is about to start."""
        self.watch, self.limits = Watch(), limits
        self.watched, self.alike = Watched(limits.hang_minutes), Alike()
        self.failed: Counter[Path] = Counter()
        """Failures seen by this engine, since on a full disk the ledger cannot count them."""

    def run(self, tick: Callable[[list[Finished]], None]) -> list[Finished]:
        """Run, and return all cells that ended. `tick` is called about twice a second with those that just ended.

        Ctrl-C, an exception of `tick`, or FailedAlike stops the workers: each cell writes a checkpoint, from which it
        continues when it is started again. A second Ctrl-C does not wait for that.
        """
        ended: list[Finished] = []
        try:
            while self.queue or self.running or self.elsewhere:
                new = self._hand_out()
                self.watched.look({folder: worker.process.pid or 0 for worker, folder in self.running.items()})
                connections = [worker.connection for worker in self.running]
                for ready in wait(connections, timeout=TICK_SECONDS) if connections else ():
                    new += self._receive(next(w for w in self.running if w.connection is ready))
                if not connections:
                    threading.Event().wait(TICK_SECONDS if self.elsewhere or self.queue else 0)
                ended += new
                tick(new)
                if not self.limits.keep_going:
                    self.alike.check()
        finally:
            self._stop()
        return ended

    def _hand_out(self) -> list[Finished]:
        """Give queued cells to free workers, and return those that turn out to have ended already."""
        for folder in [f for f in self.elsewhere if self.watch.is_over(last_attempt(f))]:
            self.elsewhere.remove(folder)
            self.queue.append(folder)
        ended, self.idle = [], [worker for worker in self.idle if worker.process.is_alive()]
        while len(self.running) < len(self.where) and (following := self._next()):
            self.queue.remove(folder := following)
            if is_done(folder) or not self._may_retry(folder):
                status = read_status(folder)
                ended.append(Finished(folder, status.state, status.reason or ""))
            elif self.watch.is_over(last_attempt(folder)):
                if not self._can_start():
                    self.queue.appendleft(folder)
                    break
                self.before(folder)
                worker = self.idle.pop() if self.idle else self._start_worker()
                self.running[worker] = folder
                self.watched.begin(folder)
                worker.connection.send((str(folder), self.until.get(folder, 0)))
            elif self.patient:
                self.elsewhere.append(folder)
            else:
                ended.append(Finished(folder, "running"))
        return ended

    def _next(self) -> Path | None:
        """The first queued cell that does not wait for another one, which is queued, runs or is worked on elsewhere."""
        here = {*self.queue, *self.running.values(), *self.elsewhere} if self.after else set()
        return next((folder for folder in self.queue if self.after.get(folder) not in here), None)

    def _receive(self, worker: Worker) -> list[Finished]:
        """Handle a worker's report of its cell, or its death; returns the cell if it ended for good."""
        folder = self.running.pop(worker)
        try:
            state, reason = worker.connection.recv()
        except (EOFError, OSError):
            state, reason = "died", ""
        if state == OTHER_CODE:
            files = ", ".join(changed_files())
            raise LabError(f"files of the package changed since the cells were planned ({files}): start again")
        hung = self.watched.hung(folder)
        if hung and state == "stopped":
            state = "died"
        if state == "died":
            reason = self._bury(worker, folder, hung or reason)
        elif state != "stopped" and not hung:  # a worker that was asked to end will end
            self.idle.append(worker)
        self.failed[folder] += state in {"failed", "died"}
        if state not in {None, "stopped"}:
            early = state in FAULTS and self.watched.before_first_step(folder)
            self.alike.note(folder, reason, early=early)
        if state is None:
            self.queue.append(folder)  # `_hand_out` will see that another process works on it
        elif state == "stopped" or (state in {"failed", "died"} and self._may_retry(folder)):
            self.queue.append(folder)
        else:
            return [Finished(folder, "failed" if state in {"died", "refused"} else state, reason)]
        return []

    def _may_retry(self, folder: Path) -> bool:
        return max(self.failed[folder], faults(folder)) <= self.retries

    def _bury(self, worker: Worker, folder: Path, reason: str) -> str:
        """Record that a worker died with its cell, even if it died before it took the lease; returns the reason."""
        worker.process.join()
        code = worker.process.exitcode or 0
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        reason = reason or f"its process {how}"
        last = last_attempt(folder)
        try:
            if last is not None and last.pid == worker.process.pid and last.ended in {None, "stopped"}:
                end_attempt(last, "died", reason)
            elif (claimed := claim(folder, self.watch)) is not None:
                claimed.end("died", reason)
        except OSError as error:  # as on a full disk; the other cells go on
            logger.info("%s: that its worker died is not written down: %s", folder.name, error)
        return reason

    def _can_start(self) -> bool:
        """Whether workers start at once. A thread starts the first, which imports torch: the display goes on."""

        def start() -> None:
            try:
                self.idle.append(self._start_worker())
            except Exception as error:  # noqa: BLE001, the next one is started where its error is raised
                logger.info("the first worker did not start: %s", error)

        if self.first is None:
            self.first = threading.Thread(target=start, daemon=True)
            self.first.start()
        return not self.first.is_alive()

    def _start_worker(self) -> Worker:
        taken = {worker.slot for worker in self.running}
        slot = next(i for i in range(len(self.where)) if i not in taken)
        context = multiprocessing.get_context("forkserver")
        # A fork server imports torch and Lightning once; workers fork from it at once. It must not touch a GPU, because
        # a CUDA context does not survive a fork.
        context.set_forkserver_preload([BINDING, "lina_lab.cell.run"])
        ours, theirs = context.Pipe()
        words = (theirs, sys.argv, self.where[slot], self.group, loaded())
        with without_script(), surroundings(ENVIRONMENT):  # torch reads it once, when it is imported
            process = context.Process(target=work, args=words, daemon=True)
            process.start()
        theirs.close()
        return Worker(process, ours, slot)

    def _stop(self) -> None:
        """End idle workers by closing their connections; ask busy ones for a checkpoint, and wait for them."""
        workers = [*self.idle, *self.running]
        if self.running:
            print("stopping: the cells write a checkpoint (Ctrl-C again: at once)", file=sys.stderr, flush=True)
        for worker in self.running:
            worker.process.terminate()
        for worker in workers:
            worker.connection.close()
        try:
            for worker in workers:
                worker.process.join(GRACE_SECONDS)
        finally:
            for worker in workers:
                end_now(worker.process)

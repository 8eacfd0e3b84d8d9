"""The local engine: worker processes that keep their imports and take cell after cell, one torch thread each."""

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import NamedTuple

from lina_lab.errors import LabError
from lina_lab.ledger import write_atomic, write_state

ENVIRONMENT = {
    # With more than one thread, small models ran 10 to 50 times slower beside busy neighbours, and bits may differ.
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # A stopped worker cannot give its semaphores back, and need not: they end with the launcher.
    "PYTHONWARNINGS": "ignore:resource_tracker:UserWarning",
}

TICK_SECONDS = 0.5


class Finished(NamedTuple):
    """How a cell ended: done, diverged or failed, with the first line of the reason."""

    folder: Path
    state: str
    reason: str = ""


class Worker(NamedTuple):
    process: SpawnProcess
    connection: Connection


def run_cells(folders: Iterable[Path], num_workers: int, tick: Callable[[list[Finished]], None]) -> list[Finished]:
    """Run cells on worker processes until all have ended; one that fails or dies never stops the others.

    `tick` is called about twice a second with the cells that have just ended. Ctrl-C, or any exception of `tick`,
    stops the workers; each cell then continues from its newest checkpoint when it is started again.
    """
    waiting = list(folders)
    running: dict[Worker, Path] = {}
    ended: list[Finished] = []
    idle = [_start_worker() for _ in range(min(num_workers, len(waiting)))]
    try:
        while waiting or running:
            while waiting and (idle or len(running) < num_workers):
                worker = idle.pop() if idle else _start_worker()
                running[worker] = waiting.pop(0)
                worker.connection.send(str(running[worker]))
            new = []
            for ready in wait([w.connection for w in running], timeout=TICK_SECONDS):
                worker = next(w for w in running if w.connection is ready)
                finished = _receive(worker, running.pop(worker))
                if worker.process.is_alive():
                    idle.append(worker)
                new.append(finished)
            ended += new
            tick(new)
    finally:
        _stop(idle, list(running))
    return ended


def _start_worker() -> Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    saved = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)  # read once, when the child imports torch
    try:
        process = context.Process(target=_work, args=(theirs, sys.argv), daemon=True)
        process.start()
    finally:
        for name, value in saved.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    theirs.close()
    return Worker(process, ours)


def _receive(worker: Worker, folder: Path) -> Finished:
    """What a worker says of its cell; one that died says nothing, and its cell has failed."""
    try:
        state, reason = worker.connection.recv()
    except (EOFError, OSError):
        worker.process.join()
        reason = f"the worker process died (exit code {worker.process.exitcode}); see {folder / 'log.txt'}"
        write_state(folder, "failed", reason=reason)
        return Finished(folder, "failed", reason)
    return Finished(folder, state, reason)


def _stop(idle: list[Worker], busy: list[Worker]) -> None:
    """End the idle workers by closing their connection, the busy ones by signal."""
    for worker in busy:
        worker.process.terminate()
    for worker in [*idle, *busy]:
        worker.connection.close()
    for worker in [*idle, *busy]:
        worker.process.join(timeout=5)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()


def _work(connection: Connection, command: list[str]) -> None:
    """The life of a worker process: a cell's folder in, its end out, until the launcher is gone."""
    sys.argv = command  # provenance names the command that the user typed
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the launcher's to handle
    threading.Thread(target=_die_with_launcher, daemon=True).start()
    while True:
        try:
            folder = Path(connection.recv())
        except EOFError:
            return
        connection.send(_run(folder))


def _die_with_launcher() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run(folder: Path) -> tuple[str, str]:
    """One cell, its output in log.txt and its traceback, if it fails, in error.txt."""
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    try:
        import torch

        torch.set_num_threads(1)
        from lina_lab.training.cell import run_cell

        return run_cell(folder), ""
    except Exception as error:  # noqa: BLE001, whatever it is, it belongs to this cell alone
        text = str(error) if isinstance(error, LabError) else traceback.format_exc()
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        write_atomic(folder / "error.txt", text)
        write_state(folder, "failed", reason=reason)
        return "failed", reason

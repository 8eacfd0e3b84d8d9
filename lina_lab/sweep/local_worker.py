"""A worker process of the local engine: it keeps its imports and runs one cell after the other."""

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path

from lina_lab.config.engine import Group
from lina_lab.interpreter import search_path, write_anything
from lina_lab.logs import show_logs
from lina_lab.provenance import loaded
from lina_lab.sweep.hang import GRACE_SECONDS

logger = logging.getLogger(__name__)

OTHER_CODE = "other code"
"""What a worker answers that has loaded other code than the launcher."""


def work(connection: Connection, command: list[str], slot: Mapping[str, str], group: Group, planned_by: str) -> None:
    """The life of a worker: it receives a cell's folder and sends how the cell ended, until the launcher is gone.

    `slot` are its environment variables, `planned_by` the digest of the code that the launcher has loaded: a worker
    with other code runs nothing.
    """
    from lina_lab.signals import stop_on

    os.environ.update(slot)
    sys.path[:] = search_path()
    write_anything()
    sys.argv = command  # provenance names the command that the user typed
    # A terminal sends Ctrl-C to the whole process group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the launcher's to handle
    stop = stop_on(signal.SIGTERM)
    threading.Thread(target=_end_with_launcher, args=(stop,), daemon=True).start()
    with contextlib.suppress(EOFError, OSError):  # the launcher is gone
        while not stop.is_set():
            folder, until = connection.recv()
            if loaded() != planned_by:
                connection.send((OTHER_CODE, ""))
                return
            try:
                connection.send(_run(Path(folder), stop, slot, until, group))
            except BrokenPipeError:
                raise
            except OSError as error:  # such as a full disk: how the cell ended could not be written down
                connection.send(("died", str(error)))
                return


def _end_with_launcher(stop: threading.Event) -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        stop.set()
        threading.Event().wait(GRACE_SECONDS)  # for a checkpoint; then even a worker that hangs must end
        os._exit(1)


def _run(
    folder: Path, stop: threading.Event, slot: Mapping[str, str], until: int, group: Group
) -> tuple[str | None, str]:
    """One attempt at a cell, its output in log.txt."""
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    where = "".join(f", {name}={value}" for name, value in slot.items())
    show_logs(logging.DEBUG)
    logger.info("process %d%s", os.getpid(), where)
    import torch

    from lina_lab.cell.attempt import attempt_cell

    torch.set_num_threads(1)
    return attempt_cell(folder, stop, until, group)

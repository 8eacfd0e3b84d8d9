"""One attempt at a cell: claim it, run it, say how that ended. What every engine starts in its processes."""

import faulthandler
import signal
import threading
import traceback
from pathlib import Path
from types import FrameType

from lina_lab.claims import End, Watch, claim
from lina_lab.config.engine import ALONE, Group
from lina_lab.errors import LabError
from lina_lab.escape import writable
from lina_lab.files import write_atomic
from lina_lab.ledger import is_done, read_result, read_state, write_state

STACKS = signal.SIGUSR2
"""A process of a cell that gets it writes the stacks of all its threads to its standard error: the cell's log.txt."""
STARTING = "starting"
"""The phase of a cell from its claim to its first step."""


def attempt_cell(folder: Path, stop: threading.Event, until: int = 0, group: Group = ALONE) -> tuple[End | None, str]:
    """Run a cell as far as it goes: how the attempt ended and why; None if another process works on it.

    When `stop` is set the cell writes a checkpoint and ends as `stopped`; at step `until`, as `paused`.

    Raises:
        OSError: if the end cannot be written down, as on a full disk. The process should end then: its cell counts
            as taken while it lives.
    """
    write_stacks_on_signal()
    claimed = claim(folder, Watch())
    if claimed is None:
        return None, ""
    with claimed:
        ended, reason = _run(folder, stop, until, group)
        claimed.end(ended, reason)
        return ended, reason


def _run(folder: Path, stop: threading.Event, until: int, group: Group) -> tuple[End, str]:
    if is_done(folder):
        return read_result(folder)["state"], ""
    try:
        write_state(folder, phase=STARTING, **{k: v for k, v in read_state(folder).items() if k in {"step", "steps"}})
        from lina_lab.training.cell import run_cell

        return run_cell(folder, stop, until, group), ""
    except Exception as error:  # noqa: BLE001, whatever it is, it belongs to this cell alone
        expected = isinstance(error, LabError)
        write_atomic(folder / "error.txt", str(error) if expected else writable(traceback.format_exc()))
        reason = str(error) if expected else writable(f"{type(error).__name__}: {error}")
        return "refused" if expected else "failed", reason.splitlines()[0]


def stop_on(number: signal.Signals) -> threading.Event:
    """An event that a signal sets, however often it comes: a cancelled SLURM job and its launcher both send it."""
    event = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001, the signature of a handler
        event.set()

    signal.signal(number, handle)
    return event


def write_stacks_on_signal() -> None:
    """Also of a process that hangs: no Python runs for it."""
    faulthandler.register(STACKS, file=2, all_threads=True)

"""One attempt at a cell: claim it, run it, say how that ended. What every engine starts in its processes."""

import threading
import traceback
from pathlib import Path

from lina_lab.config.engine import ALONE, Group
from lina_lab.errors import LabError
from lina_lab.escape import writable
from lina_lab.files import write_atomic
from lina_lab.ledger.leases import End, Watch, claim
from lina_lab.ledger.result import is_done, read_result
from lina_lab.ledger.status import read_status, write_state
from lina_lab.signals import write_stacks_on_signal

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
        return read_result(folder).state, ""
    try:
        before = read_status(folder)
        known = {} if before.steps is None else {"step": before.step, "steps": before.steps}
        write_state(folder, phase=STARTING, **known)
        from lina_lab.cell.run import run_cell

        return run_cell(folder, stop, until, group), ""
    except Exception as error:  # noqa: BLE001, whatever it is, it belongs to this cell alone
        expected = isinstance(error, LabError)
        write_atomic(folder / "error.txt", str(error) if expected else writable(traceback.format_exc()))
        reason = str(error) if expected else writable(f"{type(error).__name__}: {error}")
        return "refused" if expected else "failed", reason.splitlines()[0]

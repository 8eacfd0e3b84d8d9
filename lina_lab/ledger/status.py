"""The state of a cell: a valid result decides it; without one, its last attempt does."""

import json
import time
from pathlib import Path
from typing import Any, Literal

from lina_lab.config.sweep import Scalar
from lina_lab.errors import LabError
from lina_lab.files import write_atomic
from lina_lab.ledger.leases import FAULTS, LEASE_SECONDS, Attempt, Watch, faults, last_attempt
from lina_lab.ledger.result import read_result

State = Literal["waiting", "running", "done", "diverged", "pruned", "failed"]
ENDED = ("done", "diverged", "pruned")
"""States of cells that will not go on."""
WAITING = {"stopped": "stopped; it will continue", "paused": "paused until its pruner has seen the other trials"}
"""Ends of an attempt after which the cell goes on, and why it waits."""


def write_state(folder: Path, **details: Scalar) -> None:
    """Say how far the cell is: `phase`, `step`, `steps`, `loss`, `seconds_left` and the like."""
    write_atomic(folder / "state.json", json.dumps({**details, "time": time.time()}))


def read_state(folder: Path) -> dict[str, Any]:
    """The cell's `state`, with `reason` and `attempt` where there are any, and what state.json says of its progress.

    A valid result decides; without one, the last attempt does.
    """
    try:
        details = dict(json.loads((folder / "state.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        details = {}
    attempt = last_attempt(folder)
    if attempt is not None:
        details |= {"attempt": attempt.number, "host": attempt.host, "job": attempt.job}
    if (folder / "result.json").exists():
        try:
            return details | {"state": read_result(folder)["state"]}
        except LabError as error:
            return details | {"state": "failed", "reason": str(error)}
    if attempt is None:
        return {"state": "waiting"}
    state, reason = _state_of(folder, attempt)
    return details | {"state": state, "reason": reason}


def _state_of(folder: Path, attempt: Attempt) -> tuple[State, str]:
    """What an attempt without a result means: the state, and why it is so."""
    if attempt.ended in FAULTS:
        if attempt.forgiven:
            return "waiting", "to be tried again"
        count = faults(folder)
        return "failed", attempt.reason if count == 1 else f"{attempt.reason} (failed {count} times)"
    if attempt.ended == "pruned":
        return "pruned", attempt.reason
    if attempt.ended in WAITING:
        return "waiting", WAITING[attempt.ended]
    if attempt.ended is not None or Watch().is_over(attempt):
        return "waiting", f"its process on {attempt.host or 'an unknown host'} is gone; it will continue"
    silent = time.time() - attempt.path.stat().st_mtime
    return "running", f"no sign of life from {attempt.host} for {silent:.0f} s" if silent > LEASE_SECONDS else ""

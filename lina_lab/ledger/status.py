"""The state of a cell: a valid result decides it; without one, its last attempt does."""

import json
import time
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

from lina_lab.config.sweep import Scalar
from lina_lab.errors import LabError
from lina_lab.files import write_atomic
from lina_lab.ledger.leases import FAULTS, LEASE_SECONDS, Attempt, Watch, faults, last_attempt
from lina_lab.ledger.result import Result, read_result

State = Literal["waiting", "running", "done", "diverged", "pruned", "failed"]
ENDED = ("done", "diverged", "pruned")
"""States of cells that will not go on."""
WAITING = {"stopped": "stopped; it will continue", "paused": "paused until its pruner has seen the other trials"}
"""Ends of an attempt after which the cell goes on, and why it waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellStatus:
    """How a cell is. How far it is, from `phase` on, is what state.json says; nothing is decided from that."""

    state: State
    reason: str | None = None
    """Why it is so, where anything tells; may be empty."""
    attempt: int | None = None
    """The number of its last attempt; None before the first."""
    host: str = ""
    job: str = ""
    phase: str = ""
    step: int = 0
    steps: int | None = None
    """Of its training, once it has told."""
    loss: float | None = None
    step_seconds: float | None = None
    """Of one step of its phase."""
    seconds_left: float | None = None
    """Of its phase."""
    images: int | None = None
    """Drawn."""
    num_images: int | None = None
    share: float = 0.0
    """Of the images that are drawn."""
    time: float | None = None
    """When it told, in Unix seconds."""


TOLD = [field.name for field in fields(CellStatus) if field.name not in {"state", "reason", "attempt", "host", "job"}]
"""Fields that state.json has."""


def write_state(folder: Path, **details: Scalar) -> None:
    """Say how far the cell is: `phase`, `step`, `steps`, `loss`, `seconds_left` and the like."""
    write_atomic(folder / "state.json", json.dumps({**details, "time": time.time()}))


def read_status(folder: Path) -> CellStatus:
    """The status of a cell: a valid result decides its state; without one, the last attempt does."""
    return read_cell(folder)[0]


def read_cell(folder: Path) -> tuple[CellStatus, Result | None]:
    """The status of a cell, and its result if it has a valid one."""
    attempt = last_attempt(folder)
    if (folder / "result.json").exists():
        try:
            result = read_result(folder)
        except LabError as error:
            return _status(folder, attempt, "failed", str(error)), None
        return _status(folder, attempt, result.state), result
    if attempt is None:
        return CellStatus(state="waiting"), None
    return _status(folder, attempt, *_state_of(folder, attempt)), None


def _status(folder: Path, attempt: Attempt | None, state: State, reason: str | None = None) -> CellStatus:
    try:
        told = dict(json.loads((folder / "state.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        told = {}
    known = {name: told[name] for name in TOLD if name in told}
    status = CellStatus(state=state, reason=reason, **known)
    return status if attempt is None else replace(status, attempt=attempt.number, host=attempt.host, job=attempt.job)


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

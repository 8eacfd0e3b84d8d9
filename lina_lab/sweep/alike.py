"""Notice cells that fail one after the other with the same error before their first step: a broken environment."""

import logging
import re
from pathlib import Path

from lina_lab.errors import LabError
from lina_lab.ledger.leases import attempts, end_attempt

logger = logging.getLogger(__name__)

MOST = 3
"""Cells in a row that may fail alike."""
FROM_OUTSIDE = "was killed by SIGKILL"
"""An end that says nothing about the cell or its environment."""


class FailedAlike(LabError):
    """`MOST` cells in a row failed with the same error: their `folders`, and the `reason` of the last."""

    def __init__(self, folders: list[Path], reason: str) -> None:
        super().__init__(f"{len(folders)} cells in a row failed with the same error before their first step: {reason}")
        self.folders, self.reason = folders, reason


class Alike:
    """The latest run of cells that failed before their first step with the same error."""

    def __init__(self) -> None:
        self.error, self.reasons = "", dict[Path, str]()

    def note(self, folder: Path, reason: str, *, early: bool) -> None:
        """Note the end of an attempt; `early`: it failed before its first step."""
        if reason.endswith(FROM_OUTSIDE):
            return
        error = _without_numbers(reason, folder) if early else ""
        if error != self.error:
            self.error, self.reasons = error, {}
        if early:
            self.reasons[folder] = reason

    def check(self) -> None:
        """Stop a sweep in which too many cells failed alike.

        Raises:
            FailedAlike: their failures are forgiven first, since they are not the cells' own.
        """
        if len(self.reasons) < MOST:
            return
        for folder in self.reasons:
            self._forgive(folder)
        raise FailedAlike(list(self.reasons), list(self.reasons.values())[-1])

    def _forgive(self, folder: Path) -> None:
        for attempt in reversed(attempts(folder)):
            if not attempt.is_fault or _without_numbers(attempt.reason, folder) != self.error:
                return
            try:
                end_attempt(attempt._replace(forgiven=True), attempt.ended or "failed", attempt.reason)
            except OSError as error:  # as on a full disk
                logger.info("%s: the failure counts as the cell's own: %s", folder, error)
                return


def _without_numbers(reason: str, folder: Path) -> str:
    """An error message without the cell's name and without numbers, such as addresses and process ids."""
    return re.sub(r"0x[0-9a-f]+|\d+", "#", reason.replace(str(folder), "").replace(folder.name, ""))

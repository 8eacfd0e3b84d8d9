"""Where the last report of a sweep lies, and what it says in short.

runs/sweeps/<name>.report.json
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lina_lab.files import write_atomic
from lina_lab.ledger.plan import Plan


class ReportPlace(NamedTuple):
    """A report that was written: of which plan, where, and its verdict."""

    plan: str
    """The id of the plan that it is of."""
    folder: Path
    verdict: Sequence[str]
    """What it says first, a line each."""

    @property
    def page(self) -> Path:
        return self.folder / "index.html"


def note_report(runs: Path, plan: Plan, folder: Path, verdict: Sequence[str]) -> None:
    """Write down where a report lies."""
    body = {"plan": plan.id, "folder": os.path.relpath(folder.resolve(), runs.resolve()), "verdict": list(verdict)}
    write_atomic(_path(runs, plan), json.dumps(body, indent=1))


def report_of(runs: Path, plan: Plan) -> ReportPlace | None:
    """The last report of a plan; None if none was written, if it is gone, or if nobody can tell where it lies."""
    try:
        body = json.loads(_path(runs, plan).read_text(encoding="utf-8"))
        found = ReportPlace(body["plan"], runs.resolve() / body["folder"], [str(line) for line in body["verdict"]])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if found.plan == plan.id and found.page.exists() else None


def _path(runs: Path, plan: Plan) -> Path:
    return runs / "sweeps" / f"{plan.base}.report.json"

"""A report that its sweep's run in MLflow holds as well."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lina_lab.ledger.plan import Plan


def write_tracked(runs: Path, plan: "Plan", out: Path, show: Callable[[float], None], *, tracking: bool) -> Path:
    """Write a report, keep in the ledger where it lies, and bring it to MLflow where that has the sweep: its page.

    Raises:
        LabError: if there is nothing to report yet; never for MLflow.
    """
    from lina_lab.ledger.report_place import note_report
    from lina_lab.report.page import write_report
    from lina_lab.tracking.shipper import ship_report

    said: list[str] = []

    def tell(line: str) -> None:
        said.append(line)
        print(line)

    page = write_report(runs, plan, out, show, tell)
    note_report(runs, plan, page.parent, [line for line in said if not line.startswith("moved to ")])
    shipped = ship_report(runs, plan) if tracking else ""
    if shipped:
        print(shipped)
    return page

"""The results table as MLflow holds it: from the files that were shipped, so it equals the ledger's."""

from pathlib import Path
from typing import Any

import pandas as pd

from lina_lab.analysis.table import table_of
from lina_lab.errors import LabError
from lina_lab.ledger.plan import Plan, PlannedCell, parse_plan
from lina_lab.ledger.result import Result, parse_result
from lina_lab.ledger.status import CellStatus
from lina_lab.tracking.held import search
from lina_lab.tracking.store import connect, locked, store_uri, without_password


def mlflow_table(runs: Path, name: str) -> tuple[pd.DataFrame, Plan]:
    """The results table of a sweep, and its plan; `runs` is only where the default store is.

    Raises:
        LabError: if MLflow has no such sweep, or a file in it is damaged.
    """
    with locked(runs):
        client = connect(runs)
    experiment = client.get_experiment_by_name(name)
    found = {} if experiment is None else {_key(run): run for run in search(client, experiment.experiment_id)}
    where = without_password(store_uri(runs))
    if "driver" not in found:
        raise LabError(f"{name}: no sweep of that name in {where}; lab sync brings one there from the ledger")
    plan_file = f"{name}.json"
    plan = parse_plan(_artifact(client, found["driver"].id, plan_file) or "", Path(where) / plan_file)

    def of_cell(cell: PlannedCell) -> tuple[CellStatus, Result | None]:
        run = found.get(cell.key)
        if run is None:
            return CellStatus(state="waiting"), None
        text = _artifact(client, run.id, "result.json")
        result = None if text is None else parse_result(text, Path(cell.key) / "result.json")
        return CellStatus(state=run.tags["lab.state"]), result

    return table_of(plan, of_cell), plan


def _key(run: Any) -> str:
    return str(run.tags.get("lab.key", run.tags.get("lab.role")))


def _artifact(client: Any, run: str, name: str) -> str | None:
    """The text of a file of a run; None if the run has no such file."""
    if not any(file.path == name for file in client.list_artifacts(run)):
        return None
    return Path(client.download_artifacts(run, name)).read_text(encoding="utf-8")

"""`lab table`: the results table of a sweep, from the ledger or from MLflow."""

import sys
from pathlib import Path

from lina_lab.analysis.table import results_table, write_table
from lina_lab.ledger.plan import load_plan


def export_table(name: str, out: Path, source: str, runs: Path) -> None:
    """Write the table to a file, or, as CSV, to stdout for `-`."""
    if source == "mlflow":
        from lina_lab.tracking.table import mlflow_table

        found, _ = mlflow_table(runs, name)
    else:
        found = results_table(runs, load_plan(runs, name))
    if out == Path("-"):
        found.to_csv(sys.stdout, index=False)
    else:
        write_table(found, out)
        print(f"wrote {out} ({len(found)} cells, {len(found.columns)} columns)")

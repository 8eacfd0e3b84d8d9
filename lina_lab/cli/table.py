"""`lab table`: the results of a sweep as one table, from the ledger or from MLflow."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from lina_lab.cli.options import RUNS, Runs, SweepName, out_file


def table(
    name: SweepName,
    out: Annotated[
        Path,
        typer.Option(
            callback=out_file(".csv", ".parquet"), help="File to write, .csv or .parquet; by default CSV on stdout."
        ),
    ] = Path("-"),
    source: Annotated[
        Literal["ledger", "mlflow"], typer.Option("--from", help="Where the results are read.")
    ] = "ledger",
    runs: Runs = RUNS,
) -> None:
    """Write every column of every cell of a sweep as one table; a cell has a row, and one for each point along its run.

    Example: lab table digits-quick --out digits-quick.csv
    """
    from lina_lab import study
    from lina_lab.analysis.table import write_table

    found = study.table(name, runs=runs, source=source)
    if out == Path("-"):
        found.to_csv(sys.stdout, index=False)
    else:
        write_table(found, out)
        print(f"wrote {out} ({len(found)} rows, {len(found.columns)} columns)")

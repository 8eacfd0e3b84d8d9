"""Options that commands of several files share."""

from pathlib import Path
from typing import Annotated

import typer

Runs = Annotated[Path, typer.Option(envvar="LAB_RUNS", help="Folder of the ledger.")]
CellName = Annotated[str, typer.Argument(metavar="CELL", help="Key, start of a key, or folder of a cell.")]
SweepName = Annotated[str, typer.Argument(metavar="SWEEP", help="Name of a sweep that has run, or its YAML file.")]
Setting = Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change a value by its dotted path.")]
RUNS = Path("runs")

"""`lab export`: a cell's weights under the names of the published code."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from lina_lab.cli.options import RUNS, CellName, Runs, out_folder


def export(
    cell: CellName,
    out: Annotated[Path, typer.Argument(callback=out_folder, help="A new folder.")],
    dtype: Annotated[Literal["fp32", "bf16", "fp16"], typer.Option(help="Type of every tensor.")] = "fp32",
    runs: Runs = RUNS,
) -> None:
    """Write a cell's weights under the names of the published code.

    What has no name there is refused. Of an imported cell the tensors are those of its checkpoint.

    Example: lab export 3f2a90 exported --dtype bf16
    """
    from lina_lab.ledger.cells import find_cell
    from lina_lab.published.export_cell import WEIGHTS, export_cell

    folder = find_cell(runs, cell)
    count = export_cell(folder, out, dtype)
    print(f"wrote {count} tensors to {out / WEIGHTS}")

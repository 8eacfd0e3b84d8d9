"""The command `lab compare`; it stands beside the others' file, which is full."""

from pathlib import Path
from typing import Annotated

import typer


def compare(
    table: Annotated[Path, typer.Argument(metavar="TABLE.csv", help="A row a cell, e.g. table.csv of a report.")],
    y: Annotated[str, typer.Option("--y", help="Column to compare, e.g. fid: lower is better.")],
    by: Annotated[list[str], typer.Option("--by", help="Column that makes a design; give it again for more.")],
    a: Annotated[str, typer.Option("--a", help="Design A: its value of every --by, in their order, e.g. division,5.")],
    b: Annotated[str, typer.Option("--b", help="Design B.")],
    x: Annotated[str, typer.Option("--x", help="Column of size.")] = "parameters",
    pair: Annotated[str | None, typer.Option(help="What a pair shares besides its size; by default seed.")] = None,
    lr_tuned: Annotated[bool, typer.Option("--lr-tuned", help="Learning rates had equal tuning budgets.")] = False,
    higher: Annotated[bool, typer.Option("--higher-is-better", help="Higher values of --y are better.")] = False,
    comparisons: Annotated[int, typer.Option(min=1, help="Pairs of designs that you look at: wider intervals.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """Say which of two designs is better, and which scales better.

    Cells are paired by size and seed. The ratio A / B is given at every size, with its trend and what two forms predict
    at 4 times the largest size. A claim that the table cannot bear is undetermined, with every reason.
    """
    from lina_lab.analysis.pairing import Columns
    from lina_lab.analysis.verdict import Options
    from lina_lab.cli.comparing import print_comparison

    options = Options(lr_tuned, higher, comparisons)
    print_comparison(table, Columns(x, y, tuple(by), pair), a, b, options, as_json=as_json)

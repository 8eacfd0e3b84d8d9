"""Commands on the results of a sweep, or of anybody's table. Heavy imports stand inside the command that needs them."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from lina_lab.cli.options import RUNS, Runs, SweepName, out_file, out_folder


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
    """Write every column of every cell of a sweep as one table."""
    from lina_lab.cli.tables import export_table

    export_table(name, out, source, runs)


def report(
    name: SweepName,
    out: Annotated[
        Path | None, typer.Option(callback=out_folder, help="Folder to write; by default reports/SWEEP.")
    ] = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="Also report.pdf, printed by an installed Chromium.")] = False,
    runs: Runs = RUNS,
) -> None:
    """Write the verdict, tables, figures and page of a sweep."""
    from lina_lab.cli.show import ShareDone
    from lina_lab.figures.report import write_report
    from lina_lab.ledger.plan import load_plan

    plan = load_plan(runs, name)
    page = write_report(runs, plan, out or Path("reports") / plan.name, ShareDone("comparing pairs of designs"), print)
    print(f"wrote {page}")
    if pdf:
        from lina_lab.cli.printing import print_page

        print(f"wrote {print_page(page)}")


def notebook(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of analysis/, or its start; or a file.")],
    sweep: Annotated[str, typer.Argument(metavar="SWEEP", help="Name of a sweep with a report, or its folder.")],
) -> None:
    """Run a notebook on the report of a sweep.

    It is saved, with what it shows, beside the report.
    """
    from lina_lab.cli.notebooks import run_notebook

    print(f"wrote {run_notebook(name, sweep)}")


def fit(
    file: Annotated[Path, typer.Argument(metavar="TABLE", help="CSV, JSON lines or Parquet.")],
    x: Annotated[str, typer.Option(metavar="COLUMN", help="Size, e.g. parameters.")],
    y: Annotated[str, typer.Option(metavar="COLUMN", help="What is fitted, e.g. eval/fid/digits-cnn.")],
    by: Annotated[list[str], typer.Option(metavar="COLUMN", help="Fit each value by itself; may be repeated.")] = [],  # noqa: B006
    form: Annotated[
        Literal["power", "offset", "surface"] | None, typer.Option(help="By default power, offset.")
    ] = None,
    d: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Second size of a surface, e.g. samples_seen.")
    ] = None,
    holdout_largest: Annotated[
        bool, typer.Option("--holdout-largest", help="Predict the largest x without it.")
    ] = False,
    drop_missing: Annotated[
        bool, typer.Option("--drop-missing", help="Leave out rows where x, y or d is missing or a word.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Fit scaling curves to a table, with intervals.

    power: A x^-alpha; offset: E + A x^-alpha; surface: E + A x^-alpha + B d^-beta. Parameters minimise the sum of
    Huber(1e-3) of log residuals; 95 % intervals are profiles, of least squares for curves and of that sum for surfaces.
    They suppose a curve's noise to be alike at all sizes; a surface's may go with size. A low end of 0 in E's interval,
    or null, says: E not identified. An end without a limit is null in JSON; "at_bound" names what a bound of the search
    set, "notes" what must be said beside the numbers; "holdout" is null unless asked for and possible.
    """
    from lina_lab.cli.fitting import FitRequest, fit_table

    fit_table(FitRequest(file, x, y, d, by, form, holdout_largest, drop_missing), as_json=as_json)


def compare(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="A row a cell, e.g. table.csv of a report.")],
    y: Annotated[str, typer.Option("--y", help="Column to compare, e.g. fid: lower is better.")],
    by: Annotated[list[str], typer.Option("--by", help="Column that makes a design; give it again for more.")],
    a: Annotated[str, typer.Option("--a", help="Design A: its value of every --by, in their order, e.g. division,5.")],
    b: Annotated[str, typer.Option("--b", help="Design B.")],
    x: Annotated[str, typer.Option("--x", help="Column of size.")] = "parameters",
    pair: Annotated[str | None, typer.Option(help="What a pair shares besides its size; by default seed.")] = None,
    lr_tuned: Annotated[bool, typer.Option("--lr-tuned", help="Learning rates had equal tuning budgets.")] = False,
    higher: Annotated[bool, typer.Option("--higher-is-better", help="Higher values of --y are better.")] = False,
    comparisons: Annotated[int, typer.Option(min=1, help="Pairs of designs that you look at: wider intervals.")] = 1,
    drop_missing: Annotated[
        bool, typer.Option("--drop-missing", help="Leave out rows where x or y is missing or a word.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """Say which of two designs is better, and which scales better.

    Cells are paired by size and seed. The ratio A / B is given at every size, with its trend and what two forms predict
    at 4 times the largest size. A claim that the table cannot bear is undetermined, with every reason.
    """
    from lina_lab.analysis.comparison import CompareOptions
    from lina_lab.analysis.match_cells import Columns
    from lina_lab.cli.comparing import print_comparison

    options = CompareOptions(lr_tuned, higher, comparisons)
    print_comparison(table, Columns(x, y, tuple(by), pair), a, b, options, drop_missing=drop_missing, as_json=as_json)

"""`lab fit`: scaling curves through a table of results."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from lina_lab.cli.options import AsJson


def fit(
    file: Annotated[Path, typer.Argument(metavar="TABLE", help="CSV, JSON lines or Parquet.")],
    x: Annotated[str, typer.Option(metavar="COLUMN", help="Size, e.g. parameters.")],
    y: Annotated[str, typer.Option(metavar="COLUMN", help="What is fitted, e.g. eval/fid/digits-cnn.")],
    by: Annotated[list[str], typer.Option(metavar="COLUMN", help="Fit each value by itself; may be repeated.")] = [],  # noqa: B006
    form: Annotated[
        Literal["power", "offset", "surface"] | None,
        typer.Option(help="Form of the curve; by default power and offset, one after the other."),
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
    as_json: AsJson = False,
) -> None:
    """Fit scaling curves to a table, with intervals. Points along a run are taken where x or d is a length.

    power: A x^-alpha; offset: E + A x^-alpha; surface: E + A x^-alpha + B d^-beta. Parameters minimise the sum of
    Huber(1e-3) of log residuals; 95 % intervals are profiles, of least squares for curves and of that sum for surfaces.
    They suppose a curve's noise to be alike at all sizes; a surface's may go with size. A low end of 0 in E's interval,
    or null, says: E not identified. An end without a limit is null in JSON; "at_bound" names what a bound of the search
    set, "notes" what must be said beside the numbers; "holdout" is null unless asked for and possible.

    Example: lab fit table.csv --x params --y fid --by variant --holdout-largest
    """
    from lina_lab.cli.fit_table import FitRequest, fit_table

    request = FitRequest(
        file=file,
        x=x,
        y=y,
        d=d,
        by=by,
        form=form,
        holdout_largest=holdout_largest,
        drop_missing=drop_missing,
    )
    fit_table(request, as_json=as_json)

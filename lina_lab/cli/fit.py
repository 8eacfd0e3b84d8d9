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
        bool, typer.Option("--holdout-largest", help="Predict each x (and d) from all smaller ones, the largest last.")
    ] = False,
    joint: Annotated[
        bool, typer.Option("--joint", help="All groups with one floor: what each needs beside the first.")
    ] = False,
    drop_missing: Annotated[
        bool, typer.Option("--drop-missing", help="Leave out rows where x, y or d is missing or a word.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Fit scaling curves to a table, with intervals. Points along a run are taken where x or d is a length.

    power: A x^-alpha; offset: E + A x^-alpha; surface: E + A x^-alpha + B d^-beta. Parameters minimise a loss
    of log residuals: least squares up to six points, the sum of Huber(1e-3) of more ("loss"; "objective" is its value).
    95 % intervals are profiles, of least squares for curves and of the loss itself for surfaces.
    They suppose a curve's noise to be alike at all sizes; a surface's may go with size. A low end of 0 in E's interval,
    or null, says: E not identified. An end without a limit is null in JSON; "at_bound" names what a bound of the search
    set, "notes" what must be said beside the numbers; "holdout" (the largest x) and
    "rolling" (every size of x, and of d, from all smaller ones) are null and empty unless asked for and possible.

    --joint fits offset (surface with --d) to all groups together, by least squares: one floor, shared exponents, and
    how many times the x and d of the first group each needs, against an exponent of its own.

    Example: lab fit table.csv --x params --y fid --by variant --holdout-largest
    """
    from lina_lab.cli.fit_joint import fit_joint
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
    (fit_joint if joint else fit_table)(request, as_json=as_json)

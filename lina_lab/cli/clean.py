"""`lab clean`: list what is not needed, ask, and remove it."""

from typing import Annotated

import typer

from lina_lab.cli.options import RUNS, Runs


def clean(
    names: Annotated[list[str] | None, typer.Argument(metavar="[SWEEP]...", help="Only cells of these sweeps.")] = None,
    cell: Annotated[
        list[str] | None, typer.Option(metavar="CELL", help="Remove this cell with its result; again for more.")
    ] = None,
    ends: Annotated[bool, typer.Option("--ends", help="End states that are kept for longer trainings, too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    runs: Runs = RUNS,
) -> None:
    """List what is not needed and why, ask, and remove it.

    That is: checkpoints of cells with a result, damaged files set aside, and cells of no plan, of today or earlier,
    that were never trained to their end. Results stay, and all that they need; only --cell removes one. End states
    that longer trainings can go on from (checkpoint.keep_end) go with --ends.

    Example: lab clean digits-quick

    Example: lab clean --cell 3f2a90c1d5e7
    """
    from lina_lab.cli.clean_ledger import clean_up

    clean_up(runs, names or [], cell or [], sure=yes, with_ends=ends)

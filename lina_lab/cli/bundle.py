"""`lab bundle`: finished cells of a sweep as one file, for a ledger on another machine."""

from pathlib import Path
from typing import Annotated

import typer

from lina_lab.cli.options import RUNS, Runs, SweepName, Where, out_file


def bundle(
    name: SweepName,
    out: Annotated[
        Path | None,
        typer.Option(callback=out_file(".gz"), help="File to write, .tar.gz; by default SWEEP.bundle.tar.gz."),
    ] = None,
    where: Where = [],  # noqa: B006, typer reads it
    runs: Runs = RUNS,
) -> None:
    """Pack the finished cells of a sweep, without weights, into one checked file that lab merge adds to a ledger.

    Results, curves, evaluations and trials, and of the first seed the pictures and gates that a report shows: a report
    made where it is merged is the same. Cells that have not ended are left out.

    Example: lab bundle digits

    Example: lab bundle digits --where seed=0,1 --where model.size=nano
    """
    from lina_lab import study
    from lina_lab.cli.console import human

    path, packed = study.bundle(name, out, where, runs=runs)
    trials = f" and {packed.trials} trials" if packed.trials else ""
    left = f"; {packed.unfinished} have not ended and are left out" if packed.unfinished else ""
    print(f"wrote {path}: {packed.cells} cells{trials} of {packed.plan}, {human(packed.bytes)}{left}")

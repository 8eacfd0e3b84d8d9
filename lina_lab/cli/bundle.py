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
    from lina_lab.bundle.pack import pack
    from lina_lab.cli.console import human
    from lina_lab.ledger.part import parse_part
    from lina_lab.ledger.plan import load_plan

    plan = load_plan(runs, name)
    path = out or Path(f"{plan.name}.bundle.tar.gz")
    packed = pack(runs, plan, path, parse_part(where, plan))
    trials = f" and {packed.trials} trials" if packed.trials else ""
    left = f"; {packed.unfinished} have not ended and are left out" if packed.unfinished else ""
    print(f"wrote {path}: {packed.cells} cells{trials} of {plan.key}, {human(packed.bytes)}{left}")

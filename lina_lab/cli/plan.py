"""`lab plan`: which study would decide, from a pilot's spread, gap and seconds."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lina_lab.cli.options import RUNS, AsJson, Runs, Setting, Workers, above_zero, out_file


def plan(
    file: Annotated[Path, typer.Argument(metavar="SWEEP", help="A sweep's YAML file.")],
    budget: Annotated[
        Any,
        typer.Option(
            parser=above_zero, metavar="HOURS", help="Hours of wall time for cells that are not done; else the sweep's."
        ),
    ] = None,
    pilot: Annotated[
        str | None,
        typer.Option(metavar="SWEEP|TABLE", help="Whose cells tell; by default those of the sweep that are done."),
    ] = None,
    about: Annotated[
        str | None, typer.Option(metavar="AXIS[=VALUE]", help="Plan for these comparisons; by default for all.")
    ] = None,
    claim: Annotated[
        Literal["better", "scales"], typer.Option(help="What shall be decided: better at the largest size, or scales.")
    ] = "better",
    max_seeds: Annotated[int, typer.Option(min=2, max=50, help="Most seeds of a study.")] = 10,
    workers: Workers = None,
    settings: Setting = [],  # noqa: B006, typer reads it
    out: Annotated[
        Path | None, typer.Option(callback=out_file(".yaml", ".yml"), help="Write the study's YAML to a new file.")
    ] = None,
    as_json: AsJson = False,
    runs: Runs = RUNS,
) -> None:
    """Plan the cheapest study that would decide, and print its YAML.

    Studies are simulated from what the pilot shows and leaves open, and judged by the rules of the report. Power is the
    share of comparisons that a study is expected to decide for the design that is ahead; 0.8 is enough. Nothing is run.

    Example: lab plan sweeps/first.yaml --budget 2 --out planned.yaml

    Example: lab plan sweeps/digits.yaml --pilot table.csv
    """
    from lina_lab.cli.plan_answer import PlanRequest
    from lina_lab.cli.plan_study import plan_study

    request = PlanRequest(
        file=file,
        budget=budget,
        pilot=pilot,
        about=about,
        claim=claim,
        max_seeds=max_seeds,
        workers=workers,
        settings=settings,
        out=out,
        runs=runs,
    )
    plan_study(request, as_json=as_json)

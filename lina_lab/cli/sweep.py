"""`lab sweep`: run every cell of a sweep without a result."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from lina_lab.cli.options import (
    GPU_TFLOPS,
    RETRIES,
    RUNS,
    DryRun,
    EngineName,
    KeepGoing,
    MaxCells,
    OptionalDevices,
    OptionalHangMinutes,
    OptionalNodes,
    OptionalPerGpu,
    Retries,
    Runs,
    Setting,
    StrategyName,
    Tflops,
    Timing,
    Tracking,
    Where,
    Workers,
)


def sweep(
    file: Annotated[Path, typer.Argument(help="A sweep, e.g. sweeps/digits-quick.yaml.")],
    settings: Setting = [],  # noqa: B006, typer reads it
    where: Where = [],  # noqa: B006, typer reads it
    engine: EngineName = None,
    workers: Workers = None,
    per_gpu: OptionalPerGpu = None,
    devices: OptionalDevices = None,
    num_nodes: OptionalNodes = None,
    strategy: StrategyName = None,
    retries: Retries = RETRIES,
    hang_minutes: OptionalHangMinutes = None,
    keep_going: KeepGoing = False,
    dry_run: DryRun = False,
    timing: Timing = True,
    tflops: Tflops = GPU_TFLOPS,
    max_cells: MaxCells = None,
    tracking: Tracking = True,
    runs: Runs = RUNS,
) -> None:
    """Run every cell of a sweep without a result.

    A cell is trained, sampled and evaluated. A sweep that was stopped continues. With --set that changes cells, plan
    and report have a name of their own, as gates-steps-600. An earlier plan of the same name is kept; lab status
    names it. With --where only a part of the cells runs here: lab bundle and lab merge bring the parts together.

    Example: lab sweep sweeps/digits-quick.yaml

    Example: lab sweep sweeps/digits.yaml --where seed=0,1 --dry-run
    """
    from lina_lab import study
    from lina_lab.cli.launch import engine_slots, exit_code
    from lina_lab.study_options import EngineOptions

    planned = study.planned(file, settings, where, runs=runs, max_cells=max_cells, dry_run=dry_run)
    options: EngineOptions = {
        "name": engine,
        "workers": workers,
        "per_gpu": per_gpu,
        "devices": devices,
        "num_nodes": num_nodes,
        "strategy": strategy,
        "hang_minutes": hang_minutes,
    }
    if dry_run:
        from lina_lab.cli.dry_run import print_plan
        from lina_lab.config.sweep import chosen_engine

        chosen = chosen_engine(planned.engine, **options)
        group = chosen.group if chosen.name == "local" else None
        print_plan(planned, runs, engine_slots(chosen), group, timing=timing, tflops=tflops)
        return
    run = partial(
        study.run_planned, planned, runs=runs, retries=retries, tracking=tracking, keep_going=keep_going, **options
    )
    raise typer.Exit(exit_code(run))

"""`lab train`: train, sample and evaluate one experiment."""

from pathlib import Path
from typing import Annotated

import typer

from lina_lab.cli.options import (
    GPU_TFLOPS,
    RUNS,
    Devices,
    DryRun,
    Runs,
    Setting,
    StrategyName,
    Tflops,
    Timing,
    Tracking,
)


def train(
    experiment: Annotated[Path, typer.Argument(help="An experiment, e.g. experiments/digits.yaml.")],
    settings: Setting = [],  # noqa: B006, typer reads it
    devices: Devices = 1,
    strategy: StrategyName = "ddp",
    dry_run: DryRun = False,
    timing: Timing = True,
    tflops: Tflops = GPU_TFLOPS,
    tracking: Tracking = True,
    runs: Runs = RUNS,
) -> None:
    """Train, sample and evaluate one experiment.

    Example: lab train experiments/digits.yaml --set training.steps=300
    """
    from lina_lab.cli.launch import exit_code, launch
    from lina_lab.cli.planning import planned_experiment
    from lina_lab.config.engine import EngineConfig

    planned = planned_experiment(experiment, settings, runs, dry_run=dry_run)
    engine = EngineConfig(workers=1, devices=devices, strategy=strategy or "ddp")
    if dry_run:
        from lina_lab.cli.dry_run import print_plan

        print_plan(planned, runs, [{}], engine.group, timing=timing, tflops=tflops)
        return
    caching = ["lab", "cache", str(experiment), *(word for setting in settings for word in ("--set", setting))]
    raise typer.Exit(exit_code(lambda: launch(planned, runs, engine, retries=0, tracking=tracking, caching=caching)))

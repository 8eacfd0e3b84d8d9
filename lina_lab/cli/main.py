"""The command line: parse, call one function, print. Heavy imports stand inside the command that needs them."""

from pathlib import Path
from typing import Annotated

import typer

from lina_lab.cli.about import axes, doctor, size
from lina_lab.cli.caching import cache
from lina_lab.cli.demo import demo
from lina_lab.cli.ending import run
from lina_lab.cli.evaluating import evaluate, guidance, reference
from lina_lab.cli.figures import figures_app
from lina_lab.cli.geneval import geneval_app
from lina_lab.cli.options import (
    GPU_TFLOPS,
    RETRIES,
    RUNS,
    CellName,
    Devices,
    DryRun,
    EngineName,
    Guidance,
    HangMinutes,
    KeepGoing,
    MaxCells,
    OptionalDevices,
    OptionalHangMinutes,
    OptionalNodes,
    OptionalPerGpu,
    OptionalWorkers,
    PerGpu,
    Retries,
    Runs,
    Setting,
    StrategyName,
    SweepName,
    Tflops,
    Timing,
    Workers,
    out_file,
)
from lina_lab.cli.profiling import profile
from lina_lab.cli.published import export, import_weights
from lina_lab.cli.studying import compare, fit, notebook, report, table

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Ablation and scaling studies of linear-attention image generators.\n\n"
    "Start with lab sweep sweeps/digits-quick.yaml",
)


@app.command()
def sweep(
    file: Annotated[Path, typer.Argument(help="A sweep, e.g. sweeps/digits-quick.yaml.")],
    settings: Setting = [],  # noqa: B006, typer reads it
    engine: EngineName = None,
    workers: OptionalWorkers = None,
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
    tracking: Annotated[bool, typer.Option(help="Show the runs in MLflow.")] = True,
    runs: Runs = RUNS,
) -> None:
    """Run every cell of a sweep without a result.

    A cell is trained, sampled and evaluated. A sweep that was stopped continues. With --set that changes cells, plan
    and report have a name of their own, as gates-steps-600. An earlier plan of the same name is kept; lab status
    names it.
    """
    from lina_lab.cli.planning import planned_sweep
    from lina_lab.config.sweep import chosen_engine

    planned = planned_sweep(file, settings, runs, max_cells, dry_run=dry_run)
    chosen = chosen_engine(
        planned.engine,
        name=engine,
        workers=workers,
        per_gpu=per_gpu,
        devices=devices,
        num_nodes=num_nodes,
        strategy=strategy,
        hang_minutes=hang_minutes,
    )
    if dry_run:
        from lina_lab.cli.results import print_plan
        from lina_lab.cli.running import engine_slots

        group = chosen.group if chosen.name == "local" else None
        print_plan(planned, runs, engine_slots(chosen), group, timing=timing, tflops=tflops)
        return
    from lina_lab.cli.running import launch, refuse_expensive

    refuse_expensive(planned, runs, chosen)
    raise typer.Exit(launch(planned, runs, chosen, retries, tracking=tracking, keep_going=keep_going))


@app.command()
def train(
    experiment: Annotated[Path, typer.Argument(help="An experiment, e.g. experiments/digits.yaml.")],
    settings: Setting = [],  # noqa: B006
    devices: Devices = 1,
    strategy: StrategyName = "ddp",
    dry_run: DryRun = False,
    timing: Timing = True,
    tflops: Tflops = GPU_TFLOPS,
    tracking: Annotated[bool, typer.Option(help="Show the run in MLflow.")] = True,
    runs: Runs = RUNS,
) -> None:
    """Train, sample and evaluate one experiment."""
    from lina_lab.cli.planning import planned_experiment
    from lina_lab.cli.running import launch
    from lina_lab.config.engine import EngineConfig

    planned = planned_experiment(experiment, settings, runs, dry_run=dry_run)
    engine = EngineConfig(workers=1, devices=devices, strategy=strategy or "ddp")
    if dry_run:
        from lina_lab.cli.results import print_plan

        print_plan(planned, runs, [{}], engine.group, timing=timing, tflops=tflops)
        return
    caching = ["lab", "cache", str(experiment), *(word for setting in settings for word in ("--set", setting))]
    raise typer.Exit(launch(planned, runs, engine, retries=0, tracking=tracking, caching=caching))


@app.command()
def retry(
    name: SweepName,
    failed: Annotated[bool, typer.Option("--failed", help="Only failed cells, not diverged ones.")] = False,
    engine: EngineName = None,
    workers: OptionalWorkers = None,
    per_gpu: OptionalPerGpu = None,
    devices: OptionalDevices = None,
    num_nodes: OptionalNodes = None,
    strategy: StrategyName = None,
    retries: Retries = RETRIES,
    hang_minutes: OptionalHangMinutes = None,
    keep_going: KeepGoing = False,
    tracking: Annotated[bool, typer.Option(help="Show the runs in MLflow.")] = True,
    runs: Runs = RUNS,
) -> None:
    """Try failed and diverged cells of a sweep again.

    A sweep tries a cell that fails twice more by itself, and then leaves it until this command.
    """
    from lina_lab.cli.running import forgive_failed, launch
    from lina_lab.config.sweep import chosen_engine
    from lina_lab.ledger.plan import load_plan
    from lina_lab.sweep.planning import planned_again

    plan = load_plan(runs, name)
    forgive_failed(runs, plan, failed_only=failed)
    planned = planned_again(runs, plan)
    chosen = chosen_engine(
        planned.engine,
        name=engine,
        workers=workers,
        per_gpu=per_gpu,
        devices=devices,
        num_nodes=num_nodes,
        strategy=strategy,
        hang_minutes=hang_minutes,
    )
    raise typer.Exit(launch(planned, runs, chosen, retries, tracking=tracking, keep_going=keep_going))


@app.command()
def clean(
    names: Annotated[list[str] | None, typer.Argument(metavar="[SWEEP]...", help="Only cells of these sweeps.")] = None,
    cell: Annotated[
        list[str] | None, typer.Option(metavar="CELL", help="Remove this cell with its result; again for more.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    runs: Runs = RUNS,
) -> None:
    """List what is not needed and why, ask, and remove it.

    That is: checkpoints of cells with a result, damaged files set aside, and cells of no plan, of today or earlier,
    that were never trained to their end. Results stay, and all that they need; only --cell removes one.
    """
    from lina_lab.cli.cleaning import clean_up

    clean_up(runs, names or [], cell or [], sure=yes)


@app.command()
def sample(
    cell: CellName,
    out: Annotated[
        Path | None,
        typer.Option(callback=out_file(".png"), help="PNG to write; an .npz with the images is put beside it."),
    ] = None,
    labels: Annotated[str, typer.Option(help="Classes, e.g. 0,3,7; by default all.")] = "",
    prompt: Annotated[list[str], typer.Option(help="A prompt, again for more, of a cell that follows them.")] = [],  # noqa: B006
    each: Annotated[int, typer.Option(min=1, help="Images of each class or prompt.")] = 8,
    guidance: Guidance = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Autoregressive steps; by default the cell's.")] = None,
    flow_steps: Annotated[int | None, typer.Option(min=1, help="Euler steps; by default the cell's.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
    runs: Runs = RUNS,
) -> None:
    """Draw images from a trained cell."""
    from lina_lab.cli.cells import sample_cell

    changes = {"guidance_scale": guidance, "autoregressive_steps": steps, "flow_steps": flow_steps}
    sample_cell(runs, cell, out, labels, prompt, each, seed, {k: v for k, v in changes.items() if v is not None})


@app.command()
def status(name: SweepName, runs: Runs = RUNS) -> None:
    """Show the state of every cell of a sweep."""
    from lina_lab.cli.results import print_status
    from lina_lab.ledger.plan import load_plan

    print_status(load_plan(runs, name), runs)


CELLS = (evaluate, guidance, reference, profile, demo, export)
STUDIES = (table, report, notebook, fit, compare, cache, axes, size, doctor)
for command in (*CELLS, *STUDIES):
    app.command()(command)
app.command("import")(import_weights)

cell_app = typer.Typer(help="What the engines start.", no_args_is_help=True)
app.add_typer(cell_app, name="cell")
app.add_typer(figures_app, name="figures")
app.add_typer(geneval_app, name="geneval")


@cell_app.command("run")
def cell_run(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Folders of cells.")],
    sweep: Annotated[str | None, typer.Option(help="Show the cells in this sweep's MLflow experiment.")] = None,
    workers: Workers = "auto",
    per_gpu: PerGpu = 1,
    retries: Retries = RETRIES,
    hang_minutes: HangMinutes = 20,
    keep_going: KeepGoing = False,
    until: Annotated[int, typer.Option(min=0, help="Pause after this step; 0 for the end.")] = 0,
    devices: Devices = 1,
    num_nodes: Annotated[int, typer.Option(min=1, help="Nodes that train one cell together.")] = 1,
    strategy: StrategyName = "ddp",
) -> None:
    """Run cells to their end on this machine.

    Exit code 0: each has a result, or another process works on it; 75: they were asked to stop (SIGTERM, Ctrl-C) and
    will continue from a checkpoint: start them again (a SLURM job requeues itself); 1: one failed.
    """
    from lina_lab.cli.cells import run_cells
    from lina_lab.config.engine import Group, Limits

    group, limits = Group(devices, num_nodes, strategy or "ddp"), Limits(hang_minutes, keep_going)
    raise typer.Exit(run_cells(folders, sweep, workers, per_gpu, retries, until, group, limits))


@app.command()
def ui(
    name: Annotated[str | None, typer.Argument(metavar="SWEEP", help="Open this sweep's charts.")] = None,
    port: Annotated[int, typer.Option(min=1, max=65535)] = 5000,
    runs: Runs = RUNS,
) -> None:
    """Start the MLflow UI, print links to a sweep.

    It listens on this machine alone.
    """
    from lina_lab.cli.ui import serve_ui
    from lina_lab.ledger.plan import load_plan

    serve_ui(runs, load_plan(runs, name) if name else None, port)


@app.command()
def sync(name: SweepName, runs: Runs = RUNS) -> None:
    """Bring MLflow up to date with the ledger.

    It can be called at any time, and again.
    """
    from lina_lab.ledger.plan import load_plan
    from lina_lab.tracking.shipper import sync as bring_up_to_date

    print(bring_up_to_date(runs, load_plan(runs, name)))


def main() -> None:
    """Run the command; a user's mistake is a message and exit code 2, never a traceback."""
    run(app)


if __name__ == "__main__":
    main()

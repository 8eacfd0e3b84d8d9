"""The command line: parse, call one function, print. Heavy imports stand inside the command that needs them."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from lina_lab.errors import LabError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Ablation and scaling studies of linear-attention image generators.\n\n"
    "Start with lab sweep sweeps/digits-quick.yaml",
)

Runs = Annotated[Path, typer.Option(envvar="LAB_RUNS", help="Folder of the ledger.")]
Setting = Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change a value by its dotted path.")]
Workers = Annotated[int, typer.Option(min=0, help="Worker processes, one core each; 0 for one a core.")]
CellName = Annotated[str, typer.Argument(metavar="CELL", help="Key, start of a key, or folder of a cell.")]
SweepName = Annotated[str, typer.Argument(metavar="SWEEP", help="Name of a sweep that has run, or its YAML file.")]
RUNS = Path("runs")


@app.command()
def sweep(
    file: Annotated[Path, typer.Argument(help="A sweep, e.g. sweeps/digits-quick.yaml.")],
    settings: Setting = [],  # noqa: B006, typer reads it
    workers: Workers = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the cells and their cost, run nothing.")] = False,
    tracking: Annotated[bool, typer.Option(help="Show the runs in MLflow.")] = True,
    runs: Runs = RUNS,
) -> None:
    """Run every cell of a sweep without a result.

    A cell is trained, sampled and evaluated. A sweep that was stopped continues.
    """
    from lina_lab.config.sweep import load_sweep, parse_settings

    plan = load_sweep(file, parse_settings(settings))
    if dry_run:
        from lina_lab.cli.results import print_plan

        print_plan(plan, runs)
        return
    from lina_lab.cli.running import run_plan

    raise typer.Exit(run_plan(plan, runs, workers or cores(), tracking=tracking))


@app.command()
def train(
    experiment: Annotated[Path, typer.Argument(help="An experiment, e.g. experiments/digits.yaml.")],
    settings: Setting = [],  # noqa: B006
    tracking: Annotated[bool, typer.Option(help="Show the run in MLflow.")] = True,
    runs: Runs = RUNS,
) -> None:
    """Train, sample and evaluate one experiment."""
    from lina_lab.cli.running import run_plan
    from lina_lab.config.load import load_experiment
    from lina_lab.config.sweep import parse_settings
    from lina_lab.sweep.run import single

    plan = single(load_experiment(experiment, parse_settings(settings)))
    raise typer.Exit(run_plan(plan, runs, 1, tracking=tracking))


@app.command()
def sample(
    cell: CellName,
    out: Annotated[Path | None, typer.Option(help="PNG to write; an .npz with the images is put beside it.")] = None,
    labels: Annotated[str, typer.Option(help="Classes, e.g. 0,3,7; by default all.")] = "",
    each: Annotated[int, typer.Option(min=1, help="Images of each class.")] = 8,
    guidance: Annotated[float | None, typer.Option(min=0, help="Guidance scale; by default the cell's.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Autoregressive steps; by default the cell's.")] = None,
    flow_steps: Annotated[int | None, typer.Option(min=1, help="Euler steps; by default the cell's.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
    runs: Runs = RUNS,
) -> None:
    """Draw images from a trained cell."""
    from lina_lab.cli.cells import sample_cell

    changes = {"guidance_scale": guidance, "autoregressive_steps": steps, "flow_steps": flow_steps}
    sample_cell(runs, cell, out, labels, each, seed, {k: v for k, v in changes.items() if v is not None})


@app.command()
def evaluate(
    cell: CellName,
    num_samples: Annotated[int | None, typer.Option(min=2, help="Images to generate; by default the cell's.")] = None,
    extractor: Annotated[str | None, typer.Option(help="digits-cnn or inception; by default the cell's.")] = None,
    guidance: Annotated[float | None, typer.Option(min=0, help="Guidance scale; by default the cell's.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the samples; by default the cell's.")] = None,
    runs: Runs = RUNS,
) -> None:
    """Generate from a trained cell and measure it.

    With options, in another way than it was measured; its result stays as it is.
    """
    from lina_lab.cli.cells import evaluate_cell

    evaluate_cell(runs, cell, num_samples, extractor, guidance, seed)


@app.command()
def status(name: SweepName, runs: Runs = RUNS) -> None:
    """Show the state of every cell of a sweep."""
    from lina_lab.cli.results import print_status
    from lina_lab.ledger import load_plan

    print_status(load_plan(runs, name), runs)


@app.command()
def report(
    name: SweepName,
    out: Annotated[Path | None, typer.Option(help="Folder to write; by default reports/SWEEP.")] = None,
    runs: Runs = RUNS,
) -> None:
    """Write the table, figures and page of a sweep."""
    from lina_lab.figures.report import write_report
    from lina_lab.ledger import load_plan

    plan = load_plan(runs, name)
    print(f"wrote {write_report(runs, plan, out or Path('reports') / plan.name)}")


@app.command()
def axes() -> None:
    """List every design axis, its values and formulas."""
    from lina_lab.cli.describe import print_axes

    print_axes()


@app.command()
def size(
    name: Annotated[str, typer.Argument(metavar="SIZE", help="nano, micro, tiny, small, base, B, L or H.")],
    settings: Setting = [],  # noqa: B006
) -> None:
    """Print exact parameters and FLOPs of a size."""
    from lina_lab.cli.describe import print_size

    print_size(name, settings)


@app.command()
def doctor(runs: Runs = RUNS) -> None:
    """Say what is here, what is missing, how to get it."""
    from lina_lab.cli.describe import print_doctor

    print_doctor(runs)


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
    from lina_lab.ledger import load_plan

    serve_ui(runs, load_plan(runs, name) if name else None, port)


@app.command()
def sync(name: SweepName, runs: Runs = RUNS) -> None:
    """Bring MLflow up to date with the ledger.

    It can be called at any time, and again.
    """
    from lina_lab.ledger import load_plan
    from lina_lab.tracking.shipper import sync as bring_up_to_date

    print(bring_up_to_date(runs, load_plan(runs, name)))


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main() -> None:
    """Run the command; a user's mistake is a message and exit code 2, never a traceback."""
    try:
        app()
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.filename is None:
            raise
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()

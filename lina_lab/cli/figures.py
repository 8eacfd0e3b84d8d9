"""`lab figures`: figures that are not part of a sweep's report."""

from pathlib import Path
from typing import Annotated

import typer

from lina_lab.cli.options import RUNS, CellName, Runs, out_folder

figures_app = typer.Typer(help="Figures that are not part of a report.", no_args_is_help=True)


@figures_app.command()
def paper(
    out: Annotated[Path, typer.Option(callback=out_folder, help="Folder to write.")] = Path("reports/paper"),
    own: Annotated[
        str | None, typer.Option("--with", metavar="REPORT", help="Own results beside: a report's folder, or a sweep.")
    ] = None,
    runs: Runs = RUNS,
) -> None:
    """Draw published values of LINA and others.

    PNG, PDF and SVG for one and two columns, captions.md, and published.md with the source of every value.

    Example: lab figures paper --with reports/digits
    """
    from lina_lab.figures.paper import own_results, write_paper

    names = write_paper(out, own_results(runs, own) if own is not None else None)
    print(f"wrote {', '.join(names)} and captions.md to {out}")


@figures_app.command()
def parallel(
    report: Annotated[str, typer.Argument(metavar="REPORT", help="The folder of a report, or a sweep.")],
    out: Annotated[
        Path | None, typer.Option(callback=out_folder, help="Folder to write; by default reports/SWEEP.")
    ] = None,
    runs: Runs = RUNS,
) -> None:
    """Draw parallel coordinates of axes and metrics.

    A line a design and size, in the colour of the study's metric: PNG, PDF and SVG.

    Example: lab figures parallel reports/digits
    """
    from lina_lab.analysis.report_data import find_report_data
    from lina_lab.analysis.study_metric import study_metric
    from lina_lab.errors import LabError
    from lina_lab.figures.parallel import parallel_figure
    from lina_lab.figures.style import save

    study = find_report_data(runs, report)
    figure = parallel_figure(study.table, study.plan, study_metric(study.table, study.plan))
    if figure is None:
        raise LabError(f"{report}: must have two designs or sizes, and three axes and metrics together")
    folder = out or (Path(report) if Path(report).is_dir() else Path("reports") / study.plan.name)
    save(figure, folder / "parallel.png", ("png", "pdf", "svg"))
    print(f"wrote {folder / 'parallel.png'}, .pdf and .svg")


@figures_app.command()
def gates(
    cell: CellName,
    out: Annotated[
        Path | None, typer.Option(callback=out_folder, help="Folder to write; by default figures/ in the cell's.")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="A .ckpt or .safetensors of the cell; by default its trained weights.")
    ] = None,
    atlas: Annotated[bool, typer.Option("--atlas", help="Also every layer and head, where they are many.")] = False,
    runs: Runs = RUNS,
) -> None:
    """Map the learnt weights of keys and values onto the grids.

    Example: lab figures gates 3f2a90
    """
    from lina_lab.analysis.gates import gates_file, read_gates
    from lina_lab.figures.gates import write_gates
    from lina_lab.ledger.cells import find_cell, read_experiment

    folder = find_cell(runs, cell)
    experiment = read_experiment(folder)
    path, out = checkpoint or gates_file(folder), out or folder / "figures"
    if path.suffix == ".ckpt":
        from lina_lab.training.as_numpy import checkpoint_weights

        weights = checkpoint_weights(path)
    else:
        weights = read_gates(path)
    for line in write_gates(experiment, weights, out, atlas=atlas):
        print(line)
    print(f"wrote gates of {path} to {out}")


@figures_app.command()
def profile(
    file: Annotated[Path, typer.Argument(help="A CSV of measured time and memory.")],
    out: Annotated[Path, typer.Option(callback=out_folder, help="Folder to write.")] = Path("reports/profile"),
) -> None:
    """Draw FLOPs, memory and time against tokens.

    Example: lab figures profile reports/profile/attention.csv
    """
    from lina_lab.figures.efficiency import write_profile

    print(f"wrote {write_profile(file, out)}")


@figures_app.command()
def sampling(
    cells: Annotated[
        list[str], typer.Argument(metavar="CELL...", help="Cells that lab guidance or evaluate has measured.")
    ],
    out: Annotated[Path, typer.Option(callback=out_folder, help="Folder to write.")] = Path("reports/guidance"),
    only: Annotated[
        list[str], typer.Option(metavar="FIELD=VALUE", help="Only such points, as num_samples=50000.")
    ] = [],  # noqa: B006
    runs: Runs = RUNS,
) -> None:
    """Draw FID against guidance and against steps.

    PNG, PDF and SVG for each that was measured, and all points as sampling.csv.

    Example: lab figures sampling 3f2a90 81c4d2 --only num_samples=1000
    """
    from lina_lab.analysis.fid_points import scans_table
    from lina_lab.errors import LabError
    from lina_lab.figures.sampling import write_sampling
    from lina_lab.ledger.cells import find_cell

    pairs = [word.partition("=") for word in only]
    wrong = [word for word, (name, sign, value) in zip(only, pairs, strict=True) if not (name and sign and value)]
    if wrong:
        raise LabError(f"--only {wrong[0]}: must be FIELD=VALUE")
    evaluations = scans_table([find_cell(runs, cell) for cell in cells])
    paths = write_sampling(evaluations, out, {name: value for name, _, value in pairs})
    print(f"wrote {', '.join(path.name for path in paths)} to {out}")

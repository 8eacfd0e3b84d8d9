"""`lab import`: a cell of published weights."""

from pathlib import Path
from typing import Annotated

import typer

from lina_lab.cli.options import RUNS, Runs, Setting


def import_weights(
    path: Annotated[Path, typer.Argument(help="A published checkpoint: a folder, .safetensors, .bin or index.json.")],
    experiment: Annotated[
        Path | None, typer.Option("--as", help="Its experiment; by default the one of experiments/ that it fits.")
    ] = None,
    settings: Setting = [],  # noqa: B006, typer reads it
    runs: Runs = RUNS,
) -> None:
    """Make a cell of published weights.

    Every tensor must have its place in the model of the experiment, whose data, sampling and evaluation the cell takes.
    What names and shapes cannot tell, the experiment says: division or softmax, the number of heads without gates, and
    how long the weights were trained.

    Example: lab import LINA-H --as experiments/imagenet256-H.yaml
    """
    from lina_lab.cell.contents import settler
    from lina_lab.config.load import load_experiment
    from lina_lab.config.sweep import parse_settings
    from lina_lab.ledger.cells import read_experiment
    from lina_lab.ledger.plan import own_name, store_plan
    from lina_lab.provenance import provenance
    from lina_lab.published.files import read_checkpoint
    from lina_lab.published.import_cell import find_experiment, import_cell
    from lina_lab.shipped import shipped
    from lina_lab.sweep.planning import single

    changes = parse_settings(settings)
    known = None if experiment is None else load_experiment(experiment, changes)
    checkpoint = read_checkpoint(path)
    for note in checkpoint.unread:
        print(f"not read: {note}")
    if known is None:
        own = Path("experiments")
        experiment = find_experiment(checkpoint, own if own.is_dir() else shipped("experiments"))
        known = load_experiment(experiment, changes)
    if known.training.init_from is not None:
        print(f"left out: training.init_from of {experiment}: imported weights do not start from a cell here")
    known, _ = settler()(known)  # weights are imported where their data are not, too
    folder = import_cell(runs, checkpoint, known)
    cell = read_experiment(folder)
    planned = single(cell, experiment)
    planned = planned.named(own_name(runs, planned.plan, experiment))
    stored = store_plan(runs, planned.plan, provenance(), experiment)
    print(
        f"{folder.name}: {len(checkpoint.tensors)} tensors of {', '.join(p.name for p in checkpoint.files)} "
        f"as {experiment}\n\n"
        f"lab sample {folder.name}    images\n"
        f"lab cell run {folder} --sweep {stored.name}    sample, evaluate, result"
    )

"""From the files of a study to its plan: what they name is looked at, and what the ledger has already is known."""

from pathlib import Path

from lina_lab.cell.contents import settler
from lina_lab.cli.launch import tell_many
from lina_lab.config.grid import MAX_CELLS
from lina_lab.config.load import experiment_document
from lina_lab.config.settled import build_settled
from lina_lab.config.sweep import parse_settings
from lina_lab.ledger.plan import own_name
from lina_lab.sweep.older import with_older_keys
from lina_lab.sweep.planning import PlannedSweep, load_sweep, single


def planned_sweep(file: Path, settings: list[str], runs: Path, max_cells: int | None, *, dry_run: bool) -> PlannedSweep:
    """The cells of a sweep's file.

    Raises:
        LabError: with every problem of the sweep, of its cells and of the files that they name, each with its line.
    """
    missing: list[str] = []
    settle = settler(missing if dry_run else None)
    planned = load_sweep(file, parse_settings(settings), settle, max_cells or MAX_CELLS, tell_many)
    return with_older_keys(runs, planned)._replace(missing=missing)


def planned_experiment(file: Path, settings: list[str], runs: Path, *, dry_run: bool) -> PlannedSweep:
    """The one cell of an experiment's file.

    Raises:
        LabError: with every problem of the experiment and of the files that it names, each with its line.
    """
    missing: list[str] = []
    document = experiment_document(file, parse_settings(settings))
    experiment = build_settled(document, settler(missing if dry_run else None))
    planned = with_older_keys(runs, single(experiment, file))
    return planned.named(own_name(runs, planned.plan, file))._replace(missing=missing)

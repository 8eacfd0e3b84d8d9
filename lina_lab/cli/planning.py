"""From the files of a study to its plan: what they name is looked at, and what the ledger has already is known."""

from pathlib import Path
from typing import NamedTuple

from lina_lab.cell.contents import settler
from lina_lab.cli.launch import tell_many
from lina_lab.config.grid import MAX_CELLS
from lina_lab.config.load import experiment_document
from lina_lab.config.settled import build_settled
from lina_lab.config.sweep import Plan, load_sweep, parse_settings
from lina_lab.ledger.plan import with_own_name
from lina_lab.sweep.older import with_older_keys
from lina_lab.sweep.run import single


class Planned(NamedTuple):
    """A plan, and what a run of it needs and this machine has not: only a dry run gets that far then."""

    plan: Plan
    missing: list[str]


def planned_sweep(file: Path, settings: list[str], runs: Path, max_cells: int | None, *, dry_run: bool) -> Planned:
    """The cells of a sweep's file.

    Raises:
        LabError: with every problem of the sweep, of its cells and of the files that they name, each with its line.
    """
    missing: list[str] = []
    settle = settler(missing if dry_run else None)
    plan = load_sweep(file, parse_settings(settings), settle, max_cells or MAX_CELLS, tell_many)
    return Planned(with_older_keys(runs, plan), missing)


def planned_experiment(file: Path, settings: list[str], runs: Path, *, dry_run: bool) -> Planned:
    """The one cell of an experiment's file.

    Raises:
        LabError: with every problem of the experiment and of the files that it names, each with its line.
    """
    missing: list[str] = []
    document = experiment_document(file, parse_settings(settings))
    experiment = build_settled(document, settler(missing if dry_run else None))
    plan = with_older_keys(runs, single(experiment, file))
    return Planned(with_own_name(runs, plan), missing)

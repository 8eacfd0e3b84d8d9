"""From the files of a study to its plan: what they name is looked at, and what the ledger has already is known."""

from collections.abc import Sequence
from pathlib import Path

from lina_lab.cell.contents import settler, without_weights
from lina_lab.cli.launch import tell_many
from lina_lab.config.base import KeyProblem
from lina_lab.config.experiment import Experiment
from lina_lab.config.grid import MAX_CELLS
from lina_lab.config.load import experiment_document
from lina_lab.config.settled import Settle, build_settled
from lina_lab.config.sweep import parse_settings
from lina_lab.ledger.part import parse_part
from lina_lab.ledger.plan import own_name
from lina_lab.sweep.older import with_older_keys
from lina_lab.sweep.planning import PlannedSweep, load_sweep, single


def planned_sweep(
    file: Path,
    settings: list[str],
    runs: Path,
    max_cells: int | None = None,
    where: Sequence[str] = (),
    *,
    dry_run: bool = False,
) -> PlannedSweep:
    """The cells of a sweep's file, of which those run here that are `where` its words say.

    Raises:
        LabError: with every problem of the sweep, of its cells and of the files that they name, each with its line.
    """
    missing: list[str] = []
    settle = _settler(missing, dry_run=dry_run)
    planned = load_sweep(file, parse_settings(settings), settle, max_cells or MAX_CELLS, tell_many)
    part = parse_part(where, planned.plan)
    return with_older_keys(runs, planned)._replace(missing=missing, part=part)


def planned_experiment(file: Path, settings: list[str], runs: Path, *, dry_run: bool) -> PlannedSweep:
    """The one cell of an experiment's file.

    Raises:
        LabError: with every problem of the experiment and of the files that it names, each with its line.
    """
    missing: list[str] = []
    document = experiment_document(file, parse_settings(settings))
    experiment = build_settled(document, _settler(missing, dry_run=dry_run))
    planned = with_older_keys(runs, single(experiment, file))
    return planned.named(own_name(runs, planned.plan, file))._replace(missing=missing)


def _settler(missing: list[str], *, dry_run: bool) -> Settle:
    """Of what is to run, the weights of every extractor must be here."""
    if dry_run:
        return settler(missing)
    settle = settler()

    def with_weights(experiment: Experiment) -> tuple[Experiment, list[KeyProblem]]:
        settled, problems = settle(experiment)
        return settled, problems + without_weights(experiment.evaluation)

    return with_weights

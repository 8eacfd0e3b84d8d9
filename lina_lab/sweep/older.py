"""Older cells whose keys were made from paths instead of contents. Their results still count if contents agree."""

import re
from collections import defaultdict
from collections.abc import Callable
from functools import cache, reduce
from operator import getitem
from pathlib import Path

from lina_lab.config.data import DataConfig
from lina_lab.config.experiment import Experiment, canonical, cell_key, digest, named_paths
from lina_lab.errors import LabError
from lina_lab.ledger.cells import read_experiment
from lina_lab.ledger.result import read_result
from lina_lab.sweep.planning import PlannedSweep

KeyOf = Callable[[Experiment], str]
NAMES_A_PATH = re.compile(r"^ +(path|reference): (?!null$)", re.MULTILINE)
HAS_CONTENTS = re.compile(r"^contents:", re.MULTILINE)


def with_older_keys(runs: Path, planned: PlannedSweep) -> PlannedSweep:
    """The plan as a ledger knows it: a cell that is there under an older key has that one."""
    key_of = keys_in(runs)
    keys = {key: key_of(e) if e.contents else key for key, e in planned.experiments.items()}
    cells = [cell._replace(key=keys[cell.key]) for cell in planned.plan.cells]
    experiments = {keys[key]: experiment for key, experiment in planned.experiments.items()}
    return planned._replace(plan=planned.plan._replace(cells=cells), experiments=experiments)


def keys_in(runs: Path) -> KeyOf:
    """A function from experiment to its key in a ledger: its own, or an older one of the same computation.

    An older cell is the same computation if only paths differ and the content that it recorded (its data, the
    reference of its evaluation) is the present one. A path whose content it did not record must be equal.
    """
    older = cache(lambda: _older_cells(runs))
    fingerprint = cache(_fingerprint)

    def key_of(experiment: Experiment) -> str:
        key = cell_key(experiment)
        if not experiment.contents or (runs / key).exists():
            return key
        folders = older()[_without_paths(experiment)]
        return next((folder.name for folder in folders if _is_same(folder, experiment, fingerprint)), key)

    return key_of


def _older_cells(runs: Path) -> dict[str, list[Path]]:
    """Cells with paths in their keys, grouped by their canonical form without paths."""
    folders: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(runs.glob("*/config.yaml")):
        text = path.read_text(encoding="utf-8")
        if NAMES_A_PATH.search(text) and not HAS_CONTENTS.search(text):
            try:
                folders[_without_paths(read_experiment(path.parent))].append(path.parent)
            except LabError:
                continue  # whatever reads that cell will report it
    return folders


def _without_paths(experiment: Experiment) -> str:
    values = canonical(experiment)
    for place in named_paths(experiment):
        *sections, field = place.split(".")
        holder = reduce(getitem, sections, values)
        holder[field] = None
        holder.pop("digest", None)
    return digest(values)


def _is_same(folder: Path, experiment: Experiment, fingerprint: Callable[[DataConfig], str]) -> bool:
    old, noted = named_paths(read_experiment(folder)), folder / "data.sha256"
    if not noted.exists() or noted.read_text(encoding="utf-8") != fingerprint(experiment.data):
        return False
    seen = (
        {"data.path"}
        if experiment.data.autoencoder is None
        else {"data.path", "data.autoencoder.path", "data.text.path"}
    )
    for field, path in named_paths(experiment).items():
        if path not in experiment.contents or not (folder / "result.json").exists():
            same = old[field] == path
        elif field == "evaluation.reference":
            same = _reference_of(folder) in (None, experiment.contents[path])
        else:
            same = field in seen or old[field] == path
        if not same:
            return False
    return True


def _reference_of(folder: Path) -> str | None:
    """SHA-256 of the reference that a cell was measured with; None if it diverged and was not measured."""
    try:
        evaluation = read_result(folder).evaluation
    except LabError:
        return ""
    return None if evaluation is None else evaluation.reference_sha256


def _fingerprint(data: DataConfig) -> str:
    from lina_lab.data.datasets import load_dataset
    from lina_lab.data.examples import fingerprint

    return fingerprint(load_dataset(data, pixels=False))

"""What the cells of a study were asked to be: every setting that determines their results, with its values."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lina_lab.config.experiment import NOT_IN_KEY, Experiment, named_paths
from lina_lab.errors import LabError
from lina_lab.ledger.cells import read_experiment
from lina_lab.ledger.plan import Plan

Settings = Mapping[str, list[Any]]
"""Dotted path to the values that cells have, in the order of the plan; a study varies what has more than one."""


def settings_of_ledger(runs: Path, plan: Plan) -> dict[str, list[Any]]:
    """The settings of all cells of a plan; empty if those of one cannot be read, as of a cell that is gone."""
    try:
        return settings_of([read_experiment(runs / cell.key) for cell in plan.cells])
    except LabError:
        return {}


def settings_of(experiments: list[Experiment]) -> dict[str, list[Any]]:
    """Every setting that enters the key but the seed. Of a path its last part: a report is for others."""
    found: dict[str, list[Any]] = {}
    for experiment in experiments:
        values = experiment.model_dump(mode="json", exclude={*NOT_IN_KEY, "seed"})
        names = {place: Path(path).name for place, path in named_paths(experiment).items()}
        for place, value in (_flat(values) | names).items():
            kinds = found.setdefault(place, [])
            if value not in kinds:
                kinds.append(value)
    return found


def _flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        place = f"{above}{name}"
        flat |= _flat(value, f"{place}.") if isinstance(value, Mapping) else {place: value}
    return flat

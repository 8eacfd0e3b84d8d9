"""What stands where in a bundle, and what a cell's experiment says in it.

    manifest.json              every other member's SHA-256 and length; sweep, plan, host, commit, versions
    plan.json                  the plan, as a report keeps it
    forecasts/*.json           what its cells were said to reach
    cells/<key>/config.json    the experiment; a file or folder that it names by the end of its path alone. Of a cell
                               that has not ended it is all there is
                metrics.csv, data.sha256, trained.json, guidance.csv, evaluations/*.json   as in the ledger
                gates.safetensors, samples/few.safetensors   what a report needs of weights and images
                pruned.json    of a trial that was pruned: why
                result.json    of any other cell, last

It holds no weights, checkpoints, logs or attempts. What result.json records of the machine (processor, commands as they
were typed, the package's folder) is in it.
"""

import json
import re
from pathlib import PurePath
from typing import Any, NamedTuple

from lina_lab.config.experiment import SCHEMA, Experiment, cell_key, named_paths, set_path
from lina_lab.errors import LabError
from lina_lab.ledger.merged import FEW, GATES

PLAN = "plan.json"
CONFIG, RESULT, PRUNED = "config.json", "result.json", "pruned.json"
METRICS = "metrics.csv"
COPIED = (METRICS, "data.sha256", "trained.json", "guidance.csv")
"""Files of a cell that are taken as they are."""
OWN = {CONFIG, *COPIED, GATES, FEW, PRUNED, RESULT}
EVALUATION = re.compile(r"evaluations/[0-9A-Za-z_-]{1,64}\.json")
FORECAST = re.compile(r"forecasts/([0-9A-Za-z][0-9A-Za-z+.-]{0,80}\.json)")
OF_CELL = re.compile(r"cells/([0-9a-f]{12})/(.+)")


class Place(NamedTuple):
    """Where a member belongs: to a cell, or, with key '', to the study."""

    key: str
    name: str
    """Of a file in the cell's folder, of a forecast, or `PLAN`."""


def place_of(name: str) -> Place:
    """Where a member belongs.

    Raises:
        LabError: if a bundle has no such member: whatever its name, no other file is ever written.
    """
    if name == PLAN:
        return Place("", PLAN)
    if (found := FORECAST.fullmatch(name)) is not None:
        return Place("", found[1])
    if (found := OF_CELL.fullmatch(name)) is not None and (found[2] in OWN or EVALUATION.fullmatch(found[2])):
        return Place(found[1], found[2])
    raise LabError(f"{name!r} is no member of a bundle")


def config_bytes(experiment: Experiment, key: str) -> bytes:
    """The experiment of a cell for others: of a file or folder whose content the key holds, no path of this machine."""
    values: dict[str, Any] = experiment.model_dump(mode="json")
    known = experiment.contents
    if cell_key(experiment) == key and known:
        # The digest keeps two of the same name apart.
        short = {path: f"{sha256[:8]}-{PurePath(path).name}" for path, sha256 in known.items()}
        for field, path in named_paths(experiment).items():
            if path in short:
                values = set_path(values, field, short[path])
        values["contents"] = {short[path]: sha256 for path, sha256 in known.items()}
    return json.dumps({"schema": SCHEMA} | values, indent=1).encode()


def experiment_of(data: bytes, key: str) -> Experiment:
    """What `config_bytes` wrote.

    Raises:
        LabError: if it is damaged, of another version, or the experiment of another cell.
    """
    try:
        values = json.loads(data)
        schema = values.pop("schema", None)
        if schema != SCHEMA:
            raise LabError(f"{CONFIG}: key schema: this version reads schema {SCHEMA}, not {schema}")
        experiment = Experiment.model_validate(values)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise LabError(f"{CONFIG}: damaged, or of a later version: {error}") from error
    if cell_key(experiment) != key:
        raise LabError(f"{CONFIG}: describes cell {cell_key(experiment)}, not {key}")
    return experiment

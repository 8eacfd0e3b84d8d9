"""What stands where in a bundle, and what a cell's experiment says in it.

    manifest.json              every other member's SHA-256 and length; sweep, plan, host, commit, versions
    plan.json                  the plan, as a report keeps it
    forecasts/*.json           what its cells were said to reach
    plugins/<name>@<digest>/*  the user's files that designs of its cells come from, to be read: they are never run
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
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, NamedTuple

from lina_lab.config.experiment import SCHEMA, Experiment, cell_key, named_paths, set_path
from lina_lab.config.model import SEGMENTS
from lina_lab.errors import LabError
from lina_lab.ledger.merged import FEW, GATES
from lina_lab.plugins.load import LOADED

PLAN = "plan.json"
CONFIG, RESULT, PRUNED = "config.json", "result.json", "pruned.json"
METRICS = "metrics.csv"
COPIED = (METRICS, "data.sha256", "trained.json", "guidance.csv")
"""Files of a cell that are taken as they are."""
OWN = {CONFIG, *COPIED, GATES, FEW, PRUNED, RESULT}
EVALUATION = re.compile(r"evaluations/[0-9A-Za-z_-]{1,64}\.json")
FORECAST = re.compile(r"forecasts/([0-9A-Za-z][0-9A-Za-z+.-]{0,80}\.json)")
PLUGIN = re.compile(r"(?=.{1,100}$)plugins/([\w][\w. +-]*)@([0-9a-f]{12})/((?:[\w][\w. +-]*/)*[\w][\w. +-]*)")
"""Its file's name without .py, its digest, and the name of it or of a file that it names."""
OF_CELL = re.compile(r"cells/([0-9a-f]{12})/(.+)")


class Place(NamedTuple):
    """Where a member belongs: to a cell, or, with key '', to the study."""

    key: str
    name: str
    """Of a file in the cell's folder, of a forecast, of a plugin's file, or `PLAN`."""


def place_of(name: str) -> Place:
    """Where a member belongs.

    Raises:
        LabError: if a bundle has no such member: whatever its name, no other file is ever written.
    """
    if name == PLAN or PLUGIN.fullmatch(name):
        return Place("", name)
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
        LabError: if it is damaged, of another version, the experiment of another cell, or uses a plugin that is not
            loaded: none is ever loaded from a bundle.
    """
    try:
        values = json.loads(data)
        schema = values.pop("schema", None)
        if schema != SCHEMA:
            raise LabError(f"{CONFIG}: key schema: this version reads schema {SCHEMA}, not {schema}")
        _refuse_unknown_plugins(values)
        experiment = Experiment.model_validate(values)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise LabError(f"{CONFIG}: damaged, or of a later version: {error}") from error
    if cell_key(experiment) != key:
        raise LabError(f"{CONFIG}: describes cell {cell_key(experiment)}, not {key}")
    return experiment


def _refuse_unknown_plugins(values: Mapping[str, Any]) -> None:
    model, data, evaluation = values["model"], values["data"], values["evaluation"]
    words = [word for segment in SEGMENTS for word in model[segment].values()]
    words += [data["name"], evaluation["extractor"], *evaluation["also"]]
    for word in words:
        found = re.fullmatch(r"[\w-]+@([0-9a-f]{12})", str(word))
        if found is not None and found[1] not in LOADED:
            raise LabError(
                f"{CONFIG}: uses {word}, of a plugin that no cell of this ledger uses. It would run as your code: if "
                "you trust its file, name it: --plugin FILE. The bundle has a copy to read, in its folder plugins"
            )

"""The ledger: one folder for each cell, the one source of truth. MLflow, tables and figures are views of it.

    runs/<key>/config.yaml     the resolved experiment
               metrics.csv     step, metric, value, time (Unix seconds); rows are only appended
               state.json      how far the cell is (for people; nothing is decided from it)
               attempts/       who worked on it, and how that ended: see claims.py
               checkpoints/    to continue from
               samples/        step-000600.png: sample grids; generated.npz: the evaluated images, in a fixed random
                               order, with their numbers; drawn-*/: those images while they are drawn, see drawn.py
               ema.safetensors the averaged weights, once training is over
               trained.json    the seconds that it took, and the checksum of those weights
               imported.json   of a cell that `lab import` made: where its weights come from; beside it
                               imported.safetensors, tensors of the checkpoint that the model has no place for
               data.sha256     of the data that it is trained on
               evaluations/    what lab evaluate measured: see training/measured.py
               guidance.csv    what lab guidance measured: see analysis/guidance.py
               error.txt       the traceback of a cell that failed
               result.json     written last: parameters, FLOPs, metrics, provenance. Done = a valid result.json
    runs/sweeps/<name>.json    the plan of a sweep as it last ran, and all before it: see plans.py

Every file but metrics.csv is written whole and then renamed, so that it is either the old one or the new one.
"""

import csv
import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from lina_lab.claims import FAULTS, LEASE_SECONDS, Attempt, Watch, faults, last_attempt
from lina_lab.config.experiment import SCHEMA, Experiment, cell_key, digest
from lina_lab.config.load import build, read_yaml, write_yaml
from lina_lab.config.sweep import Scalar
from lina_lab.errors import LabError
from lina_lab.files import write_atomic

State = Literal["waiting", "running", "done", "diverged", "pruned", "failed"]
ENDED = ("done", "diverged", "pruned")
"""States of cells that will not go on."""
WAITING = {"stopped": "stopped; it will continue", "paused": "paused until its pruner has seen the other trials"}
"""Ends of an attempt after which the cell goes on, and why it waits."""


class Metric(NamedTuple):
    """One value of one metric at one training step; `time` in Unix seconds."""

    step: int
    metric: str
    value: float
    time: float


def create_cell(runs: Path, experiment: Experiment, key: str | None = None) -> Path:
    """The folder of an experiment's cell, made if it is not there; `key`: an older one, made from its paths.

    While the cell has no result, what does not enter its key (logging, execution) is what was asked for last; later
    only the paths are, whose content the key holds.
    """
    own = cell_key(experiment)
    folder = runs / (key or own)
    path = folder / "config.yaml"
    if folder.name != own:
        experiment = experiment.model_copy(update={"contents": {}})
    if (folder / "result.json").exists() and path.exists():
        text = path.read_text(encoding="utf-8")
        if all(f": {name}\n" in text for name in experiment.contents):
            return folder
        now = {name: getattr(experiment, name) for name in ("data", "evaluation", "contents")}
        experiment = read_experiment(folder).model_copy(update=now)
    text = write_yaml({"schema": SCHEMA} | experiment.model_dump(mode="json"))
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_atomic(path, text)
    return folder


def read_experiment(folder: Path) -> Experiment:
    """The experiment of a cell.

    Raises:
        LabError: if the folder is no cell, is of another version, or was changed by hand.
    """
    path = folder / "config.yaml"
    if not path.exists():
        raise LabError(f"{folder}: is no cell: it has no config.yaml")
    document = read_yaml(path)
    schema = document.values.pop("schema", None)
    if schema != SCHEMA:
        raise LabError(f"{path}: key schema: this version of LINA Lab reads schema {SCHEMA}, not {schema}")
    experiment = build(document)
    if cell_key(experiment) != folder.resolve().name:
        raise LabError(
            f"{path}: was changed: it describes cell {cell_key(experiment)}, not {folder.resolve().name}; "
            "to run a changed experiment use lab train"
        )
    return experiment


def find_cell(runs: Path, name: str) -> Path:
    """The folder of a cell given by path, key or unambiguous start of a key.

    Raises:
        LabError: if there is none, or more than one.
    """
    if (Path(name) / "config.yaml").exists():
        return Path(name)
    found = sorted(p.parent for p in runs.glob("*/config.yaml") if p.parent.name.startswith(name))
    if len(found) != 1:
        keys = ", ".join(p.name for p in found)
        raise LabError(f"{name}: {f'stands for {len(found)} cells: {keys}' if found else f'no such cell in {runs}'}")
    return found[0]


def append_metrics(folder: Path, step: int, values: Mapping[str, float]) -> None:
    """Add a row for each metric, with the time of now."""
    path = folder / "metrics.csv"
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(Metric._fields)
        writer.writerows((step, name, repr(float(value)), f"{time.time():.3f}") for name, value in values.items())


def read_metrics(folder: Path) -> list[Metric]:
    """All complete rows of metrics.csv; a last row that a killed process left half written is passed over."""
    path = folder / "metrics.csv"
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    rows = csv.reader(text[: text.rfind("\n") + 1].splitlines())
    metrics = []
    for number, row in enumerate(rows, start=1):
        if number == 1:
            continue
        try:
            step, name, value, when = row
            metrics.append(Metric(int(step), name, float(value), float(when)))
        except ValueError as error:
            raise LabError(f"{path}:{number}: must be step,metric,value,time, not {','.join(row)!r}") from error
    return metrics


def rewind_metrics(folder: Path, step: int, drop: str | None = None) -> None:
    """Drop the rows that a cell which continues after a step will write again; `drop` begins names of more of them."""
    rows = [r for r in read_metrics(folder) if r.step <= step and not (drop and r.metric.startswith(drop))]
    lines = [",".join(Metric._fields), *(f"{r.step},{r.metric},{r.value!r},{r.time:.3f}" for r in rows)]
    write_atomic(folder / "metrics.csv", "".join(f"{line}\r\n" for line in lines))


def write_state(folder: Path, **details: Scalar) -> None:
    """Say how far the cell is: `phase`, `step`, `steps`, `loss`, `seconds_left` and the like."""
    write_atomic(folder / "state.json", json.dumps({**details, "time": time.time()}))


def read_state(folder: Path) -> dict[str, Any]:
    """The cell's `state`, with `reason` and `attempt` where there are any, and what state.json says of its progress.

    A valid result decides; without one, the last attempt does.
    """
    try:
        details = dict(json.loads((folder / "state.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        details = {}
    attempt = last_attempt(folder)
    if attempt is not None:
        details |= {"attempt": attempt.number, "host": attempt.host, "job": attempt.job}
    if (folder / "result.json").exists():
        try:
            return details | {"state": read_result(folder)["state"]}
        except LabError as error:
            return details | {"state": "failed", "reason": str(error)}
    if attempt is None:
        return {"state": "waiting"}
    state, reason = _state_of(folder, attempt)
    return details | {"state": state, "reason": reason}


def _state_of(folder: Path, attempt: Attempt) -> tuple[State, str]:
    """What an attempt without a result means: the state, and why it is so."""
    if attempt.ended in FAULTS:
        if attempt.forgiven:
            return "waiting", "to be tried again"
        count = faults(folder)
        return "failed", attempt.reason if count == 1 else f"{attempt.reason} (failed {count} times)"
    if attempt.ended == "pruned":
        return "pruned", attempt.reason
    if attempt.ended in WAITING:
        return "waiting", WAITING[attempt.ended]
    if attempt.ended is not None or Watch().is_over(attempt):
        return "waiting", f"its process on {attempt.host or 'an unknown host'} is gone; it will continue"
    silent = time.time() - attempt.path.stat().st_mtime
    return "running", f"no sign of life from {attempt.host} for {silent:.0f} s" if silent > LEASE_SECONDS else ""


def write_result(folder: Path, result: Mapping[str, Any]) -> None:
    """Finish a cell. Values that are not finite are left out of `metrics`: what is missing is missing."""
    metrics = {k: v for k, v in result.get("metrics", {}).items() if math.isfinite(v)}
    body = dict(result) | {"schema": SCHEMA, "metrics": metrics}
    body = json.loads(json.dumps(body, allow_nan=False))
    write_atomic(folder / "result.json", json.dumps(body | {"sha256": digest(body)}, indent=1))


def add_to_result(folder: Path, prefix: str, metrics: Mapping[str, float], record: Mapping[str, Any]) -> None:
    """Give a finished cell metrics whose names begin with `prefix/`, instead of those that it had, and their record.

    Raises:
        LabError: if the cell has no result, or diverged.
    """
    result = read_result(folder)
    if result["state"] != "done":
        raise LabError(f"{folder}: {result['state']}: only a finished cell can have {prefix}")
    rewind_metrics(folder, result["steps"], drop=f"{prefix}/")
    append_metrics(folder, result["steps"], metrics)
    others = {name: value for name, value in result["metrics"].items() if not name.startswith(f"{prefix}/")}
    write_result(folder, result | {"metrics": others | dict(metrics), prefix.rpartition("/")[2]: dict(record)})


def read_result(folder: Path) -> dict[str, Any]:
    """The result of a cell.

    Raises:
        LabError: if there is none, or it is damaged or of another version.
    """
    path = folder / "result.json"
    try:
        return parse_result(path.read_text(encoding="utf-8"), path)
    except FileNotFoundError as error:
        raise LabError(f"{path}: no such file: the cell is not finished") from error
    except (OSError, UnicodeDecodeError) as error:
        raise LabError(f"{path}: damaged: {error}; delete it, and the cell will finish again") from error


def parse_result(text: str, path: Path) -> dict[str, Any]:
    """The result that a text holds; `path` is named in errors.

    Raises:
        LabError: if it is damaged or of another version.
    """
    try:
        body = json.loads(text)
        checksum = body.pop("sha256", None)
    except (ValueError, TypeError, AttributeError) as error:
        raise LabError(f"{path}: damaged: {error}; delete it, and the cell will finish again") from error
    if body.get("schema") != SCHEMA:
        raise LabError(f"{path}: key schema: this version reads schema {SCHEMA}, not {body.get('schema')}")
    if checksum != digest(body):
        raise LabError(f"{path}: damaged: its checksum is wrong; delete it, and the cell will finish again")
    return body


def is_done(folder: Path) -> bool:
    """Whether the cell has a valid result. A damaged one is set aside as result.json.damaged, not lost."""
    try:
        read_result(folder)
    except LabError:
        if (folder / "result.json").exists():
            (folder / "result.json").replace(folder / "result.json.damaged")
        return False
    return True

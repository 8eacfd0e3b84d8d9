"""result.json, which finishes a cell: a cell is done exactly when it has a valid one."""

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lina_lab.config.experiment import SCHEMA, digest
from lina_lab.errors import LabError
from lina_lab.files import write_atomic
from lina_lab.ledger.metrics import append_metrics, rewind_metrics

logger = logging.getLogger(__name__)


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
    except LabError as error:
        if (folder / "result.json").exists():
            logger.warning("set aside as result.json.damaged: %s", error)
            (folder / "result.json").replace(folder / "result.json.damaged")
        return False
    return True

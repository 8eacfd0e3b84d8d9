"""Plans of sweeps: what status, report and MLflow show, without the sweep's file.

runs/sweeps/<name>.json               the plan as it last ran
runs/sweeps/<name>.history/<id>.json  every plan that has run under that name, this one too: <name>@<id> names it
"""

import contextlib
import fcntl
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lina_lab.config.experiment import SCHEMA, digest
from lina_lab.config.load import read_yaml
from lina_lab.config.sweep import Omission, Scalar, cell_label
from lina_lab.errors import LabError
from lina_lab.files import write_atomic
from lina_lab.provenance import Provenance

logger = logging.getLogger(__name__)


class PlannedCell(NamedTuple):
    """One point of the grid under one seed, or a trial of its tuning. Its experiment is in the folder of its key."""

    key: str
    values: dict[str, Scalar]
    """The value on every axis, by axis name."""
    seed: int
    flops: float = 0.0
    """Of its training."""
    tuned: dict[str, Scalar] = {}
    """What tuning chose, or, for a trial, what it tries; and how that came about."""
    trial: int | None = None
    """Its number in the tuning of its design and size; None for a cell of the study itself."""

    @property
    def label(self) -> str:
        """The cell without its seed, for people: 'division conv_kernel=5 nano'."""
        return cell_label(self.values, self.tuned, self.trial)


class Measure(NamedTuple):
    """What a study compares its designs by."""

    name: str = "fid"
    """A column of the results table, or the name of a metric without its extractor."""
    better: str = ""
    """"lower" or "higher", where the study says so."""
    place: str = ""
    """File and line that name it; '' where none does."""


FID_ALONE = Measure()


class Plan(NamedTuple):
    """What a sweep asks, and the cells that answer it."""

    name: str
    question: str
    axes: dict[str, str]
    """Axis name to dotted config path."""
    cells: list[PlannedCell]
    omitted: list[Omission]
    provenance: Provenance = Provenance()
    """Of the command that stored it."""
    trials: list[PlannedCell] = []
    tune: Mapping[str, Any] | None = None
    """`config.tune.Tune` as JSON, without its storage."""
    id: str = ""
    """Of what was asked for; see `plan_id`. Empty before it is stored."""
    file: str = ""
    """The YAML file that it came from, relative to the runs folder; '' where that is not known."""
    metric: Measure = FID_ALONE
    fixed: Mapping[str, Any] | None = None
    """What all cells have of the design, beside the axes and where it was written: dotted path to value. None in older
    plans, which do not say."""

    @property
    def everything(self) -> list[PlannedCell]:
        return [*self.trials, *self.cells]

    @property
    def base(self) -> str:
        """The name of the sweep, without the id of an earlier plan."""
        return self.name.partition("@")[0]

    @property
    def key(self) -> str:
        """What names this plan, whatever runs under its name later."""
        return f"{self.base}@{self.id}"


def plan_id(plan: Plan) -> str:
    """8 hex digits of what was asked for: axes, cells and tuning. A plan that grows, as tuning goes on, keeps it."""
    return plan.id or digest([plan.axes, [[cell.key, cell.values] for cell in plan.cells], plan.tune])[:8]


def store_plan(runs: Path, plan: Plan, provenance: Provenance, file: Path | None = None) -> Plan:
    """Keep a sweep's plan, for status and report, and whatever plan had its name before; the plan as it stands there.

    file: where the plan comes from, if not from where it says.
    """
    where = os.path.relpath(file.resolve(), runs.resolve()) if file else plan.file
    stored = plan._replace(name=plan.base, provenance=provenance, id=plan_id(plan), file=where)
    _keep(runs, stored.name)
    # First where nobody overwrites it: whoever else stores another plan now, none is lost.
    write_atomic(plan_path(runs, stored.key), plan_text(stored))
    if stored.name == plan.name:
        write_atomic(plan_path(runs, stored.name), plan_text(stored))
    return stored._replace(name=plan.name)


def _keep(runs: Path, name: str) -> None:
    """Have the plan that stands under a name in its history; older versions made none. A damaged one is set aside."""
    path = plan_path(runs, name)
    with contextlib.suppress(FileNotFoundError):
        try:
            kept = plan_path(runs, _stored(runs, name).key)
        except LabError as error:
            logger.warning("set aside as %s.damaged: %s", path.name, error)
            path.replace(path.with_name(f"{path.name}.damaged"))
        else:
            if not kept.exists():
                write_atomic(kept, path.read_bytes())


def plan_text(plan: Plan) -> str:
    """What `parse_plan` reads."""
    body = {
        "schema": SCHEMA,
        "name": plan.name,
        "question": plan.question,
        "axes": plan.axes,
        "cells": [cell._asdict() for cell in plan.cells],
        "trials": [cell._asdict() for cell in plan.trials],
        "tune": plan.tune,
        "omitted": [omission._asdict() for omission in plan.omitted],
        "provenance": plan.provenance.as_json(),
        "id": plan.id,
        "file": plan.file,
        **({} if plan.metric == FID_ALONE else {"metric": plan.metric._asdict()}),
        **({} if plan.fixed is None else {"fixed": plan.fixed}),
    }
    return json.dumps(body, indent=1)


def plan_path(runs: Path, name: str) -> Path:
    """Where the plan of a name stands; of `name@id`, in the history of the name."""
    base, at, earlier = name.partition("@")
    return runs / "sweeps" / (f"{base}.history/{earlier}.json" if at else f"{base}.json")


def load_plan(runs: Path, name: str) -> Plan:
    """The plan of a sweep, by its name, by `name@id` for one of its earlier plans, or by the path of its YAML file.

    Raises:
        LabError: if that sweep has not been run here, or its plan is damaged.
    """
    stem = str(read_yaml(Path(name)).values.get("name")) if name.endswith((".yaml", ".yml")) else name
    try:
        return _stored(runs, stem)
    except FileNotFoundError as error:
        base, at, _ = stem.partition("@")
        known = ", ".join(plan_names(runs, base) if at else _known_sweeps(runs)) or "none"
        raise LabError(f"{name}: no sweep of that name has run in {runs} (there: {known})") from error


def _stored(runs: Path, name: str) -> Plan:
    path = plan_path(runs, name)
    try:
        return parse_plan(path.read_text(encoding="utf-8"), path)._replace(name=name)
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise LabError(f"{path}: damaged ({error}); start the sweep again, it keeps all finished cells") from error


def parse_plan(text: str, path: Path) -> Plan:
    """The plan that a text holds; `path` is named in errors.

    Raises:
        LabError: if it is damaged or of another version.
    """
    try:
        body = json.loads(text)
        if body["schema"] != SCHEMA:
            raise LabError(f"{path}: key schema: this version reads schema {SCHEMA}, not {body['schema']}")
        plan = Plan(
            name=body["name"],
            question=body["question"],
            axes=body["axes"],
            cells=[PlannedCell(**cell) for cell in body["cells"]],
            omitted=[Omission(**o) for o in body["omitted"]],
            provenance=Provenance.from_json(body["provenance"]),
            trials=[PlannedCell(**cell) for cell in body.get("trials", [])],
            tune=body.get("tune"),
            id=body.get("id") or "",
            file=body.get("file", ""),
            metric=Measure(**body.get("metric", {})),
            fixed=None if body.get("fixed") is None else dict(body["fixed"]),
        )
        return plan._replace(id=plan_id(plan))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LabError(f"{path}: damaged ({error}); start the sweep again, it keeps all finished cells") from error


def _known_sweeps(runs: Path) -> Iterable[str]:
    return sorted(path.stem for path in (runs / "sweeps").glob("*.json"))


def plan_names(runs: Path, name: str = "*") -> list[str]:
    """Names of all plans that have run under a name, or under any: `name` and, by age, each `name@id`."""
    folder = runs / "sweeps"
    kept = sorted(folder.glob(f"{name}.history/*.json"), key=lambda path: path.stat().st_mtime_ns)
    now = [path.stem for path in sorted(folder.glob(f"{name}.json"))]
    return now + [f"{path.parent.name.removesuffix('.history')}@{path.stem}" for path in kept]


def replaced(runs: Path, plan: Plan) -> Plan | None:
    """The plan of other cells that has run under a plan's name last, if one has and it can be read."""
    try:
        stored = _stored(runs, plan.name)
    except (LabError, FileNotFoundError):
        return None
    return None if stored.id == plan_id(plan) else stored


def own_name(runs: Path, plan: Plan, file: Path | None) -> str:
    """The name for a single experiment of a file: with its key if a sweep or another file has run under its own."""
    stored = replaced(runs, plan)
    if stored is None or not (stored.axes or other_file(runs, file, stored)):
        return plan.name
    return f"{plan.name}-{plan.cells[0].key}"


def other_file(runs: Path, file: Path | None, stored: Plan) -> str:
    """The file that a stored plan came from, if it is another than `file`; '' for one that was edited or moved."""
    other = runs / stored.file
    if not stored.file or not other.exists() or (file and file.exists() and other.samefile(file)):
        return ""
    return os.path.relpath(other.resolve())


@contextlib.contextmanager
def driven(runs: Path, name: str) -> Iterator[None]:
    """Let `is_driven` see this process until the block ends or it dies; several may be in it at once."""
    path = runs / "sweeps" / f"{name}.running.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH)
        except OSError as error:  # a file system without locks
            logger.info("%s: not locked, so that others do not see that the sweep runs: %s", path, error)
        yield


def is_driven(runs: Path, name: str) -> bool:
    """Whether a `lab sweep` that hands out the cells of a sweep is alive."""
    try:
        with (runs / "sweeps" / f"{name}.running.lock").open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False

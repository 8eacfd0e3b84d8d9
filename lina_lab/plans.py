"""The plan of a sweep as it last ran: what status, report and MLflow show, without the sweep's file."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lina_lab.config.experiment import SCHEMA
from lina_lab.config.load import read_yaml
from lina_lab.config.sweep import Cell, Omission, Plan, Scalar, cell_label
from lina_lab.cost import training_flops
from lina_lab.errors import LabError
from lina_lab.files import write_atomic


class PlannedCell(NamedTuple):
    """A cell of a stored plan."""

    key: str
    values: dict[str, Scalar]
    seed: int
    flops: float = 0.0
    """Of its training."""
    tuned: dict[str, Scalar] = {}
    trial: int | None = None

    @property
    def label(self) -> str:
        """The cell without its seed, for people."""
        return cell_label(self.values, self.tuned, self.trial)


class StoredPlan(NamedTuple):
    """The plan of a sweep as it last ran."""

    name: str
    question: str
    axes: dict[str, str]
    cells: list[PlannedCell]
    omitted: list[Omission]
    provenance: dict[str, Any]
    trials: list[PlannedCell] = []
    tune: dict[str, Any] | None = None

    @property
    def everything(self) -> list[PlannedCell]:
        return [*self.trials, *self.cells]


def store_plan(runs: Path, plan: Plan, provenance: Mapping[str, Any]) -> Path:
    """Keep a sweep's plan, for status and report."""
    path = plan_path(runs, plan.sweep.name)
    body = {
        "schema": SCHEMA,
        "name": plan.sweep.name,
        "question": plan.sweep.question,
        "axes": plan.axes,
        "cells": [_planned(cell)._asdict() for cell in plan.cells],
        "trials": [_planned(cell)._asdict() for cell in plan.trials],
        "tune": plan.sweep.tune and plan.sweep.tune.model_dump(mode="json", exclude={"storage"}),
        "omitted": [o._asdict() for o in plan.omitted],
        "provenance": provenance,
    }
    write_atomic(path, json.dumps(body, indent=1))
    return path


def _planned(cell: Cell) -> PlannedCell:
    flops = training_flops(cell.experiment)
    return PlannedCell(cell.key, cell.values, cell.seed, flops, cell.tuned, cell.trial)


def plan_path(runs: Path, name: str) -> Path:
    return runs / "sweeps" / f"{name}.json"


def load_plan(runs: Path, name: str) -> StoredPlan:
    """The plan of a sweep, by its name or by the path of its YAML file.

    Raises:
        LabError: if that sweep has not been run here, or its plan is damaged.
    """
    stem = str(read_yaml(Path(name)).values.get("name")) if name.endswith((".yaml", ".yml")) else name
    path = plan_path(runs, stem)
    try:
        return parse_plan(path.read_text(encoding="utf-8"), path)
    except FileNotFoundError as error:
        known = ", ".join(_known_sweeps(runs)) or "none"
        raise LabError(f"{name}: no sweep of that name has run in {runs} (there: {known})") from error
    except (OSError, UnicodeDecodeError) as error:
        raise LabError(f"{path}: damaged ({error}); start the sweep again, it keeps all finished cells") from error


def parse_plan(text: str, path: Path) -> StoredPlan:
    """The plan that a text holds; `path` is named in errors.

    Raises:
        LabError: if it is damaged or of another version.
    """
    try:
        body = json.loads(text)
        if body["schema"] != SCHEMA:
            raise LabError(f"{path}: key schema: this version reads schema {SCHEMA}, not {body['schema']}")
        return StoredPlan(
            name=body["name"],
            question=body["question"],
            axes=body["axes"],
            cells=[PlannedCell(**cell) for cell in body["cells"]],
            omitted=[Omission(**o) for o in body["omitted"]],
            provenance=body["provenance"],
            trials=[PlannedCell(**cell) for cell in body.get("trials", [])],
            tune=body.get("tune"),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise LabError(f"{path}: damaged ({error}); start the sweep again, it keeps all finished cells") from error


def _known_sweeps(runs: Path) -> Iterable[str]:
    return sorted(path.stem for path in (runs / "sweeps").glob("*.json"))

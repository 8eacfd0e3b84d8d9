"""What the functions of `lina_lab.study` take, and the words of the commands that take the same."""

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

Folder = Path | str
Words = Mapping[str, Any] | Sequence[str]
"""Of `--set` or `--where`: key to value or values, or the words that a command would take."""


class EngineOptions(TypedDict, total=False):
    """Where cells run; what is left out is the sweep's own, or the user's: see `config.engine.EngineConfig`."""

    name: Literal["local", "slurm"] | None
    workers: int | Literal["auto"] | None
    per_gpu: int | None
    devices: int | None
    num_nodes: int | None
    strategy: Literal["ddp", "fsdp"] | None
    hang_minutes: float | None


class PlanOptions(TypedDict, total=False):
    """Options of `plan`, as of `lab plan`."""

    budget: float | None
    """Hours."""
    pilot: str | None
    about: str | None
    claim: Literal["better", "scales"]
    max_seeds: int
    workers: int | Literal["auto"] | None


class CompareWords(TypedDict, total=False):
    """Options of `compare`, as of `lab compare`."""

    lr_tuned: bool
    higher_is_better: bool | None
    cost: Sequence[str]
    comparisons: int
    drop_missing: bool


def folder_of(runs: Folder | None) -> Path:
    """The folder of the ledger."""
    return Path(runs if runs is not None else os.environ.get("LAB_RUNS") or "runs")


def setting_words(settings: Words) -> list[str]:
    """'key=value' of every setting, the value as JSON, which YAML reads."""
    if not isinstance(settings, Mapping):
        return list(settings)
    return [f"{key}={json.dumps(value)}" for key, value in settings.items()]


def where_words(where: Words) -> list[str]:
    """'axis=value,value' of every axis."""
    if not isinstance(where, Mapping):
        return list(where)
    several = {axis: value if isinstance(value, list | tuple | range) else [value] for axis, value in where.items()}
    return [
        f"{axis}={','.join(v if isinstance(v, str) else json.dumps(v) for v in values)}"
        for axis, values in several.items()
    ]


@contextlib.contextmanager
def as_command(*words: str) -> Iterator[None]:
    """Within, this process has the words of a command: results record them, and a cluster's job gives them again."""
    own = sys.argv
    sys.argv = ["lab", *words]
    try:
        yield
    finally:
        sys.argv = own

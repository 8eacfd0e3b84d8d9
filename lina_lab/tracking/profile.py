"""A profile as a run in MLflow: curves over tokens, and the files that hold it all."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from lina_lab.errors import LabError
from lina_lab.tracking.store import connect, ensure_experiment, locked, store_uri, without_password

EXPERIMENT = "profile"
QUESTION = "What do designs cost: measured time and memory, against closed forms and what the machine can do at best?"
CHARTED = ("forward_ms", "backward_ms", "activation_bytes", "peak_bytes", "macs", "roofline", "utilisation")
BATCH = 1000
"""Metrics that MLflow takes in one call."""


class Profile(NamedTuple):
    """What a run of MLflow shows: a row of the table for each design and length, or for each part of a model."""

    name: str
    table: pd.DataFrame
    facts: Mapping[str, float | None]
    params: Mapping[str, object]
    files: Sequence[Path]


def log_profile(runs: Path, profile: Profile) -> str:
    """Log a profile as a new run of the experiment `profile`: the run's id.

    Metrics are `forward_ms/<row>`, the row by the table's column `design` or `part`, at step `tokens` (0 where the
    table has none), and the facts by name; what was not measured is no metric.

    Raises:
        LabError: if MLflow is not installed, or its store cannot be reached.
    """
    try:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError
    except ModuleNotFoundError as error:
        raise LabError(
            f"{error.name} is not installed, so there is no run in MLflow: --no-tracking asks for none"
        ) from error

    with locked(runs):
        try:
            return _log(runs, profile)
        except (MlflowException, SQLAlchemyError) as error:
            where = without_password(store_uri(runs))
            raise LabError(f"MLflow at {where}: {without_password(' '.join(str(error).split())[:200])}") from error


Metrics = dict[tuple[str, int], float]
"""Values by name and step."""


def profile_metrics(table: pd.DataFrame) -> Metrics:
    """What of a table becomes metrics."""
    label = "design" if "design" in table else "part"
    return {
        (f"{column}/{row[label]}", int(row.get("tokens", 0))): float(row[column])
        for row in table.to_dict("records")
        for column in CHARTED
        if column in row and not pd.isna(row[column])
    }


def _known(facts: Mapping[str, float | None]) -> Metrics:
    return {(name, 0): value for name, value in facts.items() if value is not None}


def _log(runs: Path, profile: Profile) -> str:
    from mlflow.entities import Metric, Param

    client = connect(runs)
    experiment = ensure_experiment(client, runs, EXPERIMENT, {"mlflow.note.content": QUESTION})
    run = client.create_run(experiment.experiment_id, run_name=profile.name, tags={"lab.role": "profile"}).info.run_id
    now = round(1000 * time.time())
    metrics = profile_metrics(profile.table) | _known(profile.facts)
    rows = [Metric(key, value, now, step) for (key, step), value in metrics.items()]
    params = [Param(key, str(value)) for key, value in profile.params.items()]
    client.log_batch(run, params=params, synchronous=True)
    for first in range(0, len(rows), BATCH):
        client.log_batch(run, metrics=rows[first : first + BATCH], synchronous=True)
    for file in profile.files:
        client.log_artifact(run, str(file))
    client.set_terminated(run)
    return str(run)

"""Where MLflow keeps its runs: `MLFLOW_TRACKING_URI`, or a sqlite file and a folder of artifacts beside the cells."""

import fcntl
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lina_lab.errors import LabError

SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    # A server that is away is asked again by the shipper; by default one call would wait for minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
SQLITE_SETTINGS = {
    # A pool would go on writing into a file that was deleted meanwhile.
    "MLFLOW_SQLALCHEMYSTORE_POOLCLASS": "NullPool",
}
SCHEMES = ("sqlite", "postgresql", "mysql", "mssql", "http", "https")


def store_uri(runs: Path) -> str:
    """The tracking URI of a runs folder.

    Raises:
        LabError: if `MLFLOW_TRACKING_URI` names neither a server nor a database.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{runs.resolve() / 'mlflow.db'}"
    if urlsplit(uri).scheme.partition("+")[0] not in SCHEMES:
        raise LabError(
            "MLFLOW_TRACKING_URI must be a server (http://...) or a database (sqlite:///..., postgresql://...), "
            f"not {without_password(uri)}: MLflow no longer writes to plain folders"
        )
    return uri


def is_server(uri: str) -> bool:
    return uri.startswith(("http://", "https://"))


def without_password(text: str) -> str:
    """A text in which no URI shows its user and password."""
    return re.sub(r"://[^/@\s]+@", "://***@", text)


def artifacts_uri(runs: Path) -> str:
    return (runs.resolve() / "mlartifacts").as_uri()


@contextmanager
def locked(runs: Path) -> Iterator[None]:
    """One process at a time: several that open a new sqlite store together leave it broken."""
    runs.mkdir(parents=True, exist_ok=True)
    with (runs / ".mlflow.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def connect(runs: Path) -> Any:
    """An MlflowClient, with a store that is ready for others to open as well. The caller holds the lock."""
    uri = store_uri(runs)
    settings = SETTINGS | (SQLITE_SETTINGS if uri.startswith("sqlite") else {})
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    # What goes wrong in a store is raised as well, and told by whoever catches it.
    quiet = {"alembic": logging.WARNING, "urllib3": logging.ERROR, "mlflow.store.db.utils": logging.CRITICAL}
    for name, level in quiet.items():
        logging.getLogger(name).setLevel(level)
    from mlflow import MlflowClient

    if uri.startswith("sqlite:///"):
        _make_database(Path(uri.removeprefix("sqlite:///")), artifacts_uri(runs))
    return MlflowClient(tracking_uri=uri)


def _make_database(path: Path, artifacts: str) -> None:
    """Make the tables of a new store in a file aside: a process that is killed here leaves no half of them."""
    if path.exists():
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    try:
        SqlAlchemyStore(f"sqlite:///{part}", artifacts)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def find_sweep(runs: Path, name: str) -> tuple[str | None, str | None]:
    """The ids of a sweep's experiment and of its own run, as far as they are there."""
    with locked(runs):
        client = connect(runs)
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return None, None
    found = client.search_runs([experiment.experiment_id], "tags.`lab.role` = 'driver'", max_results=1)
    return str(experiment.experiment_id), next((str(run.info.run_id) for run in found), None)


def ensure_experiment(client: Any, runs: Path, name: str, tags: dict[str, str]) -> Any:
    """The experiment of a sweep, made, or brought back when someone deleted it in the UI."""
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        root = None if is_server(store_uri(runs)) else f"{artifacts_uri(runs)}/{name}"
        client.create_experiment(name, artifact_location=root, tags=tags)
    elif experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    experiment = client.get_experiment_by_name(name)
    for key, value in tags.items():
        if experiment.tags.get(key) != value:
            client.set_experiment_tag(experiment.experiment_id, key, value)
    return experiment

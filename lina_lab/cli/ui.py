"""`lab ui`: the MLflow UI on the store of the sweeps, and links that open it where a study is."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple
from urllib.error import URLError
from urllib.request import urlopen

import typer

from lina_lab.cli.options import RUNS, Runs
from lina_lab.errors import LabError
from lina_lab.interpreter import START, environment

if TYPE_CHECKING:
    from lina_lab.ledger.plan import Plan

OTHER_SERVERS = frozenset(
    f"MLFLOW_{option}"
    for option in (
        *("STATIC_PREFIX", "ARTIFACTS_ONLY", "REGISTRY_STORE_URI", "READ_REPLICA_BACKEND_STORE_URI"),
        *("GUNICORN_OPTS", "UVICORN_OPTS", "SERVER_ALLOWED_HOSTS", "EXPOSE_PROMETHEUS", "ENABLE_WORKSPACES"),
    )
)
"""Variables that set up a server of the user's: ours has its own options."""
STARTING = 120.0
"""Seconds that the server may take to answer."""
STOPPING = 10.0


class Links(NamedTuple):
    """Designs side by side with their seeds folded (`charts`, `table`); sheets of every run (`samples`)."""

    charts: str
    table: str
    samples: str


def ui(
    name: Annotated[str | None, typer.Argument(metavar="SWEEP", help="Open this sweep's charts.")] = None,
    port: Annotated[int, typer.Option(min=1, max=65535)] = 5000,
    runs: Runs = RUNS,
) -> None:
    """Start the MLflow UI, print links to a sweep.

    It listens on this machine alone.

    Example: lab ui digits-quick
    """
    from lina_lab.ledger.plan import load_plan

    serve_ui(runs, load_plan(runs, name) if name else None, port)


def serve_ui(
    runs: Path, plan: "Plan | None", port: int, host: str = "127.0.0.1", echo: Callable[[str], None] = print
) -> None:
    """Serve the UI until Ctrl-C; when the store is a server already, only say where to look.

    Raises:
        LabError: if the port is taken, or the server does not start.
    """
    from lina_lab.tracking.shipper import sync
    from lina_lab.tracking.store import is_server, store_uri

    uri = store_uri(runs)
    if plan is not None:
        sync(runs, plan)
    if is_server(uri):
        show_links(runs, plan, uri, echo)
        return
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, signal.default_int_handler)
    try:
        with server(runs, port, host) as (address, process):
            show_links(runs, plan, address, echo)
            echo("Ctrl-C stops the server.")
            process.wait()
    except KeyboardInterrupt:
        return
    raise LabError(f"the MLflow server ended by itself (exit code {process.returncode})")


@contextmanager
def server(runs: Path, port: int, host: str = "127.0.0.1") -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """An MLflow server that answers, as its address and process; it is stopped at the end.

    Raises:
        LabError: if the port is taken, or the server does not start.
    """
    from lina_lab.tracking.store import SETTINGS, artifacts_uri, connect, locked, store_uri

    free_port(host, port)
    with locked(runs):
        connect(runs)
    command = [sys.executable, "-P", "-m", "mlflow", "server", "--host", host, "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", store_uri(runs), "--default-artifact-root", artifacts_uri(runs)]
    # Job execution is for GenAI evaluations; without it the server starts in a third of the time.
    # Its server, uvicorn, would put the working folder on its path.
    variables = environment(SETTINGS | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "UVICORN_APP_DIR": str(START)})
    variables = {name: value for name, value in variables.items() if name not in OTHER_SERVERS}
    log = runs / "mlflow-server.log"
    # A session of its own: Ctrl-C reaches us alone, and we stop the server with its workers.
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=file, stdin=subprocess.DEVNULL, env=variables, start_new_session=True
        )
    try:
        address = f"http://{host}:{port}"
        _wait_until_it_answers(address, process, log)
        yield address, process
    finally:
        _stop(process)


def links(runs: Path, plan: "Plan", address: str) -> Links | None:
    """Links to a sweep's runs, designs side by side and seeds folded; None if MLflow does not have it."""
    from lina_lab.tracking.charts import COMPARE, SAMPLES
    from lina_lab.tracking.store import find_experiment

    experiment = find_experiment(runs, plan.name)
    if experiment is None:
        return None
    page = f"{address.rstrip('/')}/#/experiments/{experiment}/runs?workflowType=machine_learning"
    views = ((COMPARE, "CHART"), (COMPARE, "TABLE"), (SAMPLES, "CHART"))
    return Links(*(f"{page}&viewStateShareKey={key}&compareRunsMode={mode}" for key, mode in views))


def show_links(runs: Path, plan: "Plan | None", address: str, echo: Callable[[str], None]) -> None:
    found = links(runs, plan, address) if plan is not None else None
    if plan is None or found is None:
        echo(f"studies  {address.rstrip('/')}/#/experiments?workflowType=machine_learning")
        return
    echo(f"{plan.name}: {plan.question}")
    for name, link in found._asdict().items():
        echo(f"{name:8} {link}")


def free_port(host: str, port: int) -> int:
    """The port, or for 0 one that nobody has.

    Raises:
        LabError: if the port is taken.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            return int(probe.getsockname()[1])
        except OSError as error:
            raise LabError(
                f"port {port} on {host} must be free, but: {error.strerror}; choose one with --port"
            ) from error


def _wait_until_it_answers(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + STARTING
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise LabError(f"the MLflow server did not start (exit code {process.returncode}); see {log}")
        try:
            with urlopen(f"{address}/health", timeout=5):  # noqa: S310, our own server
                return
        except (URLError, OSError):
            time.sleep(0.2)
    raise LabError(f"the MLflow server did not answer within {STARTING:g} s; see {log}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop the server and its workers, which share its process group."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
            process.wait(STOPPING)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
        return

"""An MLflow server of our own, for as long as `lab ui` runs."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from lina_lab.errors import LabError
from lina_lab.interpreter import START, environment

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

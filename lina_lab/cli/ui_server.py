"""An MLflow server of our own, for as long as `lab ui` runs; ports, addresses and browsers of all that is served."""

import errno
import os
import signal
import socket
import subprocess
import sys
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from lina_lab.errors import LabError
from lina_lab.interpreter import START, environment

OTHER_SERVERS = frozenset(
    f"MLFLOW_{option}"
    for option in (
        *("STATIC_PREFIX", "ARTIFACTS_ONLY", "REGISTRY_STORE_URI", "READ_REPLICA_BACKEND_STORE_URI"),
        *("GUNICORN_OPTS", "UVICORN_OPTS", "EXPOSE_PROMETHEUS", "ENABLE_WORKSPACES", "SERVER_ALLOWED_HOSTS"),
        *("SERVER_CORS_ALLOWED_ORIGINS", "SERVER_DISABLE_SECURITY_MIDDLEWARE", "SERVER_X_FRAME_OPTIONS"),
    )
)
"""Variables that set up a server of the user's: ours has its own options."""
STARTING = 120.0
"""Seconds that the server may take to answer."""
STOPPING = 10.0
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
"""Hosts that mean every address of a machine, and where it reaches itself then."""
HTTP = 80
"""The port that browsers leave out of an address."""
SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
"""Variables of which one is set where a browser has a screen, or the user names one."""


@contextmanager
def server(runs: Path, port: int, host: str = "127.0.0.1") -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """An MLflow server that answers, as its address and process; it is stopped at the end.

    Raises:
        LabError: if the port is taken, or the server does not start.
    """
    from lina_lab.tracking.store import SETTINGS, artifacts_uri, connect, locked, store_uri

    port = free_port(host, port)
    with locked(runs):
        connect(runs)
    command = [sys.executable, "-P", "-m", "mlflow", "server", "--host", host, "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", store_uri(runs), "--default-artifact-root", artifacts_uri(runs)]
    command += protection(host, port)
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
        _wait_until_it_answers(f"http://{_in_link(EVERYWHERE.get(host, host))}:{port}", process, log)
        yield page_address(host, port), process
    finally:
        _stop(process)


def protection(host: str, port: int) -> list[str]:
    """Options by which MLflow answers pages of its own alone: under these names and from these origins.

    By default it also answers any name that begins as a private address does, such as 10.a.example; and it refuses the
    searches of its own page where that is not opened at this machine. Behind a tunnel this machine has another port.
    """
    names = [name for name in _names(host) if name not in {"localhost", "127.0.0.1", "::1"}]
    hosts = ["localhost", "localhost:*", "127.0.0.1", "127.0.0.1:*", "[::1]", "[[]::1]:*"]
    hosts += [each for name in names for each in (_in_link(name), f"{_in_link(name)}:{port}")]
    origins = [f"http://{_in_link(name)}{'' if port == HTTP else f':{port}'}" for name in names]
    return ["--allowed-hosts", ",".join(hosts), *(["--cors-allowed-origins", ",".join(origins)] if origins else [])]


def page_address(host: str, port: int) -> str:
    """Where a browser finds what is served at a host: its own name stands for every address of a machine."""
    return f"http://{_in_link(_names(host)[0])}:{port}"


def _names(host: str) -> list[str]:
    """Names and addresses under which a machine is asked for what it serves at a host."""
    if host not in EVERYWHERE:
        return [host]
    own = socket.gethostname()
    try:
        addresses = {str(found[4][0]) for found in socket.getaddrinfo(own, None)}
    except OSError:  # a machine that does not find its own name
        addresses = set()
    return list(dict.fromkeys([own, socket.getfqdn(), *sorted(addresses)]))


def _in_link(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def free_port(host: str, port: int) -> int:
    """The port, or for 0 one that nobody has.

    Raises:
        LabError: if the port is taken, or the host is not one of this machine's.
    """
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
            return int(probe.getsockname()[1])
    except socket.gaierror as error:
        raise LabError(f"--host {host}: must be a name or an address of this machine: {error.strerror}") from error
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise LabError(f"--host {host}: must be a name or an address of this machine") from error
        raise LabError(f"port {port} on {host} must be free, but: {error.strerror}; choose one with --port") from error


def open_page(address: str) -> None:
    """Open a page in a browser, where there is a screen: one of letters would take the terminal of the server."""
    screen = sys.platform in {"darwin", "win32"} or any(os.environ.get(name) for name in SCREENS)
    if screen:
        webbrowser.open(address)


def _wait_until_it_answers(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + STARTING
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise LabError(f"the MLflow server did not start (exit code {process.returncode}); see {log}")
        try:
            with build_opener(ProxyHandler({})).open(f"{address}/health", timeout=5):  # our own server: by no proxy
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

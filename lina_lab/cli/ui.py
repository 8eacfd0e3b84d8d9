"""`lab ui`: the MLflow UI on the store of the sweeps, and links that open it where a study is."""

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from lina_lab.cli.options import HOST, RUNS, Host, Open, Port, Runs, is_loopback
from lina_lab.errors import LabError

if TYPE_CHECKING:
    from lina_lab.ledger.plan import Plan


class Links(NamedTuple):
    """Designs side by side with their seeds folded (`charts`, `table`); sheets of every run (`samples`)."""

    charts: str
    table: str
    samples: str


def ui(
    name: Annotated[str | None, typer.Argument(metavar="SWEEP", help="Print links to this sweep's charts.")] = None,
    port: Port = 5000,
    host: Host = HOST,
    browser: Open = True,
    runs: Runs = RUNS,
) -> None:
    """Start the MLflow UI, print links to a sweep.

    MLflow asks for no password: on a --host that others reach, they can change and delete its runs, too.

    Example: lab ui digits-quick
    """
    from lina_lab.ledger.plan import load_plan

    if not is_loopback(host):
        print("warning: MLflow asks for no password: they can change and delete its runs, too", file=sys.stderr)
    serve_ui(runs, load_plan(runs, name) if name else None, port, host, browser=browser)


def serve_ui(
    runs: Path,
    plan: "Plan | None",
    port: int,
    host: str = HOST,
    *,
    browser: bool = False,
    echo: Callable[[str], None] = print,
) -> None:
    """Serve the UI until Ctrl-C; when the store is a server already, only say where to look.

    Raises:
        LabError: if the port is taken, or the server does not start.
    """
    from lina_lab.cli.ui_server import open_page, server
    from lina_lab.tracking.shipper import sync
    from lina_lab.tracking.store import is_server, store_uri

    uri = store_uri(runs)
    if plan is not None:
        sync(runs, plan)

    def show(address: str) -> None:
        first = show_links(runs, plan, address, echo)
        if browser:
            open_page(first)

    if is_server(uri):
        show(uri)
        return
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, signal.default_int_handler)
    try:
        with server(runs, port, host) as (address, process):
            show(address)
            echo("Ctrl-C stops the server.")
            process.wait()
    except KeyboardInterrupt:
        return
    raise LabError(f"the MLflow server ended by itself (exit code {process.returncode})")


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


def show_links(runs: Path, plan: "Plan | None", address: str, echo: Callable[[str], None]) -> str:
    """Say where MLflow shows a sweep; without one, or where it does not know it, where all studies are: the first."""
    found = links(runs, plan, address) if plan is not None else None
    if plan is None or found is None:
        studies = f"{address.rstrip('/')}/#/experiments?workflowType=machine_learning"
        echo(f"studies  {studies}")
        return studies
    echo(f"{plan.name}: {plan.question}")
    for name, link in found._asdict().items():
        echo(f"{name:8} {link}")
    return found.charts

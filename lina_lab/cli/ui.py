"""`lab ui`: the MLflow UI on the store of the sweeps, and links that open it where a study is."""

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lina_lab.cli.options import HOST, RUNS, Host, Open, Port, Runs, is_loopback
from lina_lab.errors import LabError

if TYPE_CHECKING:
    from lina_lab.ledger.plan import Plan


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


def links(runs: Path, plan: "Plan", address: str) -> dict[str, str]:
    """Links to a sweep by what they show, none if MLflow does not have it.

    Its designs side by side with their seeds folded as `charts` and as `table`, in parts where MLflow would not show
    all; the run of the `sweep` itself, its `report` once there is one, and the last `samples` of every design.
    """
    from lina_lab.analysis.table import SIZE_AXIS
    from lina_lab.ledger.report_place import report_of
    from lina_lab.tracking.charts import pages, view_key
    from lina_lab.tracking.driver import SHEET
    from lina_lab.tracking.store import find_sweep

    experiment, run = find_sweep(runs, plan.name)
    if experiment is None:
        return {}
    base = f"{address.rstrip('/')}/#/experiments/{experiment}"
    side, parts = "?workflowType=machine_learning", pages(plan.cells)
    found: dict[str, str] = {}
    for number, cells in enumerate(parts, start=1):
        sizes = dict.fromkeys(str(cell.values.get(SIZE_AXIS, number)) for cell in cells)
        part = f" ({', '.join(sizes)})" if len(parts) > 1 else ""
        page = f"{base}/runs{side}&viewStateShareKey={view_key(number)}"
        found |= {f"{what}{part}": f"{page}&compareRunsMode={what.upper()}" for what in ("charts", "table")}
    if run is not None:
        of_run = f"{base}/runs/{run}"
        files = {"report": "report/index.html"} if report_of(runs, plan) else {}
        files |= {"samples": SHEET}
        found |= {"sweep": f"{of_run}{side}"}
        found |= {name: f"{of_run}/artifacts/{file}{side}" for name, file in files.items()}
    return {name: link.replace("=CHARTS", "=CHART") for name, link in found.items()}


def show_links(runs: Path, plan: "Plan | None", address: str, echo: Callable[[str], None]) -> str:
    """Say where MLflow shows a sweep; without one, or where it does not know it, where all studies are: the first."""
    found = links(runs, plan, address) if plan is not None else {}
    if plan is None or not found:
        studies = f"{address.rstrip('/')}/#/experiments?workflowType=machine_learning"
        echo(f"studies  {studies}")
        return studies
    echo(f"{plan.name}: {plan.question}")
    for name, link in found.items():
        echo(f"{name:8} {link}")
    return next(iter(found.values()))

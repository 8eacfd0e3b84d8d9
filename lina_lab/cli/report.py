"""`lab report`: verdict, tables, figures and page of a sweep, and the page as PDF by a browser that is installed."""

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lina_lab.cli.options import HOST, RUNS, Host, Open, Port, Runs, Tracking, out_folder
from lina_lab.errors import LabError

if TYPE_CHECKING:
    from lina_lab.ledger.plan import Plan

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def report(
    name: Annotated[
        str,
        typer.Argument(
            metavar="SWEEP",
            help="Name of a sweep that has run, or its YAML file; or the folder of a report, as reports/gates, which "
            "is drawn again from its own data.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(callback=out_folder, help="Folder to write; by default reports/SWEEP.")
    ] = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="Also report.pdf, printed by an installed Chromium.")] = False,
    cells: Annotated[bool, typer.Option("--cells", help="Also a page of every cell: cells/KEY.html.")] = False,
    cell: Annotated[
        list[str], typer.Option(metavar="KEY", help="The page of this cell alone; a key or its start. Repeatable.")
    ] = [],  # noqa: B006, typer copies it
    follow: Annotated[
        bool, typer.Option("--follow", help="Serve a page of the sweep as it runs, and the report once it is over.")
    ] = False,
    port: Port = 0,
    host: Host = HOST,
    browser: Open = True,
    tracking: Tracking = True,
    runs: Runs = RUNS,
) -> None:
    """Write the verdict, tables, figures and page of a sweep.

    Example: lab report digits-quick --follow

    Example: lab report reports/digits-quick
    """
    from lina_lab import study

    for option, is_set in (("--port", port != 0), ("--host", host != HOST)):
        if is_set and not follow:
            raise LabError(f"{option}: goes with --follow, which serves a page")
    if os.sep in name and Path(name).is_dir():
        asked = {"--out": out, "--cells": cells, "--cell": cell, "--follow": follow}
        if given := [option for option, value in asked.items() if value]:
            raise LabError(
                f"{given[0]}: goes with the name of a sweep; the report in {name} is drawn again where it is"
            )
        page = study.report(name, runs=runs)
    else:
        from lina_lab.ledger.plan import load_plan

        plan = load_plan(runs, name)
        folder = out or Path("reports") / plan.name
        if follow:
            follow_sweep(runs, plan.name, folder, (host, port), browser=browser, tracking=tracking)
            return
        if cell:
            print_written(runs, plan, folder, cell)
            return
        page = study.report(name, out, runs=runs, tracking=tracking)
        if cells:
            print_written(runs, plan, folder)
    print(f"wrote {page}")
    if pdf:
        print(f"wrote {print_page(page)}")


def print_written(runs: Path, plan: "Plan", out: Path, keys: Sequence[str] = ()) -> None:
    """Write pages of cells, of all without keys, and say where."""
    from lina_lab.report.cell_page import write_cell_pages

    paths = write_cell_pages(runs, plan, out, keys)
    print("\n".join(f"wrote {path}" for path in paths) if keys else f"wrote {len(paths)} pages to {out / 'cells'}")


def follow_sweep(
    runs: Path,
    name: str,
    out: Path,
    where: tuple[str, int],
    *,
    browser: bool,
    tracking: bool = False,
    echo: Callable[[str], None] = print,
) -> None:
    """Serve the page of a sweep at a host and port until Ctrl-C.

    Raises:
        LabError: if there is no such sweep, or the port is taken.
    """
    from lina_lab.cli.report_tracking import write_tracked
    from lina_lab.cli.ui_server import open_page
    from lina_lab.report.follow import Follower, serve
    from lina_lab.report.serve import PageServer

    def write(plan: "Plan") -> Path:
        return write_tracked(runs, plan, out, lambda share: None, tracking=tracking)

    follower = Follower(runs, name, out, echo, write=write)
    server = PageServer(*where, follower.answer)
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, signal.default_int_handler)
    try:
        echo(f"{name}  {server.address}")
        echo("Ctrl-C stops the server.")
        if browser:
            open_page(server.address)
        serve(server, follower)
    except KeyboardInterrupt:
        return


def print_page(page: Path) -> Path:
    """Print a page with its own print style: the PDF, beside it.

    Raises:
        LabError: if no Chromium or Chrome is on the PATH, or it fails.
    """
    import shutil
    import subprocess
    import tempfile

    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise LabError(f"--pdf needs a browser on the PATH ({', '.join(BROWSERS)}), or print {page} from your own")
    out = page.with_name("report.pdf")
    with tempfile.TemporaryDirectory() as profile:
        flags = ["--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
        flags += ["--no-pdf-header-footer", f"--user-data-dir={profile}"]
        if os.geteuid() == 0:
            flags.append("--no-sandbox")  # Chromium's own sandbox refuses to run as root
        command = [browser, *flags, f"--print-to-pdf={out.resolve()}", page.resolve().as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode or not out.exists():
        raise LabError(f"{browser} did not print {page}: {done.stderr.strip().splitlines()[-1:]}")
    return out

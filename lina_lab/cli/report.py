"""`lab report`: verdict, tables, figures and page of a sweep, and the page as PDF by a browser that is installed."""

import os
from pathlib import Path
from typing import Annotated

import typer

from lina_lab.cli.options import RUNS, Runs, Tracking, out_folder
from lina_lab.errors import LabError

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
    tracking: Tracking = True,
    runs: Runs = RUNS,
) -> None:
    """Write the verdict, tables, figures and page of a sweep.

    Example: lab report digits-quick --pdf

    Example: lab report reports/digits-quick
    """
    from lina_lab import study

    page = study.report(name, out, runs=runs, tracking=tracking)
    print(f"wrote {page}")
    if pdf:
        print(f"wrote {print_page(page)}")


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

"""A report's page as PDF, printed by a browser that is installed."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from lina_lab.errors import LabError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def print_page(page: Path) -> Path:
    """Print a page with its own print style: the PDF, beside it.

    Raises:
        LabError: if no Chromium or Chrome is on the PATH, or it fails.
    """
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

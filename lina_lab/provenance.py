"""Where a result comes from: commit, uncommitted changes, versions, hardware, command."""

import hashlib
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "lina-lab",
    "torch",
    "torchvision",
    "pytorch-lightning",
    "torch-fidelity",
    "numpy",
    "scikit-learn",
    "mlflow",
    "diffusers",
    "transformers",
)


def provenance() -> dict[str, Any]:
    """Facts about this process and its code, as JSON values.

    `commit` is missing outside a git checkout; `diff_sha256` is there exactly when the checkout has changes.
    """
    return {
        **_code(),
        "versions": versions(),
        "python": platform.python_version(),
        "hardware": hardware(),
        "command": " ".join(Path(a).name if i == 0 else a for i, a in enumerate(sys.argv)),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def versions() -> dict[str, str]:
    """Versions of the packages that can change a result; those not installed are missing."""
    installed = {}
    for package in PACKAGES:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return installed


@cache
def hardware() -> dict[str, Any]:
    """Processor and its cores."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        cpu = names[0] if names else cpu
    return {"cpu": cpu, "cores": os.cpu_count()}


def uncommitted_diff() -> str:
    """The change of the checkout against its commit; empty outside a checkout."""
    return _git("diff", "HEAD") or ""


def commit() -> str | None:
    """The commit that is checked out; None outside a git checkout."""
    return _code().get("commit")


@cache
def _code() -> dict[str, str]:
    head = _git("rev-parse", "HEAD")
    if head is None:
        return {}
    diff = uncommitted_diff()
    changed = {"diff_sha256": hashlib.sha256(diff.encode()).hexdigest()} if diff else {}
    return {"commit": head.strip()} | changed


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None

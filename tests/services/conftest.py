"""Real services, started for these tests and stopped by the process ids that they wrote down.

With pytest-xdist each worker would start its own: tests of one service share an `xdist_group` (`--dist loadgroup`).
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def slurm(tmp_path_factory) -> Iterator[dict[str, str]]:
    """The environment in which SLURM's commands reach a node of our own; pytest keeps the logs for a while."""
    with service("slurm", "SLURM", tmp_path_factory.mktemp("slurm")) as path:
        yield os.environ | {"SLURM_CONF": path}


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URI of an empty database."""
    # PostgreSQL runs as a user of its own, to whom pytest's folders are closed.
    folder = Path(tempfile.mkdtemp(prefix="lab-postgres-"))
    folder.chmod(0o755)
    with service("postgres", "PostgreSQL", folder) as uri:
        yield uri
    shutil.rmtree(folder)


@contextmanager
def service(script: str, name: str, folder: Path) -> Iterator[str]:
    """What `start` printed after its `=`; the tests are skipped, with its reason, where it cannot start."""
    command = ["bash", str(HERE / f"{script}.sh")]
    try:
        started = subprocess.run([*command, "start", str(folder)], capture_output=True, text=True, check=False)
        if started.returncode != 0:
            pytest.skip(f"{name} cannot start here: {started.stderr.strip()}")
        yield started.stdout.strip().partition("=")[2]
    finally:
        subprocess.run([*command, "stop", str(folder)], check=True)

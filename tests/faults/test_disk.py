"""A disk that is full, a folder that cannot be written, a user who presses Ctrl-C twice."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from lina_lab.ledger.leases import last_attempt
from tests.faults.test_kills import EXPERIMENT, LAB, cells, environment, outcome, write_sweep
from tests.lab import lab as run

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("faults")]


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of 3 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no small disk can be mounted here: {getattr(error, 'stderr', error)}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def remount(folder: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(folder)], check=True)


def study(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "small.yaml").write_text(EXPERIMENT.replace("steps: 300", "steps: 60"))
    write_sweep(folder, 1)
    return folder


def lab(folder: Path, *words: str, code: int) -> str:
    done = run(folder, *words, code=code)
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = study(tmp_path_factory.mktemp("undisturbed") / "study")
    lab(folder, "sweep", "little.yaml", "--workers", "2", "--no-tracking", code=0)
    return outcome(folder)


def test_a_full_disk_is_told_and_the_sweep_goes_on_when_there_is_room(small_disk, undisturbed):
    folder = study(small_disk)
    output = lab(folder, "sweep", "little.yaml", "--workers", "2", code=1)
    assert "No space left on device" in output
    remount(folder, "size=300m")
    lab(folder, "retry", "little", "--workers", "2", code=0)
    assert outcome(folder) == undisturbed
    assert "runs of 4 cells" in lab(folder, "sync", "little", code=0)


def test_a_folder_that_cannot_be_written_is_one_message_and_status_still_works(small_disk, undisturbed):
    folder = study(small_disk)
    remount(folder, "size=300m")
    remount(folder, "ro")
    output = lab(folder, "sweep", "little.yaml", "--no-tracking", code=2)
    assert output.strip().endswith("\nerror: runs: Read-only file system")
    remount(folder, "rw")
    lab(folder, "sweep", "little.yaml", "--no-tracking", "--workers", "2", code=0)
    remount(folder, "ro")
    assert "4 done of 4 cells" in lab(folder, "status", "little", code=0)
    assert outcome(folder) == undisturbed


def test_ctrl_c_twice_ends_at_once_and_the_sweep_goes_on_later(tmp_path, undisturbed):
    folder = study(tmp_path / "study")
    command = [*LAB, "sweep", "little.yaml", "--workers", "2", "--no-tracking"]
    with (tmp_path / "log").open("w") as log:
        launcher = subprocess.Popen(command, cwd=folder, env=environment(), stdout=log, stderr=log)
        deadline = time.monotonic() + 120
        while not any(last_attempt(cell) for cell in cells(folder)):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        launcher.send_signal(signal.SIGINT)
        time.sleep(0.05)
        launcher.send_signal(signal.SIGINT)
        assert launcher.wait(120) == 130
    assert "Traceback" not in (tmp_path / "log").read_text()
    for cell in cells(folder):
        attempt = last_attempt(cell)
        assert attempt is None or attempt.ended is not None or not _lives(attempt.pid)
    lab(folder, "sweep", "little.yaml", "--workers", "2", "--no-tracking", code=0)
    assert outcome(folder) == undisturbed


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True

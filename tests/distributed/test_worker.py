"""One process of a group: what it leaves for the worker that waits, here of a group of one in this process."""

import json
import subprocess
import sys
import threading

import pytest
from safetensors.torch import load_file

from lina_lab.config.engine import Group
from lina_lab.distributed import worker
from lina_lab.distributed.launch import ENDED, STOP, GroupEnd
from lina_lab.errors import LabError
from lina_lab.ledger.cells import create_cell
from lina_lab.ledger.leases import Watch, claim
from lina_lab.training.train import Start
from tests.cells import experiment


@pytest.fixture
def run(monkeypatch):
    """`run(folder, until=0)` as the only process of a group: how it ended."""
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setattr(worker, "_watch", lambda folder, attempt, stop: None)

    def call(folder, until=0):
        worker.run(folder, Start(), until, 0, Group())
        return GroupEnd(**json.loads((folder / ENDED).read_text()))

    return call


@pytest.mark.slow
def test_it_leaves_the_weights_of_a_training_without_a_group(run, tmp_path, whole):
    folder = create_cell(tmp_path, experiment())
    ended = run(folder)
    assert (ended.diverged_at, ended.failed, ended.stopped) == (None, "", False)
    assert ended.seconds > 0
    ours, theirs = (load_file(f / "ema.safetensors") for f in (folder, whole))
    assert all(ours[name].equal(tensor) for name, tensor in theirs.items())


@pytest.mark.slow
def test_a_pause_leaves_a_checkpoint_and_no_weights(run, tmp_path):
    folder = create_cell(tmp_path, experiment())
    assert run(folder, until=4).stopped
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["step-0000004.ckpt"]
    assert not (folder / "ema.safetensors").exists()


@pytest.mark.parametrize(
    ("error", "failed", "refused"),
    [(LabError("no such data\nmore"), "no such data", True), (KeyError("x"), "rank 0: KeyError: 'x'", False)],
)
def test_what_goes_wrong_is_told_in_one_line_and_whether_a_retry_can_help(
    run, tmp_path, monkeypatch, error, failed, refused, capsys
):
    def broken(*arguments, **more):
        raise error

    monkeypatch.setattr(worker, "load_dataset", broken)
    folder = create_cell(tmp_path, experiment())
    with pytest.raises(type(error)):
        run(folder)
    ended = GroupEnd(**json.loads((folder / ENDED).read_text()))
    assert (ended.failed, ended.refused) == (failed, refused)
    assert "Traceback" in capsys.readouterr().err


def test_a_stop_is_passed_on(tmp_path):
    stop = threading.Event()
    (tmp_path / STOP).touch()
    threading.Thread(target=worker._watch, args=(tmp_path, 0, stop), daemon=True).start()
    assert stop.wait(60)


@pytest.mark.slow
def test_a_process_whose_attempt_is_over_ends_at_once(tmp_path):
    """Another may have taken the cell: two must not write."""
    claim(tmp_path, Watch()).end("died")
    code = "import sys, pathlib, threading; from lina_lab.distributed.worker import _watch\n"
    code += "_watch(pathlib.Path(sys.argv[1]), 1, threading.Event())"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], timeout=120, check=False)
    assert done.returncode == worker.TAKEN_OVER

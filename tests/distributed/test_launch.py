"""A cell trained by several processes: the same result as by one, and the same ends."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lina_lab.cell.run import run_cell
from lina_lab.config.engine import Group
from lina_lab.distributed import launch
from lina_lab.distributed.launch import group_command
from lina_lab.errors import LabError
from lina_lab.ledger.cells import create_cell
from lina_lab.ledger.leases import last_attempt
from lina_lab.ledger.metrics import read_metrics
from lina_lab.ledger.result import read_result
from lina_lab.ledger.status import read_status
from lina_lab.model.random_streams import BatchShard, step_streams
from lina_lab.training.train import Start, build_model
from tests.cells import experiment

LONG = {"training__steps": 400, "logging__every": 5, "logging__validate_every": 1000, "logging__checkpoint_every": 50}


def losses(folder):
    return {(row.step, row.metric): row.value for row in read_metrics(folder) if row.metric.endswith("/loss")}


def assert_the_same_to_rounding(folder, other):
    assert losses(folder) == pytest.approx(losses(other), rel=1e-5)
    ours, theirs = (load_file(f / "ema.safetensors") for f in (folder, other))
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("share", [0, 1, 2])
def test_the_mean_over_shares_is_the_loss_of_the_batch(share):
    """One gradient of a share, thrice: with another share's draws the mean would be another."""
    model, config = build_model(experiment()), experiment().training
    torch.nn.init.normal_(model.head.out.weight, std=0.1)
    images, labels = torch.randn(6, 1, 8, 8), torch.arange(6)
    whole = model.loss((images, labels), config, step_streams(0, 3))
    parts = [
        model.loss((images[2 * i : 2 * i + 2], labels[2 * i : 2 * i + 2]), config, step_streams(0, 3), BatchShard(i, 3))
        for i in range(3)
    ]
    torch.testing.assert_close(torch.stack(parts).mean(), whole)
    assert not torch.allclose(parts[share], whole)


@pytest.mark.slow
def test_a_group_that_pauses_is_continued_by_a_sharded_group(tmp_path, whole):
    folder = create_cell(tmp_path, experiment())
    assert run_cell(folder, until=4, group=Group(2)) == "paused"
    assert [p.name for p in (folder / "checkpoints").iterdir()] == ["step-0000004.ckpt"]
    assert run_cell(folder, group=Group(2, strategy="fsdp")) == "done"
    assert_the_same_to_rounding(folder, whole)
    assert read_result(folder).provenance.group == {"devices": 2, "num_nodes": 1, "strategy": "fsdp"}


@pytest.mark.slow
def test_a_group_that_is_stopped_leaves_a_checkpoint(tmp_path):
    folder, stop = create_cell(tmp_path, experiment(**LONG)), threading.Event()
    stopper = threading.Thread(target=lambda: (await_step(folder, 5), stop.set()))
    stopper.start()
    assert run_cell(folder, stop, group=Group(2)) == "stopped"
    stopper.join()
    assert len(list((folder / "checkpoints").glob("*.ckpt"))) == 1
    assert not (folder / "stop").exists()


def await_step(folder: Path, step: int) -> None:
    deadline = time.monotonic() + 120
    while read_status(folder).step < step and not losses(folder):
        assert time.monotonic() < deadline, "the group did not train"
        time.sleep(0.1)


def ranks_of(folder: Path) -> list[int]:
    """Process numbers of the ranks that train a cell."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it has just ended
            continue
        if str(folder) in words and "lina_lab.distributed.worker" in words and "torch.distributed.run" not in words:
            found.append(int(path.parent.name))
    return found


@pytest.mark.slow
def test_a_killed_rank_takes_its_group_with_it_and_is_named(tmp_path):
    folder = create_cell(tmp_path, experiment(**LONG))
    killer = threading.Thread(target=lambda: (await_step(folder, 5), os.kill(max(ranks_of(folder)), signal.SIGKILL)))
    killer.start()
    with pytest.raises(RuntimeError, match=r"a process that trains the cell is gone|rank \d: "):
        run_cell(folder, group=Group(2))
    killer.join()
    assert ranks_of(folder) == []


@pytest.mark.slow
def test_a_group_whose_worker_is_killed_ends_by_itself(tmp_path):
    folder = create_cell(tmp_path, experiment(**LONG))
    command = [sys.executable, "-m", "lina_lab.cli.main", "cell", "run", str(folder), "--devices", "2", "--retries=0"]
    launcher = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    await_step(folder, 5)
    assert len(ranks_of(folder)) == 2
    os.kill(last_attempt(folder).pid, signal.SIGKILL)
    assert launcher.wait(120) == 1
    deadline = time.monotonic() + 120
    while ranks_of(folder):
        assert time.monotonic() < deadline, "ranks went on without their worker"
        time.sleep(0.1)
    assert last_attempt(folder).ended == "died"


def test_a_batch_that_processes_cannot_share_is_refused(tmp_path):
    folder = create_cell(tmp_path, experiment())
    with pytest.raises(LabError, match=r"multiple of the 3 processes .*devices 3 x num_nodes 1.*, not 8"):
        run_cell(folder, group=Group(3))


@pytest.mark.slow
def test_several_nodes_meet_through_srun_and_train_the_same(tmp_path, whole, monkeypatch):
    """A stand-in for srun starts the command once for each of two nodes, both here; the first one hosts the meeting."""
    srun = tmp_path / "bin" / "srun"
    srun.parent.mkdir()
    srun.write_text(
        f"#!{sys.executable}\n"
        "import subprocess, sys\n"
        "words = [w for w in sys.argv[1:] if not w.startswith(('--nodes', '--ntasks', '--kill-on'))]\n"
        "at = words.index('torch.distributed.run') + 1\n"
        "nodes = [words[:at] + [f'--rdzv-conf=is_host={host}'] + words[at:] for host in (1, 0)]\n"
        "ends = [node.wait() for node in [subprocess.Popen(node) for node in nodes]]\n"
        "sys.exit(max(map(abs, ends)))\n"
    )
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", f"{srun.parent}:{os.environ['PATH']}")
    folder = create_cell(tmp_path, experiment())
    group = Group(1, 2)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(LabError, match="num_nodes 2: a cell on several nodes runs inside a SLURM job"):
        group_command(folder, Start(), 0, group)
    monkeypatch.setenv("SLURM_JOB_ID", str(os.getpid()))
    monkeypatch.delenv("SLURMD_NODENAME", raising=False)
    command = group_command(folder, Start(), 0, group)
    assert command[:5] == ["srun", "--nodes=2", "--ntasks=2", "--ntasks-per-node=1", "--kill-on-bad-exit=1"]
    assert run_cell(folder, group=group) == "done"
    assert_the_same_to_rounding(folder, whole)


def test_a_group_that_would_load_changed_files_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "changed_files", lambda: ["model/lina.py"])
    with pytest.raises(LabError, match=r"changed since they were loaded \(model/lina.py\): start again"):
        launch.train_together(tmp_path, Start(), threading.Event(), 0, Group(2))

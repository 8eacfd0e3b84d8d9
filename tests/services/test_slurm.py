"""A real sweep on a real SLURM of one node: submitted, stopped, killed, preempted, and always finished."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from lina_lab.ledger.leases import attempts, last_attempt
from lina_lab.ledger.metrics import read_metrics
from lina_lab.ledger.result import is_done, read_result
from lina_lab.ledger.status import read_status
from tests.lab import lab as lab_here

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("slurm")]

LAB = [sys.executable, "-m", "lina_lab.cli.main"]
EXPERIMENT = """\
name: small
model: {{size: nano, patch: 2}}
training: {{steps: {steps}, batch_size: 8, learning_rate: 2e-3}}
sampling: {{autoregressive_steps: 3, flow_steps: 2}}
evaluation: {{num_samples: 40}}
logging: {{every: 5, validate_every: 1000, checkpoint_every: 10}}
"""
SWEEP = """\
name: little
question: Does it run there?
experiment: small.yaml
axes: {{model.attention.normalization: [{values}]}}
engine: {{name: slurm, time: "5:00", cpus: {cpus}{more}}}
"""


def study(folder: Path, steps: int, values: str = "division", cpus: int = 1, more: str = "") -> Path:
    folder.mkdir()
    (folder / "small.yaml").write_text(EXPERIMENT.format(steps=steps))
    (folder / "little.yaml").write_text(SWEEP.format(values=values, cpus=cpus, more=more))
    return folder


def run(environment: dict, folder: Path, *words: str) -> str:
    clean = {k: v for k, v in environment.items() if not k.startswith(("LAB_", "MLFLOW_"))}
    done = subprocess.run(words, cwd=folder, env=clean, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def lab(environment: dict, folder: Path, *words: str) -> str:
    with mock.patch.dict(os.environ, environment):
        return lab_here(folder, *words).stdout


def cells(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob("runs/*/config.yaml"))


def until(condition, what: str, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def settled(cell: Path) -> bool:
    """The result is written, and the worker that wrote it has noted the end of its attempt, which comes after."""
    return is_done(cell) and last_attempt(cell).ended is not None


def log(folder: Path) -> str:
    return "".join(path.read_text() for path in sorted(folder.glob("runs/sweeps/little.slurm/*.log")))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The same cell, run by the local engine without any trouble: its metrics and weights."""
    folder = study(tmp_path_factory.mktemp("local") / "study", 400)
    lab({}, folder, "sweep", "little.yaml", "--engine", "local", "--no-tracking")
    (cell,) = cells(folder)
    return [row[:3] for row in read_metrics(cell)], (cell / "ema.safetensors").read_bytes()


def assert_as_if_undisturbed(cell: Path, undisturbed) -> None:
    assert [row[:3] for row in read_metrics(cell)] == undisturbed[0]
    assert (cell / "ema.safetensors").read_bytes() == undisturbed[1]


STOPPING = "stopping: the cells write a checkpoint"


@contextlib.contextmanager
def frozen(cell: Path) -> Iterator[None]:
    """Its worker stands still meanwhile, so that no machine is fast enough to finish the cell; SLURM may wake it."""
    pid = last_attempt(cell).pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def is_training(folder: Path) -> bool:
    return any(read_status(c).state == "running" and read_status(c).step > 20 for c in cells(folder))


def test_a_sweep_is_submitted_followed_and_finished(slurm, tmp_path):
    folder = study(tmp_path / "study", 30, "division, subtraction, softmax", more=", gpus: 1")
    output = lab(slurm, folder, "sweep", "little.yaml")
    assert re.search(r"little: 3 of 3 cells submitted as job \d+", output)
    again = lab(slurm, folder, "sweep", "little.yaml", "--no-tracking")
    assert "nothing to submit" in again
    until(lambda: all(settled(c) for c in cells(folder)), "cells were not done")
    assert "3 done of 3 cells" in lab(slurm, folder, "status", "little")
    assert all(re.fullmatch(r"\d+_[123]", last_attempt(c).job) for c in cells(folder))
    until(lambda: not run(slurm, folder, "squeue", "--noheader").strip(), "a job ships no end")
    synced = lab(slurm, folder, "sync", "little")
    assert "runs of 3 cells" in synced
    # On a loaded machine a job may have no time to ship its end, and says so.
    assert "sent now: 0 runs, 0 metrics" in synced or "MLflow is behind: it took longer than" in log(folder)
    assert "nothing to submit" in lab(slurm, folder, "sweep", "little.yaml", "--no-tracking")
    # Each job saw a GPU of its own, and its worker was told which.
    assert all("CUDA_VISIBLE_DEVICES=" in (c / "log.txt").read_text() for c in cells(folder))


def test_a_job_that_runs_out_of_time_or_is_preempted_requeues_itself_and_finishes(slurm, tmp_path, undisturbed):
    """First the signal that SLURM sends before the time limit, sent early; then a job of a partition that preempts."""
    folder = study(tmp_path / "study", 400, cpus=2)
    lab(slurm, folder, "sweep", "little.yaml", "--no-tracking")
    until(lambda: is_training(folder), "the cell did not train")
    (cell,) = cells(folder)
    with frozen(cell):
        run(slurm, folder, "scancel", "--batch", "--signal=TERM", last_attempt(cell).job)
        until(lambda: STOPPING in log(folder), "the job did not get the signal")
    until(lambda: "stopped, requeued" in log(folder), "the job did not requeue itself")
    assert attempts(cell)[0].ended == "stopped"
    assert len(attempts(cell)) > 1 or read_status(cell).state == "waiting"
    until(lambda: len(attempts(cell)) == 2 and is_training(folder), "the requeued job did not go on")
    with frozen(cell):
        run(slurm, folder, "sbatch", "--partition=urgent", "--cpus-per-task=2", "--output=/dev/null", "--wrap=sleep 1")
        until(lambda: log(folder).count(STOPPING) == 2, "the job was not preempted")
    until(lambda: settled(cell), "the preempted job did not finish")
    assert [a.ended for a in attempts(cell)] == ["stopped", "stopped", "done"]
    assert_as_if_undisturbed(cell, undisturbed)


def test_a_task_that_requeues_itself_leaves_the_other_tasks_of_its_array_alone(slurm, tmp_path):
    """One task has the array's own number as its job number: by that one SLURM would requeue the whole array."""
    folder = study(tmp_path / "study", 400, "division, subtraction")
    lab(slurm, folder, "sweep", "little.yaml", "--no-tracking")
    until(lambda: all(read_status(c).step > 20 for c in cells(folder)), "the cells did not train")
    numbers = dict(line.split() for line in run(slurm, folder, "squeue", "-h", "--format", "%i %A").splitlines())
    named = {last_attempt(cell).job: cell for cell in cells(folder)}
    (asked,) = (task for task, number in numbers.items() if task.partition("_")[0] == number)
    (other,) = set(named) - {asked}
    with frozen(named[asked]):
        run(slurm, folder, "scancel", "--batch", "--signal=TERM", asked)
        until(lambda: STOPPING in log(folder), "the job did not get the signal")
    until(lambda: "stopped, requeued" in log(folder), "the job did not requeue itself")
    running = run(slurm, folder, "squeue", "-h", "--states=RUNNING", "--format", "%i").split()
    assert other in running or is_done(named[other])
    until(lambda: all(settled(c) for c in cells(folder)), "the cells were not done")
    assert [a.ended for a in attempts(named[asked])] == ["stopped", "done"]
    assert [a.ended for a in attempts(named[other])] == ["done"]


def test_a_killed_worker_is_replaced_within_its_job_and_a_killed_job_by_the_next_sweep(slurm, tmp_path, undisturbed):
    folder = study(tmp_path / "study", 400)
    lab(slurm, folder, "sweep", "little.yaml", "--no-tracking")
    until(lambda: is_training(folder), "the cell did not train")
    (cell,) = cells(folder)
    os.kill(last_attempt(cell).pid, signal.SIGKILL)
    until(lambda: len(attempts(cell)) == 2 and is_training(folder), "the worker was not replaced")
    job = last_attempt(cell).job
    with frozen(cell):
        run(slurm, folder, "scancel", "--full", "--signal=KILL", job)
        until(lambda: read_status(cell).state == "waiting", "the killed job still counts as running")
    until(lambda: job not in run(slurm, folder, "squeue", "--array", "--noheader", "--format=%i"), "the job is there")
    assert "submitted as job" in lab(slurm, folder, "sweep", "little.yaml", "--no-tracking")
    until(lambda: settled(cell), "the sweep did not finish")
    first, second, third = attempts(cell)
    assert (first.ended, third.ended) == ("died", "done")
    assert second.ended in {None, "stopped"}  # it outlived its launcher by a moment, or not
    assert_as_if_undisturbed(cell, undisturbed)


def test_a_cancelled_job_stays_cancelled_and_keeps_its_checkpoint(slurm, tmp_path):
    folder = study(tmp_path / "study", 4000)
    lab(slurm, folder, "sweep", "little.yaml", "--no-tracking")
    until(lambda: is_training(folder), "the cell did not train")
    (cell,) = cells(folder)
    run(slurm, folder, "scancel", last_attempt(cell).job)
    until(lambda: last_attempt(cell).ended == "stopped", "no checkpoint was written")
    until(lambda: "stopped; it will continue" in log(folder), "the log does not say so")
    until(lambda: not run(slurm, folder, "squeue", "--noheader").strip(), "the job came back")


def test_what_sbatch_refuses_is_one_clear_message(slurm, tmp_path):
    folder = study(tmp_path / "study", 30, more=", partition: nowhere")
    done = subprocess.run(
        [*LAB, "sweep", "little.yaml", "--no-tracking"],
        cwd=folder,
        env=slurm,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: sbatch: ")
    assert "partition" in done.stderr


def test_a_tuning_goes_on_by_itself_when_its_trials_have_ended(slurm, tmp_path):
    """Two rounds of trials and the tuned cell, each submitted by a job that waited for the one before."""
    tune = "\ntune: {search: {training.learning_rate: {low: 1e-4, high: 1e-1}}, trials: 2, parallel: 1}"
    folder = study(tmp_path / "study", 30)
    (folder / "little.yaml").write_text((folder / "little.yaml").read_text() + tune)
    output = lab(slurm, folder, "sweep", "little.yaml", "--no-tracking")
    assert "1 of 3 cells submitted" in output
    assert re.search(r"will be submitted by job \d+", output)
    until(lambda: sum(settled(cell) for cell in cells(folder)) == 3, "the tuning did not go on")
    assert "3 done of 3 cells" in lab(slurm, folder, "status", "little")


def test_a_cell_of_two_processes_is_stopped_requeued_and_finished(slurm, tmp_path):
    """To the same numbers as undisturbed: the sums of a group are those of the group."""
    more = ", devices: 2, strategy: ddp"
    whole = study(tmp_path / "whole", 400)
    lab({}, whole, "sweep", "little.yaml", "--engine=local", "--devices=2", "--no-tracking")
    folder = study(tmp_path / "study", 400, cpus=2, more=more)
    lab(slurm, folder, "sweep", "little.yaml", "--no-tracking")
    until(lambda: is_training(folder), "the group did not train")
    (cell,), (expected,) = cells(folder), cells(whole)
    run(slurm, folder, "scancel", "--batch", "--signal=TERM", last_attempt(cell).job)
    until(lambda: settled(cell), "the requeued group did not finish")
    assert [a.ended for a in attempts(cell)] == ["stopped", "done"]
    assert read_result(cell).provenance.group == {"devices": 2, "num_nodes": 1, "strategy": "ddp"}
    assert [row[:3] for row in read_metrics(cell)] == [row[:3] for row in read_metrics(expected)]

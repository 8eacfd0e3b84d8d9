"""The local engine, with real worker processes."""

import os
import signal
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path

import pytest

from lina_lab.config.engine import EngineConfig
from lina_lab.config.load import Document
from lina_lab.config.sweep import Sweep
from lina_lab.errors import LabError
from lina_lab.ledger.cells import create_cell
from lina_lab.ledger.leases import Watch, attempts, last_attempt
from lina_lab.ledger.metrics import read_metrics
from lina_lab.ledger.result import is_done, read_result
from lina_lab.ledger.status import read_status
from lina_lab.sweep import local_engine
from lina_lab.sweep.local_engine import Engine, Finished, cores, slots, visible_gpus
from lina_lab.sweep.planning import PlannedSweep, expand
from lina_lab.sweep.progress import Snapshot
from lina_lab.sweep.run import run_sweep
from lina_lab.sweep.slurm_engine import job_script

BASE = {
    "name": "test",
    "model": {"size": "nano", "patch": 2},
    "training": {"steps": 6, "batch_size": 8, "learning_rate": 2e-3},
    "sampling": {"autoregressive_steps": 3, "flow_steps": 2},
    "evaluation": {"num_samples": 40},
    "logging": {"every": 2, "validate_every": 6, "checkpoint_every": 2},
}


def plan(base: dict = BASE, **axes: list) -> PlannedSweep:
    axes = {path.replace("__", "."): values for path, values in axes.items()}
    axes = axes or {"model.attention.normalization": ["division", "subtraction"]}
    sweep = Sweep(name="test", question="?", experiment="-", axes=axes)
    return expand(sweep, Document(base, {}), Document({}, {}), Path("test.yaml"))


def sweep(runs: Path, planned: PlannedSweep, workers: int = 2, show=lambda snapshot, new: None) -> list[Finished]:
    return run_sweep(runs, planned, [{}] * workers, show, 0)


def run(folders: list[Path], tick=lambda new: None, retries: int = 0, where=({},)) -> list[Finished]:
    return Engine(deque(folders), where, retries).run(tick)


def metrics(folder: Path) -> list[tuple]:
    return [(row.step, row.metric, row.value) for row in read_metrics(folder)]


@pytest.mark.slow
def test_a_sweep_runs_every_cell_and_a_second_one_runs_none(tmp_path):
    shown: list[Snapshot] = []
    ended = sweep(tmp_path, plan(), show=lambda snapshot, new: shown.append(snapshot))
    assert sorted(f.state for f in ended) == ["done", "done"]
    assert [row.state for row in shown[-1].rows] == ["done", "done"]
    assert any(row.state == "running" for snapshot in shown for row in snapshot.rows)
    assert shown[-1].seconds_left == pytest.approx(0)
    assert sweep(tmp_path, plan()) == []


@pytest.mark.slow
def test_results_do_not_depend_on_the_number_of_workers_or_the_order(tmp_path):
    for workers in (1, 2):
        sweep(tmp_path / str(workers), plan(), workers)
    for cell in plan().plan.cells:
        one, two = (tmp_path / str(w) / cell.key for w in (1, 2))
        assert metrics(one) == metrics(two)
        assert (one / "ema.safetensors").read_bytes() == (two / "ema.safetensors").read_bytes()


@pytest.mark.slow
def test_a_cell_that_fails_or_whose_worker_dies_does_not_stop_the_others(tmp_path):
    """One cell is not readable, the worker of another is killed; the third, on the same one worker slot, is done."""
    long = plan(BASE | {"training": BASE["training"] | {"steps": 5000}}, seed=[1]).own_experiments[0]
    first, second = plan().own_experiments
    bad, killed, good = (create_cell(tmp_path, e) for e in (first, long, second))
    (bad / "config.yaml").write_text("schema: 1\nnonsense: true\n")
    ended = {f.folder: f for f in run([bad, killed, good], kill_once_it_trains(killed, signal.SIGKILL), retries=0)}
    assert ended[good].state == "done"
    assert ended[bad].state == "failed"
    assert "config.yaml" in (bad / "error.txt").read_text()
    assert "Traceback" not in (bad / "error.txt").read_text()
    assert (ended[killed].state, ended[killed].reason) == ("failed", "its process was killed by SIGKILL")
    assert read_status(killed).state == "failed"


@pytest.mark.slow
def test_a_killed_cell_is_tried_again_and_ends_as_if_nothing_had_been(tmp_path):
    experiment = plan(BASE | {"training": BASE["training"] | {"steps": 60}}).own_experiments[0]
    whole, killed = (create_cell(tmp_path / name, experiment) for name in "ab")
    run([whole])
    (ended,) = run([killed], kill_once_it_trains(killed, signal.SIGKILL), retries=1)
    assert ended.state == "done"
    assert [a.ended for a in attempts(killed)] == ["died", "done"]
    assert metrics(killed) == metrics(whole)
    assert (killed / "ema.safetensors").read_bytes() == (whole / "ema.safetensors").read_bytes()


@pytest.mark.slow
def test_a_worker_that_is_told_to_stop_leaves_a_checkpoint_of_its_very_step(tmp_path):
    base = BASE | {"training": BASE["training"] | {"steps": 80}, "logging": {"checkpoint_every": 1000}}
    experiment = plan(base).own_experiments[0]
    whole, stopped = (create_cell(tmp_path / name, experiment) for name in "ab")
    run([whole])
    run([stopped], kill_once_it_trains(stopped, signal.SIGTERM), retries=0)
    assert [a.ended for a in attempts(stopped)] == ["stopped", "done"]
    (checkpoint,) = (stopped / "checkpoints").iterdir()
    assert 0 < int(checkpoint.stem.removeprefix("step-")) < 80
    assert metrics(stopped) == metrics(whole)
    assert (stopped / "ema.safetensors").read_bytes() == (whole / "ema.safetensors").read_bytes()


@pytest.mark.slow
def test_the_display_goes_on_while_the_first_worker_starts_and_a_worker_that_died_idle_is_replaced(
    tmp_path, monkeypatch
):
    first, second = (create_cell(tmp_path, experiment) for experiment in plan().own_experiments)
    engine, shown, start = Engine(deque([first]), [{}], 0), threading.Event(), Engine._start_worker
    monkeypatch.setattr(Engine, "_start_worker", lambda engine: shown.wait(60) and start(engine))
    waited = []

    def tick(new):
        waited.append(not engine.running)
        if len(waited) == 4:
            shown.set()
        if new and new[0].folder == first:
            engine.idle[0].process.kill()
            engine.idle[0].process.join()
            engine.queue.append(second)

    assert [finished.state for finished in engine.run(tick)] == ["done", "done"]
    assert waited[:4] == [True] * 4
    assert [[a.ended for a in attempts(folder)] for folder in (first, second)] == [["done"], ["done"]]


@pytest.mark.slow
def test_two_launchers_share_the_work_and_run_no_cell_twice(tmp_path):
    three = plan(training__weight_decay=[0.0, 0.01, 0.02])
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[2]); import test_local_engine as t\n"
        "t.sweep(pathlib.Path(sys.argv[1]), t.plan(training__weight_decay=[0.0, 0.01, 0.02]), 1)"
    )
    command = [sys.executable, "-c", code, str(tmp_path), str(Path(__file__).parent)]
    launchers = [subprocess.Popen(command) for _ in range(2)]
    assert [launcher.wait(200) for launcher in launchers] == [0, 0]
    worked = [attempts(tmp_path / cell.key) for cell in three.plan.cells]
    assert [[a.ended for a in of_cell] for of_cell in worked] == [["done"]] * 3
    assert len({of_cell[0].pid for of_cell in worked}) == 2


def test_slots_are_cores_or_places_on_gpus():
    assert slots(3, 1, []) == [{}] * 3
    assert len(slots("auto", 2, [])) == cores()
    assert [s["CUDA_VISIBLE_DEVICES"] for s in slots("auto", 2, ["0", "3"])] == ["0", "3", "0", "3"]
    assert [s["CUDA_VISIBLE_DEVICES"] for s in slots(3, 2, ["0", "3"])] == ["0", "3", "0"]
    assert [s["CUDA_VISIBLE_DEVICES"] for s in slots("auto", 1, list("01234"), 2)] == ["0,1", "2,3"]
    assert len(slots("auto", 1, [], 2 * cores())) == 1
    with pytest.raises(LabError, match="devices must be at most the 2 GPUs that are visible here, not 3"):
        slots("auto", 1, ["0", "3"], 3)


def test_a_job_on_several_nodes_asks_for_them_and_tells_the_cell(tmp_path):
    engine = EngineConfig(name="slurm", num_nodes=2, devices=4, gpus=4, strategy="fsdp")
    script = job_script("s", tmp_path / "1.cells", 3, engine).splitlines()
    assert {"#SBATCH --nodes=2", "#SBATCH --ntasks-per-node=1", "#SBATCH --gres=gpu:4"} <= set(script)
    assert script[-1].endswith("--devices=4 --num-nodes=2 --strategy=fsdp")
    alone = job_script("s", tmp_path / "1.cells", 3, EngineConfig(name="slurm"))
    assert "--nodes" not in alone


def test_gpus_are_those_that_the_environment_leaves(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert visible_gpus() == ["2", "5"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == []
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho 'GPU 0: H100 (UUID: a)'\necho 'GPU 1: H100 (UUID: b)'\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert visible_gpus() == ["0", "1"]
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert visible_gpus() == []


@pytest.mark.slow
def test_a_worker_works_where_its_slot_says_and_its_log_lines_are_in_its_cells_log(tmp_path):
    wild = BASE["sampling"] | {"guidance_scale": 1e30}
    folder = create_cell(tmp_path, plan(BASE | {"sampling": wild}).own_experiments[0])
    run([folder], where=[{"CUDA_VISIBLE_DEVICES": ""}])
    first, *lines = (folder / "log.txt").read_text().splitlines()
    assert first.endswith(
        f"INFO lina_lab.sweep.local_worker: process {last_attempt(folder).pid}, CUDA_VISIBLE_DEVICES="
    )
    said = "WARNING lina_lab.training.train: step 6: no sheet of samples: samples not finite"
    assert len([line for line in lines if said in line]) == 1


@pytest.mark.slow
def test_a_worker_that_has_loaded_other_code_than_the_launcher_runs_nothing(tmp_path, monkeypatch):
    folder = create_cell(tmp_path, plan().own_experiments[0])
    monkeypatch.setattr(local_engine, "loaded", lambda: "of an hour ago")
    monkeypatch.setattr(local_engine, "changed_files", lambda: ["model/lina.py"])
    with pytest.raises(LabError, match=r"changed since the cells were planned \(model/lina.py\): start again"):
        run([folder])
    assert (attempts(folder), read_status(folder).state) == ([], "waiting")


def kill_once_it_trains(folder: Path, number: int):
    """A tick that sends a signal to the cell's process, once, when it has made a step."""
    sent = []

    def tick(new):
        last, status = last_attempt(folder), read_status(folder)
        if not sent and last is not None and last.ended is None and status.step > 0:
            sent.append(last.pid)  # its end may be written later than it is gone
            os.kill(last.pid, number)

    return tick


@pytest.mark.slow
def test_ctrl_c_stops_the_workers_and_the_sweep_continues(tmp_path):
    longer = plan(BASE | {"training": BASE["training"] | {"steps": 150}})

    def interrupt(snapshot, new):
        if any(row.state == "running" and row.step > 0 for row in snapshot.rows):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(tmp_path, longer, show=interrupt)
    folders = [tmp_path / cell.key for cell in longer.plan.cells]
    assert not any(is_done(folder) for folder in folders)
    assert all(Watch().is_over(last_attempt(folder)) for folder in folders)
    assert any(last_attempt(folder).ended == "stopped" for folder in folders)
    sweep(tmp_path, longer)
    assert all(read_result(folder).state == "done" for folder in folders)

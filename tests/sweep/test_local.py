"""The local engine, with real worker processes."""

import os
import signal
from pathlib import Path

import pytest

from lina_lab.config.load import Document
from lina_lab.config.sweep import Plan, Sweep, expand
from lina_lab.ledger import create_cell, is_done, read_metrics, read_result, read_state
from lina_lab.sweep.local import run_cells
from lina_lab.sweep.run import Snapshot, run_sweep

BASE = {
    "name": "test",
    "model": {"size": "nano", "patch": 2},
    "training": {"steps": 6, "batch_size": 8, "learning_rate": 2e-3},
    "sampling": {"autoregressive_steps": 3, "flow_steps": 2},
    "evaluation": {"num_samples": 40},
    "logging": {"every": 2, "validate_every": 6, "checkpoint_every": 2},
}


def plan(base: dict = BASE, **axes: list) -> Plan:
    axes = {path.replace("__", "."): values for path, values in axes.items()}
    axes = axes or {"model.attention.normalization": ["division", "subtraction"]}
    sweep = Sweep(name="test", question="?", experiment="-", axes=axes)
    return expand(sweep, Document(base, {}), Document({}, {}), Path("test.yaml"))


def metrics(folder: Path) -> list[tuple]:
    return [(row.step, row.metric, row.value) for row in read_metrics(folder)]


def test_a_sweep_runs_every_cell_and_a_second_one_runs_none(tmp_path):
    shown: list[Snapshot] = []
    ended = run_sweep(tmp_path, plan(), 2, lambda snapshot, new: shown.append(snapshot))
    assert sorted(f.state for f in ended) == ["done", "done"]
    assert [row.state for row in shown[-1].rows] == ["done", "done"]
    assert any(row.state == "running" for snapshot in shown for row in snapshot.rows)
    assert shown[-1].seconds_left == pytest.approx(0)
    assert run_sweep(tmp_path, plan(), 2, lambda snapshot, new: None) == []


def test_results_do_not_depend_on_the_number_of_workers_or_the_order(tmp_path):
    for workers in (1, 2):
        run_sweep(tmp_path / str(workers), plan(), workers, lambda snapshot, new: None)
    for cell in plan().cells:
        one, two = (tmp_path / str(w) / cell.key for w in (1, 2))
        assert metrics(one) == metrics(two)
        assert (one / "ema.safetensors").read_bytes() == (two / "ema.safetensors").read_bytes()


def test_a_cell_that_fails_or_whose_worker_dies_does_not_stop_the_others(tmp_path):
    """One cell is not readable, the worker of another is killed; the third, on the same one worker slot, is done."""
    long = plan(BASE | {"training": BASE["training"] | {"steps": 5000}}, seed=[1]).cells[0]
    bad, killed, good = (create_cell(tmp_path, c.experiment) for c in (plan().cells[0], long, plan().cells[1]))
    (bad / "config.yaml").write_text("schema: 1\nnonsense: true\n")

    def kill(new):
        state = read_state(killed)
        if state["state"] == "running" and state.get("step", 0) > 0:
            pid = _worker_with(killed)
            if pid is not None:
                os.kill(pid, signal.SIGKILL)

    ended = {finished.folder: finished for finished in run_cells([bad, killed, good], 1, kill)}
    assert ended[good].state == "done"
    assert ended[bad].state == "failed"
    assert "config.yaml" in (bad / "error.txt").read_text()
    assert "Traceback" not in (bad / "error.txt").read_text()
    assert ended[killed].state == "failed"
    assert "died" in ended[killed].reason
    assert read_state(killed)["state"] == "failed"


def _worker_with(folder: Path) -> int | None:
    """The process that writes the cell's log."""
    for fds in Path("/proc").glob("[0-9]*/fd"):
        try:
            if any(os.path.realpath(fd) == str((folder / "log.txt").resolve()) for fd in fds.iterdir()):
                return int(fds.parent.name)
        except OSError:
            continue
    return None


def test_ctrl_c_stops_the_workers_and_the_sweep_continues(tmp_path):
    longer = plan(BASE | {"training": BASE["training"] | {"steps": 300}})

    def interrupt(snapshot, new):
        if any(row.state == "running" and row.step > 4 for row in snapshot.rows):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(tmp_path, longer, 2, interrupt)
    folders = [tmp_path / cell.key for cell in longer.cells]
    assert not any(is_done(folder) for folder in folders)
    assert all(_worker_with(folder) is None for folder in folders)
    run_sweep(tmp_path, longer, 2, lambda snapshot, new: None)
    assert all(read_result(folder)["state"] == "done" for folder in folders)

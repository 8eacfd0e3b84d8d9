"""Fifty kills at random points of a sweep, workers and launchers alike: the end is that of an undisturbed one."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from mlflow import MlflowClient

from lina_lab.analysis.table import results_table
from lina_lab.ledger.leases import Watch, last_attempt
from lina_lab.ledger.metrics import read_metrics
from lina_lab.ledger.plan import load_plan
from tests.lab import lab

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("faults")]

LAB = [sys.executable, "-m", "lina_lab.cli.main"]
KILLS = 50
EXPERIMENT = """\
name: small
model: {size: nano, patch: 2}
training: {steps: 300, batch_size: 4, learning_rate: 2e-3}
sampling: {autoregressive_steps: 3, flow_steps: 2}
evaluation: {num_samples: 40}
logging: {every: 3, validate_every: 50, checkpoint_every: 5}
"""
SWEEP = """\
name: little
question: Does it end as if nothing had been?
experiment: small.yaml
axes:
  model.attention.normalization: [division, subtraction]
  model.attention.conv_kernel: [0, 3]
seeds: {seeds}
"""


def environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith(("LAB_", "MLFLOW_"))}


def launch(folder: Path) -> subprocess.Popen:
    words = ["sweep", "little.yaml", "--workers", "2", "--retries", "1000"]
    with (folder / "launcher.log").open("a") as file:
        return subprocess.Popen([*LAB, *words], cwd=folder, env=environment(), stdout=file, stderr=file)


def study(folder: Path) -> Path:
    folder.mkdir()
    (folder / "small.yaml").write_text(EXPERIMENT)
    return folder


def write_sweep(folder: Path, seeds: int) -> None:
    (folder / "little.yaml").write_text(SWEEP.format(seeds=list(range(seeds))))


def outcome(folder: Path) -> tuple[str, dict]:
    """The table without clocks and commands, and every cell's metrics, weights and samples."""
    table = results_table(folder / "runs", load_plan(folder / "runs", "little"))
    clocks = [name for name in table.columns if name.endswith("_seconds")]
    table = table.drop(columns=[*clocks, "started", "command"])
    found = {}
    for key in table["key"]:
        cell = folder / "runs" / key
        sheets = {path.name: path.read_bytes() for path in sorted(cell.glob("samples/*.png"))}
        found[key] = ([r[:3] for r in read_metrics(cell)], (cell / "ema.safetensors").read_bytes(), sheets)
    return table.to_csv(index=False), found


def cells(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob("runs/*/config.yaml"))


def test_fifty_kills_change_nothing(tmp_path):
    folder, chance = study(tmp_path / "killed"), random.Random(int(os.environ.get("LAB_FAULT_SEED", "0")))
    kills: Counter[str] = Counter()
    seeds = 0
    while kills.total() < KILLS:  # a fast machine does more cells in the meantime than a slow one
        seeds += 1
        write_sweep(folder, seeds)
        kills += run_and_kill(folder, chance, KILLS - kills.total())
    assert kills == {"launcher": 4, "worker": 46}

    whole = study(tmp_path / "whole")
    write_sweep(whole, seeds)
    lab(whole, "sweep", "little.yaml", "--workers", "2", "--no-tracking")
    assert outcome(folder) == outcome(whole)
    lab(folder, "sync", "little")
    assert_in_mlflow(folder)


def run_and_kill(folder: Path, chance: random.Random, most: int) -> Counter[str]:
    """Run the sweep to its end, however often that takes a new launcher; how many of whom were killed."""
    kills: Counter[str] = Counter()
    launcher = launch(folder)
    while (code := launcher.poll()) is None:
        time.sleep(chance.uniform(0.05, 0.8))
        lasts = [last_attempt(cell) for cell in cells(folder)]
        alive = [attempt for attempt in lasts if attempt is not None and not Watch().is_over(attempt)]
        if kills.total() == most or not alive:
            continue
        if (most - kills.total()) % 12 == 0:
            launcher.kill()
            launcher.wait()
            kills["launcher"] += 1
            launcher = launch(folder)
        else:
            with contextlib.suppress(ProcessLookupError):  # it has just died with its launcher
                os.kill(chance.choice(alive).pid, signal.SIGKILL)
                kills["worker"] += 1
    assert code == 0, (folder / "launcher.log").read_text()
    return kills


def assert_in_mlflow(folder: Path) -> None:
    """The shipper was killed with its launcher: still MLflow holds every row of the ledger once."""
    client = MlflowClient(f"sqlite:///{folder / 'runs' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("little")
    runs = client.search_runs([experiment.experiment_id], "tags.`lab.role` = 'cell'")
    assert len(runs) == len(cells(folder))
    for run in runs:
        rows = read_metrics(folder / "runs" / run.data.tags["lab.key"])
        for name in ("train/loss", "val/loss"):
            held = client.get_metric_history(run.info.run_id, name)
            assert sorted((m.step, m.value) for m in held) == [(r.step, r.value) for r in rows if r.metric == name]

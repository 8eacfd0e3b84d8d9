"""Cells that are trained for a few steps, for tests of what is done with a trained cell, and the page of one."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lina_lab.checkpoints.ema_weights import keep_trained
from lina_lab.config.experiment import Experiment
from lina_lab.data.datasets import load_dataset
from lina_lab.ledger.cells import create_cell
from lina_lab.ledger.metrics import read_metrics
from lina_lab.training.train import train

DIGITS = {"name": "digits", "model": {"size": "nano", "patch": 2}}
SHAPES = {
    "name": "shapes",
    "data": {"name": "shapes", "side": 16, "text": {"tokens": 12}},
    "model": {"size": "nano", "patch": 4},
    "evaluation": {"extractor": "inception", "num_samples": 12},
}


def experiment(**changes: object) -> Experiment:
    """Twelve steps on digits; `training__steps=3` changes `training.steps`."""
    values = {
        "name": "test",
        "model": {"size": "nano", "patch": 2, "attention": {"conv_kernel": 3, "kv_gate": "key_value"}},
        "training": {"steps": 12, "batch_size": 8, "learning_rate": 2e-3, "warmup_steps": 4},
        "sampling": {"autoregressive_steps": 4, "flow_steps": 3},
        "evaluation": {"num_samples": 50},
        "logging": {"every": 4, "validate_every": 8, "checkpoint_every": 4},
    }
    for path, value in changes.items():
        section, _, key = path.partition("__")
        values[section] = values.get(section, {}) | {key: value}
    return Experiment.model_validate(values)


def rows(folder: Path) -> list[tuple[int, str, float]]:
    """Step, metric and value of every row of a cell's metrics; the time differs from run to run."""
    return [(row.step, row.metric, row.value) for row in read_metrics(folder)]


def trained_cell(runs: Path, values: dict) -> Path:
    """The folder of a cell with weights, trained for four steps."""
    few = {
        "training": {"steps": 4, "batch_size": 8, "learning_rate": 2e-3},
        "sampling": {"autoregressive_steps": 8, "flow_steps": 3},
    }
    experiment = Experiment.model_validate(few | values)
    folder = create_cell(runs, experiment)
    keep_trained(folder, train(folder, experiment, load_dataset(experiment.data)))
    return folder


@contextmanager
def served(cell: Path, tmp_path: Path, **environment: str) -> Iterator[str]:
    """The address of a cell's page from `lab demo`; then Ctrl-C, which ends it without a word or a file left."""
    command = [sys.executable, "-m", "lina_lab.cli.main", "demo", str(cell), "--no-open"]
    variables = os.environ | {"TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"} | environment
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, env=variables, **pipes) as process:
        try:
            first = process.stdout.readline()
            assert process.stdout.readline() == "Ctrl-C stops the server.\n", process.stderr.read()
            name, address = first.split()
            assert name == cell.name
            yield address
        finally:
            process.send_signal(signal.SIGINT)
            try:
                out, errors = process.communicate(timeout=120)
            finally:
                process.kill()
    assert (process.returncode, out, errors) == (0, "", "")
    assert not list(tmp_path.iterdir())

"""What the harness itself costs: beside the work of the cells, for planning, and for finding everything done.

    python benchmarks/sweep_overhead.py [--steps 400] [--cells 6] [--out FILE.json]

Goals: wall time over the cells' own time at most 1.05 with warm workers; 1,000 cells planned in under 2 s, and a
finished sweep of 1,000 cells found done in under 3 s.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from lina_lab.ledger.cells import create_cell
from lina_lab.ledger.plan import store_plan
from lina_lab.ledger.result import Result, read_result, write_result
from lina_lab.provenance import provenance
from lina_lab.sweep.local_engine import Finished
from lina_lab.sweep.planning import load_sweep
from lina_lab.sweep.run import Snapshot, run_sweep

EXPERIMENT = """\
name: overhead
model: {{size: nano, patch: 2}}
training: {{steps: {steps}, batch_size: 64, learning_rate: 2e-3}}
"""
SWEEP = """\
name: overhead
question: What does the harness cost?
experiment: overhead.yaml
axes: {{training.learning_rate: [{rates}]}}
"""
WORKERS = 2


def write_study(folder: Path, steps: int, cells: int) -> Path:
    folder.mkdir()
    (folder / "overhead.yaml").write_text(EXPERIMENT.format(steps=steps))
    path = folder / "sweep.yaml"
    path.write_text(SWEEP.format(rates=", ".join(f"{(1 + i / cells) * 1e-3:.7f}" for i in range(cells))))
    return path


def measure_overhead(folder: Path, steps: int, cells: int) -> dict[str, float]:
    """Wall time of the engine over the time that the cells themselves took, spread evenly over the workers."""
    planned = load_sweep(write_study(folder, steps, cells))
    started, first = time.monotonic(), 0.0

    def show(snapshot: Snapshot, _: list[Finished]) -> None:
        nonlocal first
        if not first and any(row.state == "running" for row in snapshot.rows):
            first = time.monotonic()

    run_sweep(folder / "runs", planned, [{}] * WORKERS, show, retries=0)
    ended = time.monotonic()
    own = sum(sum(read_result(folder / "runs" / cell.key).seconds.values()) for cell in planned.plan.cells)
    return {
        "cells": cells,
        "seconds of a cell's own": own / cells,
        "seconds until the first cell runs": first - started,
        "wall time over the cells' own, warm": (ended - first) * WORKERS / own,
        "wall time over the cells' own, with the start": (ended - started) * WORKERS / own,
    }


def measure_thousand(folder: Path) -> dict[str, float]:
    """Seconds to plan 1,000 cells, and for the whole command to see that they are done."""
    path = write_study(folder, 100, 1000)
    started = time.monotonic()
    plan, experiments, *_ = load_sweep(path)
    planned = time.monotonic() - started
    runs = folder / "runs"
    record = provenance()
    result = Result(
        key="",
        name="",
        seed=0,
        parameters={"total": 1, "trainable": 1},
        flops={"training": 1.0},
        steps=100,
        samples_seen=100,
        ema_share=None,
        seconds={},
        state="done",
        provenance=record,
    )
    for cell in plan.cells:
        write_result(create_cell(runs, experiments[cell.key]), result)
    store_plan(runs, plan, record)
    command = [sys.executable, "-m", "lina_lab.cli.main", "sweep", "sweep.yaml", "--no-tracking"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LAB_")}
    started = time.monotonic()
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return {"seconds to plan 1,000 cells": planned, "seconds to find them done": time.monotonic() - started}


def main(steps: int = 400, cells: int = 6, out: Annotated[Path | None, typer.Option()] = None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        result = measure_thousand(Path(folder) / "thousand") | measure_overhead(Path(folder) / "few", steps, cells)
    for name, value in result.items():
        print(f"{name:46} {value:.4g}")
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(result | {"provenance": provenance().as_json()}, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)

"""What points along a run cost: a cell measured at four points against the same cell measured at its end alone.

    OMP_NUM_THREADS=1 python benchmarks/points.py [--steps 200] [--rounds 3] [--out FILE.json]

Digits, nano, guidance 1, 1,000 images. Goals: measuring takes at most four times as long; training as long as without.
"""

import json
import statistics
import tempfile
from pathlib import Path
from typing import Annotated

import torch
import typer

from lina_lab.cell.run import run_cell
from lina_lab.config.experiment import Experiment
from lina_lab.ledger.cells import create_cell
from lina_lab.ledger.result import read_result
from lina_lab.provenance import provenance

SHARES = [0.125, 0.25, 0.5]
MEASURING = ("sampling", "evaluation")


def seconds(at: list[float], steps: int) -> tuple[float, float]:
    """Seconds of training a cell, and of measuring it at its end and at shares of its steps."""
    values = {
        "name": "points",
        "model": {"size": "nano", "patch": 2},
        "training": {"steps": steps, "batch_size": 64, "learning_rate": 8e-3, "warmup_steps": 50},
        "sampling": {"autoregressive_steps": 16},
        "evaluation": {"at": at},
    }
    with tempfile.TemporaryDirectory() as runs:
        folder = create_cell(Path(runs), Experiment.model_validate(values))
        run_cell(folder)
        result = read_result(folder)
    measured = [result.seconds, *(point.seconds for point in result.points)]
    return result.seconds["training"], sum(each[phase] for each in measured for phase in MEASURING)


def main(steps: int = 200, rounds: int = 3, out: Annotated[Path | None, typer.Option()] = None) -> None:
    torch.set_num_threads(1)
    seconds([], 10)  # what is done once a process
    pairs = [(seconds([], steps), seconds(SHARES, steps)) for _ in range(rounds)]
    found = {
        name: round(statistics.median(with_points[place] / without[place] for without, with_points in pairs), 3)
        for place, name in enumerate(("training: ratio", "measuring: ratio"))
    }
    text = json.dumps(found | {"rounds": rounds, "seconds": pairs, "provenance": provenance().as_json()}, indent=1)
    print(text)
    if out is not None:
        out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)

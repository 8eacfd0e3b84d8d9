"""Can tracking keep up, and does it lose anything? Processes that write metrics as cells do, beside a shipper.

    python benchmarks/shipping.py [--workers 8] [--rate 50] [--seconds 30] [--out FILE.json]

Prints rows written, rows that MLflow lacks or holds twice, and how long the last shipment took.
"""

import json
import logging
import multiprocessing
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from lina_lab.config.load import Document
from lina_lab.config.sweep import Sweep
from lina_lab.ledger.cells import create_cell
from lina_lab.ledger.metrics import append_metrics, read_metrics
from lina_lab.ledger.plan import load_plan, store_plan
from lina_lab.provenance import provenance
from lina_lab.sweep.planning import expand
from lina_lab.tracking.shipper import Shipper
from lina_lab.tracking.store import connect, locked

BASE = {
    "name": "shipping",
    "model": {"size": "nano", "patch": 2},
    "training": {"steps": 100_000, "batch_size": 8, "learning_rate": 1e-3},
}


def write(folder: Path, rate: float, seconds: float) -> None:
    started = time.monotonic()
    for step in range(1, round(rate * seconds) + 1):
        append_metrics(folder, step, {"train/loss": 1 / step})
        time.sleep(max(0.0, started + step / rate - time.monotonic()))


def main(
    workers: int = 8, rate: float = 50, seconds: float = 30, out: Annotated[Path | None, typer.Option()] = None
) -> None:
    complaints: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: complaints.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    with tempfile.TemporaryDirectory() as temporary:
        runs = Path(temporary) / "runs"
        sweep = Sweep(
            name="shipping",
            question="Does it keep up?",
            experiment="-",
            axes={"model.attention.normalization": ["division"]},
            seeds=list(range(workers)),
        )
        planned = expand(sweep, Document(BASE, {}), Document({}, {}), Path("shipping.yaml"))
        store_plan(runs, planned.plan, provenance())
        folders = [create_cell(runs, experiment) for experiment in planned.own_experiments]
        context = multiprocessing.get_context("spawn")
        writers = [context.Process(target=write, args=(folder, rate, seconds)) for folder in folders]
        with Shipper(runs, load_plan(runs, "shipping"), closing=600) as shipper:
            for writer in writers:
                writer.start()
            for writer in writers:
                writer.join()
            ended = time.monotonic()
        behind = time.monotonic() - ended
        with locked(runs):
            client = connect(runs)
        experiment = client.get_experiment_by_name("shipping")
        written = lost = doubled = 0
        for run in client.search_runs([experiment.experiment_id], "tags.`lab.role` = 'cell'"):
            rows = [(row.step, row.value) for row in read_metrics(runs / run.data.tags["lab.key"])]
            held = [(row.step, row.value) for row in client.get_metric_history(run.info.run_id, "train/loss")]
            written += len(rows)
            lost += len(set(rows) - set(held))
            doubled += len(held) - len(set(held))
    locked_out = sum("database is locked" in complaint for complaint in (*complaints, shipper.error or ""))
    result = {
        "workers": workers,
        "metrics a second and worker": rate,
        "seconds": seconds,
        "rows written": written,
        "rows lost": lost + round(rate * seconds) * workers - written,
        "rows doubled": doubled,
        '"database is locked"': locked_out,
        "seconds to ship the rest at the end": round(behind, 2),
    }
    for name, value in result.items():
        print(f"{name:36} {value}")
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(result | {"provenance": provenance().as_json()}, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)

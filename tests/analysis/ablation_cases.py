"""Tables whose ablation is known to the last digit: tests/golden/ablation.json has it."""

import itertools
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from lina_lab.analysis.ablation import ablation_table
from lina_lab.analysis.report_data import read_report_data
from lina_lab.analysis.study_metric import metric_of
from lina_lab.analysis.table import main_metric
from lina_lab.ledger.plan import Plan, PlannedCell

GOLDEN = Path(__file__).parents[1] / "golden" / "ablation.json"
REPORTS = Path(__file__).parents[2] / "reports"
FID = "eval/fid/digits-cnn"
SIZES = ["nano", "micro", "tiny"]
GRIDS = {
    "words, sizes last": {"normalization": ["division", "subtraction", "softmax"], "conv": [0, 5], "size": SIZES},
    "sizes first": {"size": SIZES, "conv": [5, 0, 3], "normalization": ["division", "subtraction"]},
    "no sizes": {"conv": [0, 5], "kv_gate": ["none", "key", "value"]},
    "floats": {"rate": [0.1, 0.1 + 0.2, 1e-5, 1.0], "size": SIZES},
    "booleans": {"shared": [False, True], "rate": [0.5, 2.0], "size": SIZES},
    "null and a value": {"conv": [0, 5], "limit": [None, 3.5], "size": SIZES[:2]},
    "one axis alone": {"size": SIZES},
}


def cases() -> Iterator[tuple[str, pd.DataFrame, Plan, str]]:
    """Name, table, plan and metric of every case."""
    for name in ("digits", "digits-quick"):
        study = read_report_data(REPORTS / name)
        yield f"report {name}", study.table, study.plan, main_metric(study.table)
    for number, ((name, axes), seeds) in enumerate(itertools.product(GRIDS.items(), (1, 2, 4))):
        for kind, lost in (("whole", 0.0), ("a fifth missing", 0.2)):
            plan, table = _simulated(axes, seeds, lost, np.random.default_rng(number))
            yield f"{name}, {seeds} seeds, {kind}", table, plan, FID


def _simulated(axes: dict, seeds: int, lost: float, rng: np.random.Generator) -> tuple[Plan, pd.DataFrame]:
    """FIDs over some five powers of ten, so that the order of a sum shows in its last digit."""
    points = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    cells = [PlannedCell(f"{i:012x}", point, s) for i, (point, s) in enumerate(itertools.product(points, range(seeds)))]
    states = ["diverged" if rng.random() < lost / 2 else "done" for _ in cells]
    fids = [math.nan if s != "done" or rng.random() < lost else math.exp(rng.normal(3, 2)) for s in states]
    rows = [
        {"key": c.key, "state": s, **c.values, "seed": c.seed, "parameters": 1e5 * (1 + i % 3), FID: fid}
        for i, (c, s, fid) in enumerate(zip(cells, states, fids, strict=True))
    ]
    table = pd.DataFrame(rows)
    table.attrs["axes"] = list(axes)
    return Plan(name="x", question="?", axes={name: name for name in axes}, cells=cells, omitted=[]), table


def rows_of(table: pd.DataFrame, plan: Plan, metric: str) -> list[list]:
    """The ablation with every number to its last digit, and null for what is missing."""
    effects = ablation_table(table, plan, metric_of(metric))
    return [[None if pd.isna(v) else v for v in row] for row in effects.astype(object).to_numpy().tolist()]

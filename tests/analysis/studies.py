"""Whole studies of known truth, as plan and results table: log FID = size + effects of values + noise of a seed."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from lina_lab.analysis.cards import StudyVerdict, verdict_of
from lina_lab.analysis.findings import findings
from lina_lab.analysis.study_metric import metric_of
from lina_lab.config.sweep import axis_names
from lina_lab.ledger.plan import Plan, PlannedCell

FID = "eval/fid/digits-cnn"
SIZES = {"nano": 1e5, "micro": 4e5, "tiny": 1.6e6}
CONV = {"model.attention.conv_kernel": [0, 5]}
NORMALIZATION = {"model.attention.normalization": ["division", "subtraction"]}


class Study(NamedTuple):
    plan: Plan
    table: pd.DataFrame

    @property
    def verdict(self) -> StudyVerdict:
        metric = metric_of(FID, self.table[FID])
        return verdict_of(self.table, self.plan, metric, *findings(self.table, self.plan, metric))


def simulated_study(
    axes: Mapping[str, Sequence],
    effects: Mapping[tuple, float],
    seeds: int = 3,
    noise: float = 0.02,
    seed: int = 0,
    sizes: Sequence[str] = tuple(SIZES),
) -> Study:
    """`effects`: the ratio of FIDs of a value, or of values together, whatever the rest, by these values."""
    rng = np.random.default_rng(seed)
    names = axis_names({**axes, "model.size": sizes})
    cells, rows = [], []
    for point in itertools.product(*axes.values(), sizes):
        values = dict(zip(names, point, strict=True))
        log_fid = 4 - 0.3 * math.log(SIZES[values["size"]] / 1e5)
        log_fid += sum(math.log(ratio) for needed, ratio in effects.items() if set(needed) <= set(point))
        for replicate in range(seeds):
            key = f"{len(cells):012x}"
            cells.append(PlannedCell(key=key, values=values, seed=replicate))
            fid = math.exp(log_fid + noise * rng.normal())
            measured = {"parameters": SIZES[values["size"]], "samples_seen": 800, FID: fid}
            rows.append({"key": key, "state": "done", **values, "seed": replicate, **measured})
    table = pd.DataFrame(rows)
    table.attrs["axes"] = list(names)
    return Study(Plan("study", "What helps?", names, cells, [], fixed={}), table)

"""Pairs of cells that differ on one axis alone, and what they show.

Cells of one seed share data order, masks, noise and times, so that the ratio of a pair is far less noisy than either.
"""

import math
from typing import NamedTuple

import pandas as pd
from scipy import stats

from lina_lab.config.sweep import Scalar
from lina_lab.ledger.plan import Plan


class Comparison(NamedTuple):
    """One value of an axis against another, over all pairs of cells that differ in nothing else."""

    axis: str
    value: Scalar
    baseline: Scalar
    pairs: pd.DataFrame
    """One row a pair: the other axes, seed, `baseline`, `value` (the metric) and `ratio` = value / baseline."""

    @property
    def lower(self) -> int:
        return int((self.pairs["ratio"] < 1).sum())

    @property
    def seeds(self) -> int:
        return int(self.pairs["seed"].nunique())


class Interval(NamedTuple):
    """A mean, of ratios for one, and its interval: 95 % unless said otherwise; NaN where there is none."""

    mean: float
    low: float
    high: float


def comparisons(table: pd.DataFrame, plan: Plan, metric: str) -> list[Comparison]:
    """Every value of every axis but the size against the axis's first value."""
    found = []
    finished = table.dropna(subset=[metric]) if metric in table else table.iloc[:0]
    for axis in plan.axes:
        values = list(dict.fromkeys(cell.values[axis] for cell in plan.cells))
        if axis == "size":
            continue
        for value in values[1:]:
            pairs = _pairs(finished, list(plan.axes), axis, value, values[0], metric)
            if len(pairs):
                found.append(Comparison(axis, value, values[0], pairs))
    return found


def _pairs(
    table: pd.DataFrame, axes: list[str], axis: str, value: Scalar, baseline: Scalar, metric: str
) -> pd.DataFrame:
    others = [a for a in axes if a != axis] + ["seed"]
    sides = [table[table[axis] == v][[*others, metric]] for v in (baseline, value)]
    pairs = sides[0].merge(sides[1], on=others, suffixes=("_baseline", "_value"))
    pairs = pairs.rename(columns={f"{metric}_baseline": "baseline", f"{metric}_value": "value"})
    pairs["ratio"] = pairs["value"] / pairs["baseline"]
    return pairs


def ratio_interval(comparison: Comparison) -> Interval | None:
    """The mean log-ratio of each seed, and a t interval over seeds; None with fewer than two seeds.

    Sizes and other axes are averaged within a seed first: only seeds are replicates.
    """
    logs = comparison.pairs.assign(log=comparison.pairs["ratio"].map(math.log)).groupby("seed")["log"].mean()
    return log_interval(logs.tolist())


def log_interval(logs: list[float]) -> Interval | None:
    """exp of the mean of logs with its 95 % t interval; None for fewer than two."""
    count = len(logs)
    if count < 2:
        return None
    mean = sum(logs) / count
    deviation = math.sqrt(sum((x - mean) ** 2 for x in logs) / (count - 1))
    return Interval(*map(math.exp, t_interval(mean, deviation / math.sqrt(count), count - 1)))


def t_interval(mean: float, error: float, freedom: int, level: float = 0.95) -> Interval:
    """mean ± t * its standard error; NaN ends without degrees of freedom, so that nothing is found to lie outside."""
    if freedom < 1:
        return Interval(mean, math.nan, math.nan)
    half = float(stats.t.ppf(0.5 + level / 2, freedom)) * error
    return Interval(mean, mean - half, mean + half)

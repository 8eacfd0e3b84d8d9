"""Effect of every axis value: the ratio of the metric to that of the axis's first value, or the difference.

An average over the contrasts that `findings` reports one by one. Cells of one seed share data order, masks, noise and
times, so the gap of a pair is far less noisy than either value.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import pandas as pd

from lina_lab.analysis.contrasts import design_pairs, paired_values
from lina_lab.analysis.interval import mean_interval
from lina_lab.analysis.scale import RATIO, Scale
from lina_lab.analysis.study_metric import StudyMetric
from lina_lab.analysis.table import SIZE_AXIS, refuse_mixtures
from lina_lab.config.sweep import Scalar
from lina_lab.errors import LabError
from lina_lab.ledger.plan import Plan

ALL_SIZES = "all"
ONE_SEED = "one seed: no interval"
UNEVEN = "seeds differ in their pairs"
COLUMNS = ("axis", "value", "baseline", "size", "pairs", "seeds")
"""And `ratio` or `difference`, low, high, note."""


class Effect(NamedTuple):
    """One value of an axis against another, over all pairs of cells that differ in nothing else."""

    axis: str
    value: Scalar
    baseline: Scalar
    pairs: pd.DataFrame
    """One row a pair; see `paired_values`."""


def ablation_table(table: pd.DataFrame, plan: Plan, metric: StudyMetric) -> pd.DataFrame:
    """One row for every value of every axis, over all sizes and for each size; see `COLUMNS`.

    `ratio` is the geometric mean over paired cells of value / baseline, a seed weighing as much as another, or
    `difference` the mean of value - baseline; `low` and `high` are its 95 % t interval over seeds, missing with one
    seed. `note` says what limits a row.

    Raises:
        LabError: if the metric was measured differently in different cells, or is not positive.
    """
    columns = [*COLUMNS, metric.scale.word, "low", "high", "note"]
    if metric.column not in table:
        return pd.DataFrame(columns=columns)
    refuse_mixtures(table, metric.column)
    least = table[metric.column].min()
    if metric.scale == RATIO and least <= 0:
        raise LabError(f"column {metric.column} must be positive for ratios of it, not {least:g}")
    rows = [row for effect in effects(table, plan, metric) for row in _rows(effect, metric.scale)]
    return pd.DataFrame(rows, columns=columns)


def effects(table: pd.DataFrame, plan: Plan, metric: StudyMetric) -> list[Effect]:
    """Every value of every axis but the size against the axis's first, where they have pairs."""
    of_value: dict[tuple[str, Scalar], list[pd.DataFrame]] = {}
    baselines = {}
    for pair in design_pairs(plan):
        of_value.setdefault((pair.axis, pair.value), []).append(paired_values(table, metric, pair))
        baselines[pair.axis] = pair.baseline
    # In the order of the plan's cells, also where some values have their twin later than others.
    values = dict.fromkeys((axis, cell.values[axis]) for axis in baselines for cell in plan.cells)
    whole = [
        Effect(axis=axis, value=value, baseline=baselines[axis], pairs=pd.concat(of_value[axis, value]).sort_index())
        for axis, value in values
        if (axis, value) in of_value
    ]
    return [effect for effect in whole if len(effect.pairs)]


def _rows(effect: Effect, scale: Scale) -> Iterable[dict[str, Any]]:
    yield _row(effect, ALL_SIZES, scale)
    if SIZE_AXIS in effect.pairs:
        for size, pairs in effect.pairs.groupby(SIZE_AXIS, sort=False):
            yield _row(effect._replace(pairs=pairs), str(size), scale)


def _row(effect: Effect, size: str, scale: Scale) -> dict[str, Any]:
    """Sizes and other axes are averaged within a seed first: only seeds are replicates."""
    gaps = effect.pairs.assign(gap=effect.pairs[scale.word].map(scale.forward)).groupby("seed")["gap"].mean()
    interval = mean_interval(gaps.tolist())
    ends = interval and scale.interval(interval)
    notes = [ONE_SEED] * (interval is None) + [UNEVEN] * (not _even(effect.pairs))
    return {
        "axis": effect.axis,
        "value": str(effect.value),
        "baseline": str(effect.baseline),
        "size": size,
        "pairs": len(effect.pairs),
        "seeds": len(gaps),
        scale.word: scale.back(gaps.mean()),
        "low": ends and ends.low,
        "high": ends and ends.high,
        "note": "; ".join(notes),
    }


def _even(pairs: pd.DataFrame) -> bool:
    """Whether every seed has the same pairs; if not, a difference between seeds may be one between sizes."""
    others = pairs.drop(columns=["seed", "baseline", "value", "ratio", "difference"], errors="ignore")
    return len({frozenset(map(tuple, part.to_numpy().tolist())) for _, part in others.groupby(pairs["seed"])}) == 1


def readable_ablation(effects: pd.DataFrame, metric: StudyMetric) -> pd.DataFrame:
    """The effects as text for a table: 'conv_kernel | 5 | 0 | all | 0.500 | 0.450 to 0.556 | 8 | 2'."""
    records = effects.to_dict("records")
    shown = effects[["axis", "value", "baseline", "size"]].rename(columns={"baseline": "against"})
    word, shortly = metric.scale.word, metric.scale.shortly
    shown[f"{metric.label} {word}"] = [shortly(row[word]) for row in records]
    shown["95 % interval"] = [
        "" if pd.isna(row["low"]) else f"{shortly(row['low'])} to {shortly(row['high'])}" for row in records
    ]
    shown[["pairs", "seeds"]] = effects[["pairs", "seeds"]].astype(str)
    shown["note"] = effects["note"]
    return shown

"""The effect of every value of every axis, as a ratio of the metric to the axis's first value."""

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd

from lina_lab.analysis.ablation_pairs import Comparison, comparisons, ratio_interval
from lina_lab.analysis.table import SIZE_AXIS, refuse_mixtures
from lina_lab.errors import LabError
from lina_lab.ledger.plan import Plan

ALL_SIZES = "all"
ONE_SEED = "one seed: no interval"
UNEVEN = "seeds differ in their pairs"
COLUMNS = ("axis", "value", "baseline", "size", "pairs", "seeds", "ratio", "low", "high", "note")


def ablation_table(table: pd.DataFrame, plan: Plan, metric: str) -> pd.DataFrame:
    """One row for every value of every axis, over all sizes and for each, `COLUMNS`.

    `ratio` is the geometric mean over paired cells of value / baseline, a seed weighing as much as another; `low` and
    `high` are its 95 % t interval over seeds, missing with one seed. `note` says what limits a row.

    Raises:
        LabError: if the metric was measured differently in different cells, or is not positive.
    """
    if metric not in table:
        return pd.DataFrame(columns=list(COLUMNS))
    refuse_mixtures(table, metric)
    least = table[metric].min()
    if least <= 0:
        raise LabError(f"column {metric} must be positive for ratios of it, not {least:g}")
    rows = [row for found in comparisons(table, plan, metric) for row in _effects(found)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _effects(found: Comparison) -> Iterable[dict[str, Any]]:
    yield _effect(found, ALL_SIZES)
    if SIZE_AXIS in found.pairs:
        for size, pairs in found.pairs.groupby(SIZE_AXIS, sort=False):
            yield _effect(found._replace(pairs=pairs), str(size))


def _effect(found: Comparison, size: str) -> dict[str, Any]:
    interval = ratio_interval(found)
    logs = found.pairs.assign(log=found.pairs["ratio"].map(math.log)).groupby("seed")["log"]
    notes = [ONE_SEED] * (interval is None) + [UNEVEN] * (not _even(found.pairs))
    return {
        "axis": found.axis,
        "value": str(found.value),
        "baseline": str(found.baseline),
        "size": size,
        "pairs": len(found.pairs),
        "seeds": found.seeds,
        "ratio": math.exp(logs.mean().mean()),
        "low": None if interval is None else interval.low,
        "high": None if interval is None else interval.high,
        "note": "; ".join(notes),
    }


def _even(pairs: pd.DataFrame) -> bool:
    """Whether every seed has the same pairs: else a difference between seeds may be one between sizes."""
    others = pairs.drop(columns=["seed", "baseline", "value", "ratio"])
    return len({frozenset(map(tuple, part.to_numpy().tolist())) for _, part in others.groupby(pairs["seed"])}) == 1


def readable_ablation(effects: pd.DataFrame, metric: str = "FID") -> pd.DataFrame:
    """The effects as text for a table: 'conv_kernel | 5 | 0 | all | 0.500 | 0.450 to 0.556 | 8 | 2'."""
    records = effects.to_dict("records")
    shown = effects[["axis", "value", "baseline", "size"]].rename(columns={"baseline": "against"})
    shown[f"{metric} ratio"] = [f"{row['ratio']:.3f}" for row in records]
    shown["95 % interval"] = [
        "" if pd.isna(row["low"]) else f"{row['low']:.3f} to {row['high']:.3f}" for row in records
    ]
    shown[["pairs", "seeds"]] = effects[["pairs", "seeds"]].astype(str)
    shown["note"] = effects["note"]
    return shown

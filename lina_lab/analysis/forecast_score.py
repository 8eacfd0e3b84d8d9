"""What was forecast beside what was reached: hit where the value lies in its interval, otherwise miss.

Every cell is scored once, by a rule that no result can change: by the last forecast that was made of it by its curve,
before its design had a result at its size; otherwise by the first that was made of it from other seeds of its size. A
forecast that knew the cell's own result is none.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from lina_lab.analysis.contrasts import DesignPair, cells_of, paired_values
from lina_lab.analysis.match_cells import as_text
from lina_lab.analysis.study_metric import StudyMetric
from lina_lab.analysis.table import SIZE_AXIS, design_axes
from lina_lab.ledger.forecasts import CURVE, CellForecast, Forecast, GapForecast, Predicted
from lina_lab.ledger.plan import Plan

HIT, MISS, OPEN, NONE = "hit", "miss", "open", "no value"
"""Outcomes: inside, outside, no result yet, and a result without the metric, as of a cell that diverged."""


class Score(NamedTuple):
    """Forecasts with their outcomes, a row each."""

    cells: pd.DataFrame
    """The axes, seed, key, parameters, by, cells, running, predicted, low, high, power_low, power_high, reached,
    outcome, power_outcome, made, commit, data_sha256, and how many of its data have another value now: changed."""
    gaps: pd.DataFrame
    """axis, value, baseline, other axes with `at_`, size, parameters, seeds, pairs; from predicted on as in `cells`."""
    level: float


def score(table: pd.DataFrame, plan: Plan, forecasts: Sequence[Forecast], metric: StudyMetric) -> Score:
    """The outcome of all that was forecast of the study's metric and is in its plan; empty tables for nothing."""
    own = [made for made in forecasts if made.metric == metric.column]
    rows = table.set_index("key").to_dict("index")
    cells = []
    for planned in plan.cells:
        if planned.key in rows and (chosen := _chosen(own, planned.key)) is not None:
            made, cell = chosen
            row = _cell_row(made, cell, plan, rows[planned.key], metric.column)
            cells.append(row | {"changed": _changed(made, rows)})
    last = {_place(gap): (made, gap) for made in own for gap in made.gaps}
    gaps = [_gap_row(made, gap, table, plan, metric) for made, gap in last.values()]
    known = pd.DataFrame([row for row in gaps if row is not None])
    return Score(pd.DataFrame(cells), known, own[-1].level if own else math.nan)


def _chosen(forecasts: Iterable[Forecast], key: str) -> tuple[Forecast, CellForecast] | None:
    """The forecast that a cell is scored by; see the head of this module. forecasts: the oldest first."""
    of_cell = [
        (made, cell)
        for made in forecasts
        if key not in {datum.key for datum in made.data}
        for cell in made.cells
        if cell.key == key
    ]
    by_curve = [chosen for chosen in of_cell if chosen[1].by == CURVE]
    return by_curve[-1] if by_curve else of_cell[0] if of_cell else None


def _cell_row(made: Forecast, cell: CellForecast, plan: Plan, row: Mapping[Any, Any], column: str) -> dict[str, Any]:
    reached = float(row[column]) if row["state"] == "done" else math.nan
    ended = row["state"] in {"done", "diverged"}
    return {
        **{axis: cell.values[axis] for axis in plan.axes},
        "seed": cell.seed,
        "key": cell.key,
        "parameters": cell.parameters,
        "by": cell.by,
        "cells": cell.cells,
        "running": cell.state == "running",
        **_outcome(cell.predicted, cell.power, reached, ended=ended),
        **_made(made),
    }


def _outcome(predicted: Predicted, power: Predicted | None, reached: float, *, ended: bool) -> dict[str, Any]:
    def of(interval: Predicted | None) -> str:
        if interval is None:
            return ""
        if math.isnan(reached):
            return NONE if ended else OPEN
        return HIT if interval.holds(reached) else MISS

    return {
        "predicted": predicted.value,
        "low": predicted.low,
        "high": predicted.high,
        "power_low": power.low if power else math.nan,
        "power_high": power.high if power else math.nan,
        "reached": reached,
        "outcome": of(predicted),
        "power_outcome": of(power),
    }


def _made(made: Forecast) -> dict[str, Any]:
    return {"made": made.date, "commit": made.provenance.commit, "data_sha256": made.data_sha256}


def _changed(made: Forecast, rows: Mapping[Any, Mapping[Any, Any]]) -> int:
    """Cells that it was made from and whose value is another one now; tables as text round the last digit."""
    known = [datum for datum in made.data if datum.key in rows]
    return sum(not math.isclose(datum.value, rows[datum.key][made.metric], rel_tol=1e-12) for datum in known)


def _place(gap: GapForecast) -> tuple[object, ...]:
    return (gap.axis, gap.size, tuple(sorted(gap.a.items(), key=str)), tuple(sorted(gap.b.items(), key=str)))


def _gap_row(
    made: Forecast, gap: GapForecast, table: pd.DataFrame, plan: Plan, metric: StudyMetric
) -> dict[str, Any] | None:
    """None for designs that the plan does not have."""
    planned = [cell.values for cell in plan.cells if as_text(cell.values.get(SIZE_AXIS)) == gap.size]
    known = all(any(design.items() <= values.items() for values in planned) for design in (gap.a, gap.b))
    if not known or set(design_axes(plan)) != set(gap.a):
        return None
    pair = DesignPair(axis=gap.axis, a=dict(gap.a), b=dict(gap.b))
    values = paired_values(table, metric, pair)
    here = values[(values[SIZE_AXIS].map(as_text) == gap.size) & values["seed"].isin(list(gap.seeds))]
    reached = math.nan
    if len(here) == len(gap.seeds):
        a, b = (metric.scale.forward(here[name]) for name in ("value", "baseline"))
        reached = metric.scale.back(float(np.mean(a - b)))
    ended = not _open_cells(table, gap)
    return {
        "axis": gap.axis,
        "value": pair.value,
        "baseline": pair.baseline,
        **{f"at_{name}": value for name, value in pair.others.items()},
        "size": gap.size,
        "parameters": gap.parameters,
        "seeds": len(gap.seeds),
        "pairs": gap.pairs,
        **_outcome(gap.predicted, gap.power, reached, ended=ended),
        **_made(made),
    }


def _open_cells(table: pd.DataFrame, gap: GapForecast) -> bool:
    """Whether a cell of the gap may still get its result."""
    cells = table[(table[SIZE_AXIS].map(as_text) == gap.size) & table["seed"].isin(list(gap.seeds))]
    both = [cells_of(cells, design)["state"] for design in (gap.a, gap.b)]
    return not all(states.isin(["done", "diverged"]).all() for states in both)


def sentences(found: Score) -> Iterable[str]:
    """The score in words: how many hit, how many would by chance, and what was forecast when."""
    if found.cells.empty:
        return
    yield from _scored(found.cells, "cells", "ended", found.level)
    yield from _scored(found.gaps, "ratios of two designs", "came to lie", found.level)
    for made, rows in found.cells.groupby("made", sort=True):
        commit = rows["commit"].iloc[0]
        at = f", by the code of commit {commit[:8]}" if isinstance(commit, str) else ""
        running = int(rows["running"].sum())
        begun = f"; {running} of them had begun" if running else ""
        changed = int(rows["changed"].iloc[0])
        other = f". {changed} cells that it was made from have other values now" if changed else ""
        yield (
            f"{len(rows)} cells were forecast on {str(made).replace('T', ' ').replace('+00:00', ' UTC')}{at}, before "
            f"they had a result{begun} (SHA-256 of the data {rows['data_sha256'].iloc[0][:12]}){other}."
        )


def percent(level: float) -> str:
    return f"{100 * level:.4g} %"


def _scored(rows: pd.DataFrame, what: str, ended: str, level: float) -> Iterable[str]:
    if rows.empty:
        return
    known = rows[rows["outcome"].isin([HIT, MISS])]
    rest = [f"{count} {said}" for name, said in REST.items() if (count := int((rows["outcome"] == name).sum()))]
    others = f"; {' and '.join(rest)}" if rest else ""
    if known.empty:
        yield f"Of {len(rows)} forecast {what} none has a value yet{others}."
        return
    hits, total = int((known["outcome"] == HIT).sum()), len(known)
    least = int(stats.binom.ppf(0.05, total, level))
    chance = f", and at least {least} in 95 % of studies if each stood for itself, which those of one design do not"
    chance = chance if least else ""
    yield (
        f"{hits} of {total} {what} {ended} inside the {percent(level)} interval that was forecast; by chance it would "
        f"be {level * total:.3g}{chance}{others}."
    )
    power = known[known["power_outcome"] != ""]
    if len(power):
        right = int((power["power_outcome"] == HIT).sum())
        yield f"Power laws without a floor would have held {right} of {len(power)}."


REST = {OPEN: "not done", NONE: "ended without a value"}


def readable_cells(found: Score, axes: Sequence[str], metric: StudyMetric) -> pd.DataFrame:
    """The cells as text, what was forecast beside what was reached."""
    rows = found.cells
    shown = pd.DataFrame({axis: rows[axis].map(as_text) for axis in axes})
    shown["seed"] = rows["seed"].astype(str)
    shown[f"forecast {metric.label}"] = rows["predicted"].map("{:.4g}".format)
    shown[f"{percent(found.level)} interval"] = _interval(rows)
    shown["reached"] = rows["reached"].map("{:.4g}".format).where(rows["reached"].notna(), "")
    shown["outcome"] = rows["outcome"]
    shown["as a power law"] = _interval(rows, "power_")
    shown["from"] = [f"{row['by']}, {row['cells']} cells" for row in rows.to_dict("records")]
    return shown


def readable_gaps(found: Score, metric: StudyMetric) -> pd.DataFrame:
    rows = found.gaps
    at = [name for name in rows if str(name).startswith("at_")]
    shown = pd.DataFrame({
        "axis": rows["axis"],
        "value": [f"{as_text(row['value'])} against {as_text(row['baseline'])}" for row in rows.to_dict("records")],
        **{str(name).removeprefix("at_"): rows[name].map(as_text) for name in at},
        "size": rows["size"],
        "seeds": rows["seeds"].astype(str),
    })  # fmt: skip
    shown[f"forecast {metric.scale.word}"] = rows["predicted"].map("{:.4g}".format)
    shown[f"{percent(found.level)} interval"] = _interval(rows)
    shown["reached"] = rows["reached"].map("{:.4g}".format).where(rows["reached"].notna(), "")
    shown["outcome"] = rows["outcome"]
    shown["as a power law"] = _interval(rows, "power_")
    return shown


def _interval(rows: pd.DataFrame, of: str = "") -> list[str]:
    ends = zip(rows[f"{of}low"], rows[f"{of}high"], strict=True)
    return ["" if math.isnan(low) else f"{low:.4g} to {high:.4g}" for low, high in ends]

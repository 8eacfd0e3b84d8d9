"""What the cells of a study that have no result yet will reach, from those that have one.

A cell at a size of which its design has no result is forecast by the curve through the other sizes, for every floor
that they allow (`scaling_fit.new_value`); a further seed at a size that has results, by the spread over seeds. Where
that is not possible it is said what is missing.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from lina_lab.analysis.contrasts import DesignPair, cells_of, columns_of, design_pairs
from lina_lab.analysis.interval import Interval, t_interval
from lina_lab.analysis.match_cells import as_text, matched
from lina_lab.analysis.names import design_names
from lina_lab.analysis.new_gap import new_gap
from lina_lab.analysis.progress import has_result
from lina_lab.analysis.scaling_fit.new_value import new_value
from lina_lab.analysis.study_metric import StudyMetric, study_metric
from lina_lab.analysis.table import SIZE_AXIS, design_axes, designs, human, refuse_mixtures, results_table
from lina_lab.config.sweep import Scalar
from lina_lab.cost import parameters
from lina_lab.errors import LabError
from lina_lab.ledger.cells import read_experiment
from lina_lab.ledger.forecasts import (
    CURVE,
    SCHEMA,
    SEEDS,
    CellForecast,
    Datum,
    Forecast,
    GapForecast,
    Predicted,
    data_digest,
    store_forecast,
)
from lina_lab.ledger.plan import Plan
from lina_lab.ledger.result import is_done
from lina_lab.provenance import Provenance, provenance

LEVEL = 0.95
N, PLACE = "_parameters", "_place"
"""Columns of the parameters of every cell, done or not, and of its size, by name if sizes have names."""
TINY = 1e-24


def write_forecast(runs: Path, plan: Plan) -> tuple[Forecast, Path | None]:
    """Forecast the cells of a plan and write that down in the ledger; None if no cell could be forecast.

    Raises:
        LabError: if no cell has the study's metric yet, or the cells cannot be compared.
    """
    table = results_table(runs, plan)
    made = forecast(table, plan, all_parameters(runs, table), provenance())
    # What has ended while this was computed was not forecast before it was done.
    made = _without(made, {cell.key for cell in made.cells if is_done(runs / cell.key)})
    return made, store_forecast(runs, made) if made.cells else None


def all_parameters(runs: Path, table: pd.DataFrame) -> dict[str, int]:
    """Parameters of every cell by its key: of its result, otherwise of its experiment in closed form."""
    known = dict(zip(table["key"], table.get("parameters", pd.Series(math.nan, index=table.index)), strict=True))
    return {key: _total(runs / key) if pd.isna(count) else int(count) for key, count in known.items()}


def _total(folder: Path) -> int:
    experiment = read_experiment(folder)
    return parameters(experiment.model, experiment.data.shape).total


def _without(made: Forecast, ended: set[str]) -> Forecast:
    """A forecast without some cells, and without the gaps at their designs and sizes."""
    if not ended:
        return made
    places = [cell.values for cell in made.cells if cell.key in ended]
    gaps = tuple(gap for gap in made.gaps if not any(_is_of(gap, values) for values in places))
    cells = tuple(cell for cell in made.cells if cell.key not in ended)
    return replace(made, cells=cells, gaps=gaps)


def _is_of(gap: GapForecast, values: Mapping[str, Scalar]) -> bool:
    of_design = any(design.items() <= values.items() for design in (gap.a, gap.b))
    return of_design and as_text(values.get(SIZE_AXIS)) == gap.size


def forecast(table: pd.DataFrame, plan: Plan, sizes: Mapping[str, int], record: Provenance) -> Forecast:
    """The forecast of every cell without a result, and of every gap at a size of which neither design has one.

    sizes: `all_parameters`.

    Raises:
        LabError: if no cell has the study's metric yet, or the cells cannot be compared.
    """
    metric = study_metric(table, plan)
    refuse_mixtures(table, metric.column)
    table = table.assign(**{N: table["key"].map(sizes)})
    table = table.assign(**{PLACE: table[SIZE_AXIS if SIZE_AXIS in plan.axes else N]})
    done = table[(table["state"] == "done") & table[metric.column].notna()]
    cells: list[CellForecast] = []
    missing: list[str] = []
    names = design_names(plan)
    for values, rows in designs(table, design_axes(plan)):
        known = done.loc[done.index.intersection(rows.index)]
        for place, still_open in rows[~has_result(rows)].groupby(PLACE, sort=False):
            size = float(still_open[N].mean())
            found = _expected(known, known[PLACE] == place, size, metric)
            if isinstance(found, str):
                where = f"{names(values)} at {human(size)} parameters"
                missing.append(f"{where}: {found}")
            else:
                cells += [_cell(row, plan, found, len(known)) for row in still_open.to_dict("records")]
    gaps, lacking = _gaps(table, done, plan, metric)
    data = tuple(Datum(key=row["key"], value=float(row[metric.column])) for row in done.to_dict("records"))
    return Forecast(
        schema=SCHEMA,
        sweep=plan.base,
        plan=plan.id,
        metric=metric.column,
        level=LEVEL,
        data_sha256=data_digest(data),
        data=data,
        cells=tuple(cells),
        gaps=tuple(gaps),
        missing=[*missing, *lacking],
        provenance=record,
    )


class Expected(NamedTuple):
    """Of one cell."""

    by: str
    predicted: Predicted
    power: Predicted | None = None


def _expected(done: pd.DataFrame, own: "pd.Series[bool]", size: float, metric: StudyMetric) -> Expected | str:
    """What a cell of a design will reach, from all of its cells that are done; or what is missing to tell.

    own: which of these are of its size.
    """
    x, y = done[N].to_numpy(dtype=float), done[metric.column].to_numpy(dtype=float)
    if own.any():
        further = _further_seed(done, own, metric)
        return "a second done seed is missing at every size" if further is None else Expected(SEEDS, further)
    if not metric.has_law:
        return f"no law of size describes {metric.label}, and no seed of this size is done"
    if len(set(x)) < 2:
        return f"{len(set(x)) or 'no'} size is done: a curve needs two"
    found = _finite(new_value("offset", x, y, size, LEVEL))
    if found is None:
        return f"{len(set(x))} sizes of one seed show no spread: a second seed is missing, or a fourth size"
    return Expected(CURVE, found, _finite(new_value("power", x, y, size, LEVEL)))


def _further_seed(done: pd.DataFrame, own: "pd.Series[bool]", metric: StudyMetric) -> Predicted | None:
    """One more seed at a size: the mean there, with the spread over seeds of all sizes of the design."""
    values = pd.Series(metric.scale.forward(done[metric.column].astype(float)))
    rest = values - values.groupby(done[PLACE]).transform("mean")
    freedom = len(values) - done[PLACE].nunique()
    if not freedom:
        return None
    variance = max(float((rest**2).sum()), TINY) / freedom * (1 + 1 / int(own.sum()))
    interval = t_interval(float(values[own].mean()), math.sqrt(variance), freedom, LEVEL)
    return _finite(metric.scale.interval(interval))


def _finite(interval: Interval | None) -> Predicted | None:
    """An interval that has both ends."""
    if interval is None or not all(map(math.isfinite, interval)):
        return None
    return Predicted(value=interval.mean, low=interval.low, high=interval.high)


def _cell(row: Mapping[object, object], plan: Plan, expected: Expected, count: int) -> CellForecast:
    planned = next(cell for cell in plan.cells if cell.key == row["key"])
    return CellForecast(
        key=planned.key,
        values=planned.values,
        seed=planned.seed,
        parameters=int(row[N]),  # type: ignore[call-overload]
        state=str(row["state"]),
        cells=count,
        **expected._asdict(),
    )


def _gaps(
    table: pd.DataFrame, done: pd.DataFrame, plan: Plan, metric: StudyMetric
) -> tuple[list[GapForecast], list[str]]:
    """The gaps that are forecast, and what others lack."""
    gaps: list[GapForecast] = []
    missing: list[str] = []
    for pair in design_pairs(plan) if metric.has_law and SIZE_AXIS in plan.axes else ():
        for size, seeds, middle in _open_sizes(table, done, pair):
            found = _gap(table, metric, pair, len(seeds), middle)
            if isinstance(found, str):
                missing.append(f"{pair.question} at {size}: {found}")
                continue
            pairs, predicted, power = found
            gaps.append(
                GapForecast(
                    axis=pair.axis,
                    a=pair.a,
                    b=pair.b,
                    size=size,
                    parameters=round(middle),
                    seeds=seeds,
                    pairs=pairs,
                    predicted=predicted,
                    power=power,
                )
            )
    return gaps, missing


def _open_sizes(table: pd.DataFrame, done: pd.DataFrame, pair: DesignPair) -> Iterable[tuple[str, list[int], float]]:
    """Sizes of which neither design has a result, the seeds that both will have, and the mean of their parameters."""
    for size, rows in table.groupby(SIZE_AXIS, sort=False):
        of_both = [cells_of(rows, design) for design in (pair.a, pair.b)]
        seeds = sorted(set(of_both[0]["seed"]) & set(of_both[1]["seed"]))
        if seeds and not any(has_result(cells).any() or cells.index.isin(done.index).any() for cells in of_both):
            middle = math.sqrt(float(of_both[0][N].mean()) * float(of_both[1][N].mean()))
            yield as_text(size), [int(seed) for seed in seeds], middle


def _gap(
    table: pd.DataFrame, metric: StudyMetric, pair: DesignPair, seeds: int, at: float
) -> tuple[int, Predicted, Predicted | None] | str:
    """Pairs that are done, and what the ratio of a mean over so many seeds will be; or what is missing to tell."""
    try:
        pairs = matched(table, *columns_of(metric, pair), metric.scale)
    except LabError as error:
        return str(error)
    if len(set(pairs.size)) < 2:
        return "one size is done: a curve needs two"
    found = _finite(new_gap("offset", pairs, at, seeds, LEVEL))
    if found is None:
        return f"{len(set(pairs.size))} sizes of one seed show no spread: a second seed is missing"
    return len(pairs.x), found, _finite(new_gap("power", pairs, at, seeds, LEVEL))

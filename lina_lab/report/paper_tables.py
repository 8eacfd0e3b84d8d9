"""The tables of a paper, each a file of its own: sizes, the metric by design and size, ablation, fits, every cell."""

from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

from lina_lab.analysis.ablation import readable_ablation
from lina_lab.analysis.evaluations import readable_evaluations
from lina_lab.analysis.forecast_score import readable_cells, readable_gaps
from lina_lab.analysis.interval import mean_interval
from lina_lab.analysis.names import design_names
from lina_lab.analysis.report_data import ReportData
from lina_lab.analysis.scale import RATIO
from lina_lab.analysis.scaling import design_fits, readable_fits
from lina_lab.analysis.study_metric import StudyMetric
from lina_lab.analysis.table import SIZE_AXIS, design_axes, designs, readable
from lina_lab.analysis.tuning import chosen_before, tuned_names
from lina_lab.escape import latex_prose
from lina_lab.ledger.plan import Plan
from lina_lab.report.latex_tables import Layout, paper_table
from lina_lab.report.page import StudyFindings
from lina_lab.report.paper_method import sizes_table


class Rows(NamedTuple):
    """A table of a paper before it is LaTeX."""

    table: pd.DataFrame
    caption: str
    """In plain text."""
    repeated: int = 1
    """First columns, of names, which stand in every part of a table that is too wide for a page."""
    last: bool = False
    """Whether it stands in the appendix."""


def paper_tables(study: ReportData, results: StudyFindings, effects: pd.DataFrame) -> dict[str, str]:
    """LaTeX of every table of a study that has rows, by its name."""
    rows = {name: made for name, made in _tables(study, results, effects) if len(made.table)}
    return {
        name: paper_table(made.table, latex_prose(made.caption), f"tab:{name}", Layout(made.repeated, made.last))
        for name, made in rows.items()
    }


def _tables(study: ReportData, results: StudyFindings, effects: pd.DataFrame) -> Iterable[tuple[str, Rows]]:
    plan, table, metric, forecast = study.plan, study.table, results.metric, results.forecast
    axes, own = list(plan.axes), design_axes(plan)
    yield "sizes", Rows(sizes_table(study), SIZES)
    if own:
        yield "designs", Rows(_designs(plan), DESIGNS, len(own) + 1)
    yield "metric", Rows(metric_by_size(table, plan, metric), _caption_of_metric(table, metric))
    if len(effects):
        yield "ablation", _without(["seeds"], Rows(readable_ablation(effects, metric), _caption_of_ablation(metric), 4))
    fits = design_fits(table, plan, metric.column) if metric.has_law else pd.DataFrame()
    if len(fits):
        shown = _with_names(readable_fits(fits, own), fits, plan)
        yield "fits", _without(["loss", "n"], Rows(shown, FITS.format(metric.label)))
    if len(forecast.cells):
        shown = _with_names(readable_cells(forecast, own, metric), forecast.cells, plan)
        shown.insert(1, SIZE_AXIS, forecast.cells[SIZE_AXIS].astype(str) if SIZE_AXIS in axes else "")
        yield "forecast", Rows(shown, FORECAST.format(metric.label), 3)
    if len(forecast.gaps):
        yield "forecast-gaps", Rows(readable_gaps(forecast, metric), GAPS.format(metric.scale.word, metric.label), 3)
    chosen = [*tuned_names(plan), *chosen_before(plan)]
    yield "cells", _without(["state"], Rows(readable(table, axes, chosen), CELLS, len(axes) + 1, last=True))
    if len(study.evaluations):
        shown = readable_evaluations(study.evaluations, {cell.key: cell for cell in plan.cells})
        yield "evaluations", Rows(shown, EVALUATIONS, last=True)


def _without(names: list[str], rows: Rows) -> Rows:
    """Without those of the named columns that have one value, which the caption then says."""
    same = [name for name in names if name in rows.table and len(set(rows.table[name])) == 1]
    said = ", ".join(f"{name} {rows.table[name].iloc[0]}" for name in same)
    caption = f"{rows.caption} In all rows: {said}." if same else rows.caption
    return rows._replace(table=rows.table.drop(columns=same), caption=caption)


def _with_names(shown: pd.DataFrame, rows: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Short names of designs in the place of the columns of their axes."""
    own, names = design_axes(plan), design_names(plan)
    if not own:
        return shown
    named = [names(dict(zip(own, values, strict=True))) for values in rows[own].itertuples(index=False)]
    others = shown.drop(columns=own)
    others.insert(0, "design", named)
    return others


def _designs(plan: Plan) -> pd.DataFrame:
    own, names = design_axes(plan), design_names(plan)
    points = {tuple(cell.values[axis] for axis in own): None for cell in plan.cells}
    return pd.DataFrame(
        [{"design": names(dict(zip(own, values, strict=True))), **dict(zip(own, map(str, values), strict=True))}
         for values in points]
    )  # fmt: skip


SIZES = (
    "Sizes, with the range over designs. Blocks: context stack, encoder, decoder, head. FLOPs in closed form, a "
    "multiply-add is 2."
)
FITS = (
    "{} against parameters N: power laws, without and with a floor E. Intervals are 95 % profile intervals, which "
    "suppose noise to be alike at all sizes. Predicted: a fit to all smaller sizes less what was measured, of it."
)
FORECAST = "What was forecast of {} before it ran, and what the cells reached."
GAPS = "The {} of {} of two designs at sizes of which neither had a result, as forecast and as reached."
DESIGNS = "Designs by their short names."
CELLS = "Every cell of the study."
EVALUATIONS = "The same cells, measured in other ways."


def metric_by_size(table: pd.DataFrame, plan: Plan, metric: StudyMetric) -> pd.DataFrame:
    """A row a design and a column a size: the mean over seeds with its 95 % t interval, where there are several."""
    names, rows = design_names(plan), []
    for values, of_design in designs(table.dropna(subset=[metric.column]), design_axes(plan)):
        sizes = of_design.groupby(SIZE_AXIS, sort=False) if SIZE_AXIS in of_design else [(metric.label, of_design)]
        rows.append({"design": names(values)} | {str(size): _mean(own, metric) for size, own in sizes})
    return pd.DataFrame(rows)


def many_sizes(table: pd.DataFrame) -> bool:
    return SIZE_AXIS in table and len(set(table[SIZE_AXIS])) > 1


def _caption_of_metric(table: pd.DataFrame, metric: StudyMetric) -> str:
    mean = "geometric mean" if metric.scale == RATIO else "mean"
    over = f"the {mean} over training seeds with its 95 % t interval"
    if table.dropna(subset=[metric.column])["seed"].nunique() < 2:
        over = f"one seed{f', ± 1 {metric.error_words}' if metric.error in table else ''}"
    return f"{metric.label} of every design{' at every size' * many_sizes(table)}, {metric.better} is better: {over}."


def _caption_of_ablation(metric: StudyMetric) -> str:
    what = "geometric mean ratio" if metric.scale == RATIO else "mean difference"
    return (
        f"Effect of every value of every axis: {what} of {metric.label} over pairs of cells that differ in nothing "
        f"else. Below {metric.scale.neutral:g}: lower. Each interval stands for itself."
    )


def _mean(cells: pd.DataFrame, metric: StudyMetric) -> str:
    values = cells[metric.column]
    interval = mean_interval([float(metric.scale.forward(value)) for value in values])
    if interval is None:
        error = cells.get(metric.error, pd.Series(dtype=float)).dropna()
        return f"{values.iloc[0]:.3g}" + (f" ± {error.iloc[0]:.2g}" if len(error) else "")
    mean, low, high = metric.scale.interval(interval)
    return f"{mean:.3g} ({low:.3g} to {high:.3g})"

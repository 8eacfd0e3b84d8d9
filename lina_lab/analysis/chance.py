"""Whether a design has learnt anything; none that has not takes part in a claim.

A design is at chance at a size if the class accuracy of its cells together is not above chance (binomial test, 5 %),
or their FID is no lower than that of one average picture drawn again and again (`reference_variance`). Where a table
has no class accuracy: if its y is no better than that of an untrained model of that size (a column `untrained/` and the
name of y), or the held-out loss of no cell has fallen from the first validation to the last (`val/loss_first`,
`val/loss_last`). A table with none of these columns leaves it open, which counts as no reason against a claim.
"""

import math

import pandas as pd
from scipy import stats

from lina_lab.analysis.confounds import Reasons
from lina_lab.analysis.match_cells import AT, DESIGN, Pairs
from lina_lab.analysis.names import design_names
from lina_lab.analysis.progress import has_result
from lina_lab.analysis.rows import LEARNT_NOTHING
from lina_lab.analysis.study_metric import StudyMetric
from lina_lab.analysis.table import designs, extractor_name
from lina_lab.ledger.plan import Plan
from lina_lab.metric_names import FID

ACCURACY = "eval/class_accuracy/"
RECORDED, VARIANCE = LEARNT_NOTHING
CHANCE = {"digits": 1 / 10, "emoji": 67 / 287, "shapes": 1 / 6}
"""Class accuracy by chance of results that are older than its record, by the data set in an extractor's name."""
UNTRAINED = "untrained/"
FIRST_LOSS, LAST_LOSS = "val/loss_first", "val/loss_last"
ALPHA = 0.05
NO_BETTER = "no better than chance or an untrained model"


def chance(pairs: Pairs, y: str, *, sign: int = 1) -> Reasons:
    """Reasons against both claims if both designs are at chance at the largest size, otherwise against the trend alone.

    sign: 1 where lower y is better, -1 where higher is.
    """
    if AT not in pairs.rows:
        return Reasons([], [])
    at_floor = {
        place: words
        for place, cells in pairs.rows.groupby([AT, DESIGN], sort=False)
        if (words := _floor(cells, y, sign)) is not None
    }
    last = pairs.size[-1]
    if (last, "A") in at_floor and (last, "B") in at_floor:
        reason = f"both designs are {NO_BETTER} at {last} (A: {at_floor[last, 'A']}; B: {at_floor[last, 'B']})"
        return Reasons([reason], [reason])
    where = "; ".join(f"{design} at {at}: {words}" for (at, design), words in at_floor.items())
    return Reasons([], [f"a design is {NO_BETTER}, which no curve describes ({where})"] if where else [])


def _floor(cells: pd.DataFrame, y: str, sign: int) -> str | None:
    """Why the cells of one design and size are at chance; None if they are above it, or the table does not tell."""
    if words := _no_lower_fid(cells, y):
        return words
    accuracy = [name for name in map(str, cells) if name.startswith(ACCURACY) and cells[name].notna().all()]
    if len(accuracy) == 1 and "num_generated" in cells and cells["num_generated"].notna().all():
        return _at_chance(cells, accuracy[0])
    if f"{UNTRAINED}{y}" in cells and cells[f"{UNTRAINED}{y}"].notna().all():
        trained, untrained = (float(cells[name].mean()) for name in (y, f"{UNTRAINED}{y}"))
        return None if sign * (untrained - trained) > 0 else f"{y} {trained:.4g}, untrained {untrained:.4g}"
    if FIRST_LOSS in cells and LAST_LOSS in cells and cells[[FIRST_LOSS, LAST_LOSS]].notna().all(axis=None):
        fell = (cells[LAST_LOSS] < cells[FIRST_LOSS]).any()
        return None if fell else "no held-out loss below its first"
    return None


def _no_lower_fid(cells: pd.DataFrame, y: str) -> str | None:
    known = y.startswith(FID) and y in cells and VARIANCE in cells and cells[VARIANCE].notna().all()
    if not known or (cells[y] < cells[VARIANCE]).any():
        return None
    return f"FID {cells[y].mean():.3g}, {cells[VARIANCE].mean():.3g} of one average picture drawn again and again"


def _own_fid(cells: pd.DataFrame) -> str:
    """The column of the FID by the extractor that decides; '' if the table does not tell."""
    known = cells["extractor"].dropna().tolist() if "extractor" in cells else []
    return FID + extractor_name(known[0]) if known else ""


def _at_chance(cells: pd.DataFrame, name: str) -> str | None:
    level = cells[RECORDED].mean() if RECORDED in cells else math.nan
    if math.isnan(level):
        level = CHANCE.get(name.removeprefix(ACCURACY).partition("-")[0], math.nan)
    images = cells["num_generated"].astype(int)
    right, total = int((cells[name] * images).round().sum()), int(images.sum())
    if not 0 < level < 1 or stats.binom.sf(right - 1, total, level) < ALPHA:
        return None
    return f"class accuracy {right / total:.3g} of {total:,} images, {level:.3g} by chance"


MOST = 6
"""Most models that a line names; the rest are counted."""


def learnt_nothing(table: pd.DataFrame, plan: Plan, metric: StudyMetric) -> str:
    """The line with which a report begins if some models are at chance, naming them; '' if none are.

    Pictures without content are named whatever the metric is. table: `with_losses`.
    """
    models = list(designs(table[has_result(table)].dropna(subset=[metric.column]), list(plan.axes)))
    found = [
        (values, _floor(cells, metric.column, metric.sign) or _no_lower_fid(cells, _own_fid(cells)))
        for values, cells in models
    ]
    blind = [(values, words) for values, words in found if words]
    if not blind:
        return ""
    names = design_names(plan)
    named = [f"{names(values)} ({words})" for values, words in blind[:MOST]]
    more = [f"and {len(blind) - MOST} more"] if len(blind) > MOST else []
    return (
        f"Nothing learnt: {len(blind)} of {len(models)} models are {NO_BETTER}, and what is said of them below says "
        f"nothing of their designs: {'; '.join([*named, *more])}."
    )


def with_losses(table: pd.DataFrame, curves: pd.DataFrame | None) -> pd.DataFrame:
    """A results table with the held-out loss of each cell's first and last validation, where it had more than one."""
    if curves is None or curves.empty or "key" not in table:
        return table
    of_cell = curves.sort_values("step").groupby("key")["loss"].agg(["first", "last", "size"])
    of_cell = of_cell[of_cell["size"] > 1]
    ends = {FIRST_LOSS: table["key"].map(of_cell["first"]), LAST_LOSS: table["key"].map(of_cell["last"])}
    return table.assign(**ends)

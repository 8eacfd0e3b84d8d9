"""Whether a design has learnt anything; none that has not takes part in a claim.

A design is at chance at a size if the class accuracy of its cells together is not above chance (binomial test, 5 %).
Where a table has none: if its y is no better than that of an untrained model of that size (a column `untrained/` and
the name of y), or the held-out loss of no cell has fallen from the first validation to the last (`val/loss_first`,
`val/loss_last`). A table with none of these columns leaves it open, which counts as no reason against a claim.
"""

import math

import pandas as pd
from scipy import stats

from lina_lab.analysis.confounds import Reasons
from lina_lab.analysis.match_cells import AT, DESIGN, Pairs
from lina_lab.config.settings import EXTRACTORS

ACCURACY = "eval/class_accuracy/"
CHANCE = {"digits": 1 / 10, "emoji": 67 / 287, "fashion-mnist": 1 / 10, "mnist": 1135 / 10_000, "shapes": 1 / 6}
"""Class accuracy of a model that always draws the most frequent class, by the data set of an extractor."""
RECORDED = "class_chance"
"""Column with the class accuracy by chance for other data sets."""
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


def _at_chance(cells: pd.DataFrame, name: str) -> str | None:
    reads = EXTRACTORS.get(name.removeprefix(ACCURACY))
    level = cells[RECORDED].mean() if RECORDED in cells else CHANCE.get(reads.data if reads else "", math.nan)
    images = cells["num_generated"].astype(int)
    right, total = int((cells[name] * images).round().sum()), int(images.sum())
    if not 0 < level < 1 or stats.binom.sf(right - 1, total, level) < ALPHA:
        return None
    return f"class accuracy {right / total:.3g} of {total:,} images, {level:.3g} by chance"


def with_losses(table: pd.DataFrame, curves: pd.DataFrame | None) -> pd.DataFrame:
    """A results table with the held-out loss of each cell's first and last validation, where it had more than one."""
    if curves is None or curves.empty or "key" not in table:
        return table
    of_cell = curves.sort_values("step").groupby("key")["loss"].agg(["first", "last", "size"])
    of_cell = of_cell[of_cell["size"] > 1]
    ends = {FIRST_LOSS: table["key"].map(of_cell["first"]), LAST_LOSS: table["key"].map(of_cell["last"])}
    return table.assign(**ends)

"""Samples side by side: a cell a row, and in each column the same noise and the same class or prompt."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from PIL import Image

from lina_lab.analysis.names import design_label
from lina_lab.analysis.samples import Samples
from lina_lab.analysis.table import SIZE_AXIS, design_axes, designs
from lina_lab.ledger.plan import Plan
from lina_lab.sheets import Row, most_columns, sheet

WIDTH = 900
"""Pixels for the pictures of a row: a page's width, without the names of sizes."""
MOST_ROWS = 12
"""Most rows beside the first figure."""


def samples_sheets(samples: Mapping[str, Samples], table: pd.DataFrame, plan: Plan) -> dict[str, Image.Image]:
    """`samples`: a row for each design and size under the first seed; of many, the largest size of the first designs.

    Where that leaves any out, `samples-all` has them. Empty if nothing was drawn yet.
    """
    first = table[(table["seed"] == table["seed"].min()) & table["key"].isin(samples)]
    if first.empty:
        return {}
    every = _sheet(samples, first, plan)
    if len(first) <= MOST_ROWS:
        return {"samples": every}
    largest = first[first[SIZE_AXIS] == first[SIZE_AXIS].iloc[-1]] if SIZE_AXIS in first else first
    return {"samples": _sheet(samples, largest.head(MOST_ROWS), plan), "samples-all": every}


def _sheet(samples: Mapping[str, Samples], cells: pd.DataFrame, plan: Plan) -> Image.Image:
    numbers, heads = _columns(max((samples[key] for key in cells["key"]), key=lambda one: one.images.shape[2]))
    rows = []
    for values, of_design in designs(cells, design_axes(plan)):
        group = design_label(values)
        for cell in of_design.to_dict("records"):
            drawn = samples[cell["key"]]
            place = dict(zip(drawn.numbers.tolist(), drawn.images, strict=True))
            pictures = [place.get(number) for number in numbers]
            rows.append(Row(pictures, name=str(cell.get(SIZE_AXIS, "")), group=group))
            group = ""
    return sheet(rows, heads)


def _columns(drawn: Samples) -> tuple[list[int], list[str]]:
    """Numbers and titles of as many images as a row has room for: the first of every class, then the second."""
    room = most_columns(drawn.images.shape[2], WIDTH)
    rank = pd.Series(drawn.labels).groupby(drawn.labels).cumcount().to_numpy()
    each = max(1, room // len(np.unique(drawn.labels)))
    shown = np.flatnonzero(rank < each)[:room]
    return drawn.numbers[shown].tolist(), drawn.titles[shown].tolist()

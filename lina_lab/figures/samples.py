"""Samples side by side: a design a column, and in each row the same noise and the same class or prompt."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from lina_lab.analysis.names import design_names
from lina_lab.analysis.sample_steps import SampleSteps
from lina_lab.analysis.samples import Samples
from lina_lab.analysis.table import SIZE_AXIS, design_axes, designs
from lina_lab.ledger.plan import Plan
from lina_lab.sheets import Picture, Row, sheet

FEW, MANY = 3, 10
"""Rows of a size: on the first board, and on that of all."""
MOST_DESIGNS = 12
"""Most columns of the first board."""


class BoardRow(NamedTuple):
    size: str
    """'' in a study without sizes."""
    title: str
    """What was asked for: a class or a prompt."""
    pictures: Sequence[Picture | None]
    """Of each design; None where it has none."""


class Board(NamedTuple):
    """Pictures of several designs at every size; those of a row start from the same noise."""

    names: list[str]
    rows: list[BoardRow]

    @property
    def side(self) -> int:
        """Pixels of the widest picture."""
        return max(picture.shape[1] for row in self.rows for picture in row.pictures if picture is not None)


def sample_boards(samples: Mapping[str, Samples], table: pd.DataFrame, plan: Plan) -> dict[str, Board]:
    """`samples`: a few rows of every size, of the first designs; `samples-all`: all of both, where there are more.

    Cells are of the first seed. Empty if nothing was drawn yet.
    """
    first = table[(table["seed"] == table["seed"].min()) & table["key"].isin(samples)]
    if first.empty:
        return {}
    of_designs = list(designs(first, design_axes(plan)))
    names = [design_names(plan)(values) for values, _ in of_designs]
    cells = [rows for _, rows in of_designs]
    few = _board(samples, names[:MOST_DESIGNS], cells[:MOST_DESIGNS], FEW)
    every = _board(samples, names, cells, MANY)
    more = len(every.names) > len(few.names) or len(every.rows) > len(few.rows)
    return {"samples": few} | ({"samples-all": every} if more else {})


def _board(samples: Mapping[str, Samples], names: list[str], cells: Sequence[pd.DataFrame], most: int) -> Board:
    keys = [dict(zip(rows.get(SIZE_AXIS, [""]), rows["key"], strict=False)) for rows in cells]
    sizes = list(dict.fromkeys(size for of_size in keys for size in of_size))
    rows = []
    for size in sizes:
        drawn = [samples[of_size[size]] if size in of_size else None for of_size in keys]
        places = [dict(zip(one.numbers.tolist(), one.images, strict=True)) if one else {} for one in drawn]
        numbers, titles = chosen(next(one for one in drawn if one), most)
        rows += [
            BoardRow(str(size), title, [place.get(number) for place in places])
            for number, title in zip(numbers, titles, strict=True)
        ]
    return Board(names, rows)


def step_boards(drawn: Mapping[str, SampleSteps], table: pd.DataFrame, plan: Plan) -> list[tuple[int, Board]]:
    """A board of all designs by step of training; a place is empty where a design has no picture of that step.

    Columns, rows and places are the same at every step.
    """
    if not drawn:
        return []
    of_designs = list(designs(table[table["key"].isin(drawn)], design_axes(plan)))
    names = [design_names(plan)(values) for values, _ in of_designs]
    cells = [drawn[rows["key"].iloc[0]] for _, rows in of_designs]
    images = [dict(zip(one.steps.tolist(), one.images, strict=True)) for one in cells]
    titles = list(zip_longest(*(one.titles.tolist() for one in cells), fillvalue=""))
    sizes = {str(size) for _, rows in of_designs for size in rows.get(SIZE_AXIS, [""])}

    def row(step: int, place: int) -> BoardRow:
        title = titles[place][0] if len(set(titles[place])) == 1 else ""
        return BoardRow(", ".join(sizes), title, [_at(one.get(step, []), place) for one in images])

    steps = sorted({step for one in images for step in one})
    return [(step, Board(names, [row(step, place) for place in range(len(titles))])) for step in steps]


def _at(pictures: Sequence[Picture], place: int) -> Picture | None:
    return pictures[place] if place < len(pictures) else None


def chosen(drawn: Samples, most: int) -> tuple[list[int], list[str]]:
    """Numbers and titles of at most so many images: the first of every class, of many classes some that lie apart."""
    _, first = np.unique(drawn.labels, return_index=True)
    places = first[np.unique(np.linspace(0, len(first) - 1, min(most, len(first))).round().astype(int))]
    return drawn.numbers[places].tolist(), drawn.titles[places].tolist()


def board_sheet(board: Board) -> Image.Image:
    """A board as one picture, for a paper; on a page its names stay while it is scrolled."""
    rows, group = [], ""
    for row in board.rows:
        rows.append(Row(row.pictures, name=row.title, group=row.size if row.size != group else ""))
        group = row.size
    return sheet(rows, board.names)

"""What the designs drew along their training: a few pictures at a few steps, cut out of the sheets of the cells.

A sheet is drawn in training with the same classes or prompts and the same noise at every step; see `sheets`.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from lina_lab.analysis.progress import has_result
from lina_lab.analysis.samples import Samples, npz_bytes
from lina_lab.analysis.table import SIZE_AXIS
from lina_lab.sheets import Picture, Row, pictures_of, sheet

SHEETS = "step-*.png"
"""Sheets of samples in the folder `samples` of a cell, named by their step."""
MOST_BYTES = 1_000_000
"""Of the file in a report."""
STEPS, PICTURES = (8, 6, 4, 2), (4, 3, 2, 1)
"""How many of each a report has: the first that fit, fewer pictures before fewer steps."""


class SampleSteps(NamedTuple):
    """Pictures of one cell by step; those of one place have the same class or prompt and the same noise."""

    steps: np.ndarray
    """(s,), rising."""
    images: np.ndarray
    """(s, n, height, width, 3), uint8."""
    titles: np.ndarray
    """(n,): the classes; '' where the sheets do not have these words over their columns."""


def steps_of_ledger(runs: Path, table: pd.DataFrame, samples: Mapping[str, Samples]) -> dict[str, SampleSteps]:
    """Of the first seed's cells with samples at the largest size, by key; none where fewer than two steps fit."""
    rows = table[has_result(table) & (table["seed"] == table["seed"].min()) & table["key"].isin(samples)]
    if SIZE_AXIS in rows and len(rows):
        rows = rows[rows[SIZE_AXIS] == rows.nlargest(1, "parameters")[SIZE_AXIS].iloc[0]]
    sheets = {key: {step_of(path.name): path for path in (runs / key / "samples").glob(SHEETS)} for key in rows["key"]}
    steps = spread(sorted({step for of_cell in sheets.values() for step in of_cell}), STEPS[0])
    read = {
        key: _of_sheets({step: of_cell[step] for step in steps if step in of_cell}, samples[key])
        for key, of_cell in sheets.items()
    }
    whole = {key: one for key, one in read.items() if one is not None}
    for count, pictures in product(STEPS, PICTURES):
        few = {key: _few(one, spread(steps, count), pictures) for key, one in whole.items()}
        if len(npz_bytes(few)) <= MOST_BYTES:
            return few if len(steps) > 1 else {}
    return {}


def step_of(name: str) -> int:
    """The step of a sheet, from its file name."""
    digits = name.removeprefix("step-").removesuffix(".png")
    return int(digits) if digits.isdecimal() else 0


def spread(steps: Sequence[int], most: int) -> list[int]:
    """At most so many steps, evenly spread, the last among them."""
    if len(steps) <= most:
        return list(steps)
    return [steps[round(place * (len(steps) - 1) / (most - 1))] for place in range(most)]


def _of_sheets(paths: Mapping[int, Path], drawn: Samples) -> SampleSteps | None:
    """The first row of every sheet; None if they are no sheets of pictures as large as the cell's own."""
    height, width = drawn.images.shape[1:3]
    _, first = np.unique(drawn.labels, return_index=True)
    images: dict[int, list[Picture]] = {}
    titled = True
    for step, path in paths.items():
        pixels = _pixels(path)
        grid = pictures_of(pixels, height, width)
        if grid:
            images[step] = grid[0]
            titles = drawn.titles[first][: len(grid[0])].tolist()
            # Words are read off no sheet. They are known where a sheet that is drawn with them is the same.
            titled = titled and np.array_equal(np.asarray(sheet([Row(row) for row in grid], titles)), pixels)
    counts = {len(row) for row in images.values()}
    if len(counts) != 1:
        return None
    count = counts.pop()
    return SampleSteps(
        steps=np.array(list(images)),
        images=np.array(list(images.values())),
        titles=drawn.titles[first][:count] if titled else np.full(count, ""),
    )


def _few(one: SampleSteps, steps: Sequence[int], pictures: int) -> SampleSteps:
    """These steps alone, and at most so many pictures, of many some that lie apart."""
    kept = np.isin(one.steps, steps)
    columns = np.array(spread(range(len(one.titles)), pictures)) if pictures > 1 else np.array([0])
    return SampleSteps(one.steps[kept], one.images[kept][:, columns], one.titles[columns])


def _pixels(path: Path) -> Picture:
    """Of a PNG file; of one that cannot be read there are none."""
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError):  # as Pillow says that a file is damaged
        return np.zeros((0, 0, 3), np.uint8)

"""Pictures in rows and columns, enlarged until a person recognises them, with names over columns and beside rows."""

import io
import textwrap
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from lina_lab.files import write_atomic

Picture = NDArray[np.uint8]
"""(height, width, 3)"""
SHOWN_SIDE = 84
"""Pixels of a side that a picture is enlarged to, or a little more: digits of 28 x 28 three times."""
GAP, ROOM = 2, 8
"""Pixels between pictures, and around words."""
WORDS, LINE = 13, 17
"""Pixels of the letters' size, and of a line."""
MOST_LINES = 3
NAME = 20
"""Letters of a line beside a row."""


class Row(NamedTuple):
    pictures: Sequence[Picture | None]
    """None leaves a place empty."""
    name: str = ""
    """To the left of the row."""
    group: str = ""
    """Above the row, where it begins a group of rows."""


def sheet(rows: Sequence[Row], heads: Sequence[str] = (), shown_side: int = SHOWN_SIDE) -> Image.Image:
    """All rows under the names of their columns.

    Each picture is enlarged by the whole factor that brings the widest to at least `shown_side` pixels, without
    smoothing: its own pixels are seen. Smaller pictures take the same room.
    """
    pictures = [picture for row in rows for picture in row.pictures if picture is not None]
    height, width = max((picture.shape[:2] for picture in pictures), key=lambda size: size[1])
    times = factor(width, shown_side)
    tall, wide = height * times, width * times
    titles = [_wrapped(head, wide) for head in heads]
    columns = max(len(row.pictures) for row in rows)
    names = ["\n".join(textwrap.wrap(row.name, NAME, max_lines=MOST_LINES, placeholder="…")) for row in rows]
    left = max(_length(line) for name in names for line in name.split("\n"))
    left += 2 * ROOM if left else GAP
    tops = [max((len(title) for title in titles), default=0) * LINE + GAP]
    for row in rows:
        tops.append(tops[-1] + (LINE + ROOM) * bool(row.group) + tall + GAP)
    right = max([left + columns * (wide + GAP), *(ROOM + _length(row.group) for row in rows)])
    whole = Image.new("RGB", (right, tops[-1]), "white")
    draw = ImageDraw.Draw(whole)
    for column, title in enumerate(titles):
        place = (left + column * (wide + GAP) + wide // 2, GAP)
        draw.multiline_text(place, "\n".join(title), "black", _font(), anchor="ma", align="center")
    for row, name, below in zip(rows, names, tops[1:], strict=True):
        top = below - tall - GAP
        draw.text((GAP, top - GAP), row.group, "black", _font(), anchor="ld")
        draw.multiline_text((left - ROOM, top + tall // 2), name, "black", _font(), anchor="rm", align="right")
        for column, picture in enumerate(row.pictures):
            if picture is not None:
                enlarged = Image.fromarray(picture).resize((wide, tall), Image.Resampling.NEAREST)
                whole.paste(enlarged, (left + column * (wide + GAP), top))
    return whole


def pictures_of(drawn: Picture, height: int, width: int) -> list[list[Picture]]:
    """The pictures (height, width, 3) of a sheet by row, as they were before `sheet` enlarged them.

    Of a sheet of full rows without names beside or above them. [] if it is none of such pictures: drawn anew it would
    not be the same.
    """
    times = factor(width)
    tall, wide = height * times + GAP, width * times + GAP
    rows, columns = (drawn.shape[0] - GAP) // tall, (drawn.shape[1] - GAP) // wide
    if rows < 1 or columns < 1:
        return []
    top = drawn.shape[0] - rows * tall  # heads are above
    small = [range(top + row * tall, top + (row + 1) * tall - GAP, times) for row in range(rows)]
    places = [range(GAP + column * wide, GAP + (column + 1) * wide - GAP, times) for column in range(columns)]
    grid = [[drawn[np.ix_(ys, xs)] for xs in places] for ys in small]
    again = np.asarray(sheet([Row(row) for row in grid]))[GAP:]
    return grid if np.array_equal(again, drawn[top:]) else []


def beside(named: Sequence[tuple[str, Image.Image]], columns: int = 3, width: int = 480) -> Image.Image:
    """Pictures with their names above, row by row, each at most `width` pixels wide and as high as its own aspect."""
    shown = [image.convert("RGB") for _, image in named]
    for image in shown:
        image.thumbnail((width, image.height))
    rows = [range(first, min(first + columns, len(shown))) for first in range(0, len(shown), columns)]
    heights = [ROOM + LINE + max(shown[index].height for index in row) for row in rows]
    whole = Image.new("RGB", (min(columns, len(shown)) * (width + ROOM), sum(heights)), "white")
    draw = ImageDraw.Draw(whole)
    top = 0
    for row, height in zip(rows, heights, strict=True):
        for column, index in enumerate(row):
            left = column * (width + ROOM)
            draw.text((left, top + ROOM + LINE - GAP), named[index][0], "black", _font(), anchor="ld")
            whole.paste(shown[index], (left, top + ROOM + LINE))
        top += height
    return whole


def factor(side: int, shown_side: int = SHOWN_SIDE) -> int:
    """The whole number of pixels that each of a picture is shown as, to be at least so wide."""
    return -(-shown_side // side)


def write_sheet(path: Path, drawn: Image.Image) -> None:
    """Write a sheet as PNG, whole or not at all."""
    buffer = io.BytesIO()
    drawn.save(buffer, "PNG")
    write_atomic(path, buffer.getvalue())


def _wrapped(words: str, width: int) -> list[str]:
    """Words in lines that fit a width, the last of `MOST_LINES` shortened."""
    letters = max(3, int(width * len(words) / max(_length(words), 1)))
    return textwrap.wrap(words, letters, max_lines=MOST_LINES, placeholder="…")


def _length(words: str) -> int:
    return int(_font().getlength(words) + 0.5)


@cache
def _font() -> ImageFont.FreeTypeFont:
    """The font of the figures, which comes with matplotlib and has most scripts."""
    from matplotlib import get_data_path

    return ImageFont.truetype(Path(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), WORDS)

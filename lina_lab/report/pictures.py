"""Pictures as a page has them: written into it, so that it needs no other file."""

import base64
import io
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from lina_lab.figures.samples import Board
from lina_lab.sheets import Picture, factor


class ShownRow(NamedTuple):
    size: str
    title: str
    pictures: list[str]
    """Data URIs, '' for none."""


class ShownBoard(NamedTuple):
    """A board of samples for the page: its pictures in their own pixels, which the browser enlarges to `side`."""

    names: list[str]
    rows: list[ShownRow]
    side: int


def shown_board(board: Board) -> ShownBoard:
    """Each picture as a PNG of its own, shown a whole number of pixels of the page wide for each of its own."""
    rows = [ShownRow(row.size, row.title, [_png(picture) for picture in row.pictures]) for row in board.rows]
    return ShownBoard(board.names, rows, board.side * factor(board.side))


def _png(picture: Picture | None) -> str:
    if picture is None:
        return ""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return data_uri(buffer.getvalue())


def embedded(path: Path) -> str | None:
    """A PNG file as a data URI; None where it is missing."""
    return data_uri(path.read_bytes()) if path.exists() else None


def data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"

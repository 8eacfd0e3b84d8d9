"""Sheets of sample images."""

import io
from pathlib import Path

from PIL import Image
from torch import Tensor

from lina_lab.files import write_atomic

SHOWN_SIDE = 64
"""Small images are enlarged by a whole factor to about this many pixels, so that their pixels can be seen."""


def save_sheet(path: Path, images: Tensor, columns: int) -> None:
    """Images (n, 3, H, W) uint8, row by row, with a gap of one pixel, as PNG."""
    height, width = images.shape[-2:]
    factor = max(1, SHOWN_SIDE // width)
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * (width * factor + 1) + 1, rows * (height * factor + 1) + 1), "white")
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        tile = Image.fromarray(image.permute(1, 2, 0).numpy()).resize((width * factor, height * factor), 0)
        sheet.paste(tile, (column * (width * factor + 1) + 1, row * (height * factor + 1) + 1))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    write_atomic(path, buffer.getvalue())

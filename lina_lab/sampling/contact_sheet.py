"""Sample images tiled on one sheet."""

import io
from pathlib import Path

from PIL import Image
from torch import Tensor

from lina_lab.files import write_atomic

SHOWN_SIDE = 64
"""Small images are enlarged by a whole factor to about this many pixels, so that their pixels can be seen."""


def save_sheet(path: Path, images: Tensor, columns: int) -> None:
    """Write the `sheet` of images (n, 3, H, W) uint8 as PNG."""
    buffer = io.BytesIO()
    sheet(images, columns).save(buffer, "PNG")
    write_atomic(path, buffer.getvalue())


def sheet(images: Tensor, columns: int, shown_side: int = SHOWN_SIDE) -> Image.Image:
    """Images (n, 3, H, W) uint8, row by row, with a gap of one pixel."""
    height, width = images.shape[-2:]
    factor = max(1, shown_side // width)
    rows = -(-len(images) // columns)
    whole = Image.new("RGB", (columns * (width * factor + 1) + 1, rows * (height * factor + 1) + 1), "white")
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        tile = Image.fromarray(image.permute(1, 2, 0).numpy()).resize((width * factor, height * factor), 0)
        whole.paste(tile, (column * (width * factor + 1) + 1, row * (height * factor + 1) + 1))
    return whole

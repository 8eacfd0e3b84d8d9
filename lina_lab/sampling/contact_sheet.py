"""Sample images tiled on one sheet."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from torch import Tensor

from lina_lab.sheets import SHOWN_SIDE, Row, sheet, write_sheet


def save_sheet(path: Path, images: Tensor, columns: int, heads: Sequence[str] = ()) -> None:
    """Write images (n, 3, H, W) uint8 as PNG, row by row under the names of the columns."""
    write_sheet(path, contact_sheet(images, columns, heads))


def contact_sheet(images: Tensor, columns: int, heads: Sequence[str] = (), shown_side: int = SHOWN_SIDE) -> Image.Image:
    """Images (n, 3, H, W) uint8, row by row; see `sheets.sheet`."""
    pictures = list(images.permute(0, 2, 3, 1).numpy())
    rows = [Row(pictures[first : first + columns]) for first in range(0, len(pictures), columns)]
    return sheet(rows, heads, shown_side)

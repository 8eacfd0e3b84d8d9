"""1,911 Noto emoji with their Unicode names, in 10 categories and 99 subcategories; `pack_emoji` packed them.

The images are Apache-2.0 (packed/emoji-LICENSE.txt).
"""

import csv
import hashlib
import io
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from lina_lab.config.data import DataConfig
from lina_lab.data.examples import Dataset
from lina_lab.data.pictures import Pictures, Pixels, split
from lina_lab.data.pixels import squared
from lina_lab.files import read_named

PACKED = Path(__file__).parent / "packed"
SHEET_SIDE, COLUMNS = 64, 48
FIELDS = ("name", "category", "subcategory", "code", "split")


def emoji(config: DataConfig) -> Dataset:
    """The emoji on white. Classes are the categories in alphabetical order, captions the names in lower case.

    At 32 x 32 they are reduced by the same rule as a folder's images. Whole subcategories are held out, chosen once
    when the emoji were packed, so that held-out captions name things that training never shows. The category
    `Component` has a single subcategory and so no held-out images; records name it as never drawn.

    Raises:
        LabError: if a packed file is missing or damaged.
    """
    return split(pictures(config), config.side)


def pictures(config: DataConfig) -> Pictures:
    """The emoji as single pictures, named by their code points."""
    rows = names()
    sheet = Image.open(io.BytesIO(read_named(PACKED, "emoji-64", ".webp")[1])).convert("RGB")
    categories = sorted({row["category"] for row in rows})
    read = partial(_tile, sheet, side=config.side)
    return Pictures(
        names=[row["code"] for row in rows],
        labels=torch.tensor([categories.index(row["category"]) for row in rows]),
        texts=[(row["name"],) for row in rows],
        heldout=torch.tensor([row["split"] == "held-out" for row in rows]),
        read=read,
        checksum=lambda number: hashlib.sha256(read(number).tobytes()).hexdigest(),
        size_and_time=lambda number: (0, 0),  # shipped with the package, so they never change
        classes=categories,
    )


def names() -> list[dict[str, str]]:
    """The rows of the packed table, by `FIELDS`, in the order of the images."""
    return list(csv.DictReader(io.StringIO(read_named(PACKED, "emoji", ".csv")[1].decode())))


def _tile(sheet: Image.Image, index: int, side: int) -> Pixels:
    row, column = divmod(index, COLUMNS)
    left, top = column * SHEET_SIDE, row * SHEET_SIDE
    return np.asarray(squared(sheet.crop((left, top, left + SHEET_SIDE, top + SHEET_SIDE)), side))

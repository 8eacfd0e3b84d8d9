"""1,911 Noto emoji with their Unicode names, in 10 categories and 99 subcategories; `pack_emoji` packed them.

The images are Apache-2.0 (packed/emoji-LICENSE.txt).
"""

import csv
import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from lina_lab.config.data import DataConfig
from lina_lab.data.examples import Dataset, Examples, from_uint8
from lina_lab.data.pixels import squared
from lina_lab.files import read_named

PACKED = Path(__file__).parent / "packed"
SHEET_SIDE, COLUMNS = 64, 48
FIELDS = ("name", "category", "subcategory", "code", "split")


def emoji(config: DataConfig) -> Dataset:
    """The emoji on white; the class is the category, in alphabetical order, and the caption is the name in lower case.

    At 32 x 32 they are made smaller as the images of a folder are. Held out are whole subcategories, drawn once when
    they were packed, so that their captions name things that training never shows. `Component`, of one subcategory
    alone, has no held-out images.

    Raises:
        LabError: if a packed file is missing or damaged.
    """
    rows = names()
    sheet = Image.open(io.BytesIO(read_named(PACKED, "emoji-64", ".webp")[1])).convert("RGB")
    pixels = torch.from_numpy(np.stack([_tile(sheet, index, config.side) for index in range(len(rows))]))
    categories = sorted({row["category"] for row in rows})
    images = from_uint8(pixels)
    labels = torch.tensor([categories.index(row["category"]) for row in rows])
    captions = [row["name"] for row in rows]
    outside = torch.tensor([row["split"] == "held-out" for row in rows])
    everything = Examples(images, labels, captions)
    return Dataset(everything.where(~outside), everything.where(outside))


def names() -> list[dict[str, str]]:
    """The rows of the packed table, by `FIELDS`, in the order of the images."""
    return list(csv.DictReader(io.StringIO(read_named(PACKED, "emoji", ".csv")[1].decode())))


def _tile(sheet: Image.Image, index: int, side: int) -> np.ndarray:
    row, column = divmod(index, COLUMNS)
    left, top = column * SHEET_SIDE, row * SHEET_SIDE
    return np.asarray(squared(sheet.crop((left, top, left + SHEET_SIDE, top + SHEET_SIDE)), side))

"""Pack the emoji into the package: python -m lina_lab.data.pack_emoji FOLDER.

FOLDER is the unpacked npm package emoji-datasource-google (`npm pack` downloads it; the package ships 16.0.0). This
writes one lossless WebP sheet of all images at 64 x 64, a CSV of their names and split, the words of their captions,
and the licences. It takes about a minute and gives the same bytes under the same version of Pillow.
"""

import csv
import io
import json
import random
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from PIL import Image

from lina_lab.config.data import WORDS
from lina_lab.data.emoji import COLUMNS, FIELDS, PACKED, SHEET_SIDE
from lina_lab.data.pixels import to_rgb
from lina_lab.data.vocabulary import split_words
from lina_lab.errors import LabError
from lina_lab.files import write_named

HELD_OUT = 0.18
"""Most of a category's images that may be held out, as a share; over all categories it comes to 15 %."""
TWINS = {"family", "person-symbol"}
"""Subcategories with four identical images: both stay in training, so that no image is in both splits."""
LICENCES = """\
The images in emoji-64-*.webp are of Noto Emoji, copyright Google LLC, under the Apache License 2.0 (below); they were
composited onto white and put into one sheet. Names, categories and subcategories in emoji-*.csv are of emoji-data
16.0.0 under this licence:

"""


def read_emoji(folder: Path) -> list[dict[str, Any]]:
    """Entries with an image, in Unicode order; skin-tone variants are not entries of their own.

    Raises:
        LabError: if the folder is not the unpacked package.
    """
    path = folder / "emoji.json"
    if not path.exists():
        raise LabError(f"{path}: no such file: FOLDER must be the unpacked npm package emoji-datasource-google")
    entries = json.loads(path.read_text(encoding="utf-8"))
    return sorted((e for e in entries if e["has_img_google"]), key=lambda e: e["sort_order"])


def sheet(entries: list[dict[str, Any]], images: Path) -> bytes:
    """All images as one lossless WebP, `COLUMNS` in a row."""
    rows = -(-len(entries) // COLUMNS)
    canvas = Image.new("RGB", (COLUMNS * SHEET_SIDE, rows * SHEET_SIDE), "white")
    for index, entry in enumerate(entries):
        row, column = divmod(index, COLUMNS)
        with Image.open(images / entry["image"]) as image:
            canvas.paste(to_rgb(image), (column * SHEET_SIDE, row * SHEET_SIDE))
    buffer = io.BytesIO()
    canvas.save(buffer, "WEBP", lossless=True, method=6, quality=100)
    return buffer.getvalue()


def held_out(entries: list[dict[str, Any]]) -> set[str]:
    """Names of the held-out subcategories: at least one of every category that has two or more.

    In random order, each subcategory is taken that still fits into the category's share; if none fits, the smallest.
    """
    sizes: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for entry in entries:
        sizes[entry["category"]][entry["subcategory"]] += 1
    generator, chosen = random.Random(0), set()
    for _, counts in sorted(sizes.items()):
        room, taken = HELD_OUT * sum(counts.values()), set()
        for name in generator.sample(sorted(counts), len(counts)):
            if counts[name] <= room and name not in TWINS:
                taken.add(name)
                room -= counts[name]
        if len(counts) > 1:
            chosen |= taken or {min(sorted(counts), key=counts.__getitem__)}
    return chosen


def table(entries: list[dict[str, Any]]) -> bytes:
    """A row for each image: caption (its Unicode name in lower case), category, subcategory, code points, split."""
    outside = held_out(entries)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(FIELDS)
    for entry in entries:
        split = "held-out" if entry["subcategory"] in outside else "train"
        name = entry["name"].lower()
        writer.writerow((name, entry["category"], entry["subcategory"], entry["unified"], split))
    return buffer.getvalue().encode()


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    entries = read_emoji(folder)
    words = sorted({word for entry in entries for word in split_words(entry["name"])})
    apache = (Path(__file__).parents[2] / "LICENSE").read_text(encoding="utf-8")
    licences = LICENCES + (folder / "LICENSE").read_text(encoding="utf-8") + "\n\n" + apache
    write_named(PACKED, "emoji", ".csv", table(entries))
    write_named(PACKED, "emoji-64", ".webp", sheet(entries, folder / "img" / "google" / "64"))
    (PACKED / "emoji-LICENSE.txt").write_text(licences, encoding="utf-8")
    (WORDS / "emoji.txt").write_text("".join(f"{word}\n" for word in words), encoding="utf-8")
    print(f"{len(entries)} emoji, {len(words)} words, wrote {PACKED} and {WORDS / 'emoji.txt'}")


if __name__ == "__main__":
    main()

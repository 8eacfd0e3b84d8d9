"""A finite image set, read lazily. In-memory and cached loading both start here.

Shapes: n images of side x side pixels.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lina_lab.data.examples import Dataset, Examples, from_uint8, repeats
from lina_lab.data.prefetch import prefetch
from lina_lab.errors import LabError

Pixels = NDArray[np.uint8]
SHOWN = 20
"""Most problems that one error names; the rest are counted."""


class Pictures(NamedTuple):
    """n images, numbered in the order of their names."""

    names: Sequence[str]
    labels: Tensor
    """# (n,) int64"""
    texts: Sequence[Sequence[str]]
    """One or more texts of each image; () if the set has none."""
    heldout: Tensor
    """# (n,) bool"""
    read: Callable[[int], Pixels]
    """# (side, side, 3) uint8; raises LabError, naming the file, if it cannot be used."""
    checksum: Callable[[int], str]
    """SHA-256 of an image's file, as hex."""
    size_and_time: Callable[[int], tuple[int, int]]
    """Size in bytes and time of change in ns of an image's file: while both stay, the content is assumed to stay."""
    classes: Sequence[str]
    """The classes' names, by label."""


def split(pictures: Pictures, side: int) -> Dataset:
    """Load both splits into memory; an image's first text becomes its caption.

    Raises:
        LabError: naming every image that cannot be used.
    """
    pixels = read_all(pictures.read, range(len(pictures.names)), side)
    contents = [content(image.numpy()) for image in pixels]
    everything = Examples(from_uint8(pixels), pictures.labels, [texts[0] for texts in pictures.texts])
    return Dataset(
        everything.where(~pictures.heldout),
        everything.where(pictures.heldout),
        repeats=repeats(contents, pictures.names, pictures.heldout.tolist()),
        classes=pictures.classes,
    )


def content(pixels: Pixels) -> str:
    """Digest of an image's pixels, which finds the same picture in two files."""
    return hashlib.sha256(pixels.tobytes()).hexdigest()[:32]


def read_all(read: Callable[[int], Pixels], rows: Sequence[int], side: int, threads: int = 1) -> Tensor:
    """The images of the given rows, (n, side, side, 3) uint8.

    Raises:
        LabError: naming every image that cannot be used.
    """
    pixels, problems = np.empty((len(rows), side, side, 3), np.uint8), []

    def read_one(row: int) -> Pixels | LabError:
        try:
            return read(row)
        except LabError as error:
            return error

    for place, image in enumerate(prefetch(read_one, rows, 4 * threads, threads)):
        if isinstance(image, LabError):
            problems.append(str(image))
        else:
            pixels[place] = image
    refuse(problems)
    return torch.from_numpy(pixels)


def refuse(problems: Sequence[str]) -> None:
    """Raise one error with all problems, if there are any."""
    if problems:
        more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        raise LabError("\n".join([*problems[:SHOWN], *more]))

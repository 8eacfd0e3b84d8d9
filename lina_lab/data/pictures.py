"""A set of images with an end, each read when it is asked for: what fits in memory and what does not begin alike.

Shapes: n images of side x side pixels.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lina_lab.data.examples import Dataset, Examples, from_uint8
from lina_lab.errors import LabError

Pixels = NDArray[np.uint8]
SHOWN = 20
"""Problems that an error names; the rest are counted."""


class Pictures(NamedTuple):
    """n images by number, in an order that their names fix."""

    names: Sequence[str]
    labels: Tensor
    """# (n,) int64"""
    texts: Sequence[Sequence[str]]
    """Of each image, one or more; () where the set has none."""
    heldout: Tensor
    """# (n,) bool"""
    read: Callable[[int], Pixels]
    """# (side, side, 3) uint8; raises LabError, naming the file, where it cannot be used."""
    checksum: Callable[[int], str]
    """SHA-256 of what an image is read from, as hex."""
    stamp: Callable[[int], tuple[int, int]]
    """Bytes and time of change in ns: while both stay, the content is taken to stay."""


def in_memory(pictures: Pictures, side: int, rows: Sequence[int] | None = None) -> Examples:
    """The images as examples, all or those of `rows`; of several texts the first is the caption.

    Raises:
        LabError: naming every image that cannot be used.
    """
    rows = range(len(pictures.names)) if rows is None else rows
    pixels, problems = np.empty((len(rows), side, side, 3), np.uint8), []
    for place, row in enumerate(rows):
        try:
            pixels[place] = pictures.read(row)
        except LabError as error:
            problems.append(str(error))
    refuse(problems)
    captions = [pictures.texts[row][0] for row in rows] if pictures.texts else ()
    return Examples(from_uint8(torch.from_numpy(pixels)), pictures.labels[list(rows)], captions)


def split(pictures: Pictures, side: int) -> Dataset:
    """Both splits in memory."""
    everything = in_memory(pictures, side)
    return Dataset(everything.where(~pictures.heldout), everything.where(pictures.heldout))


def refuse(problems: Sequence[str]) -> None:
    """All problems in one error, if there are any."""
    if problems:
        more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        raise LabError("\n".join([*problems[:SHOWN], *more]))

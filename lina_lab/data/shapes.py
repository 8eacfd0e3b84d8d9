"""The data set `shapes`: endless scenes of coloured shapes, drawn by the program at any side, without repeats.

Shapes: n scenes, m objects, side x side pixels. Lengths of outlines are in units of the object's radius.
"""

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lina_lab.config.data import DataConfig
from lina_lab.data.examples import Dataset, Examples
from lina_lab.data.shapes_grammar import COLOURS, MOST_OBJECTS, OBJECTS, SHAPES, TAGS, caption
from lina_lab.data.shapes_scenes import Scenes, Split, objects, requests, scenes

Pixels = NDArray[np.float32]
NUM_FIXED = 2016
"""Scenes of the held-out split, and of the sample of training scenes: 336 of each category, or 42 of each object."""
PALETTE = np.array(list(COLOURS.values()), dtype=np.float32)
"""# (8, 3) of 255"""


def load_shapes(config: DataConfig) -> Dataset:
    """Endless training scenes by `draw`, the first `NUM_FIXED` of them as `train`, and as many held-out scenes.

    One in `NOVEL_EVERY` held-out scenes shows a combination that training never shows. With `labels: object` a scene
    has one object, nothing is new, and there are no captions. Scenes are always those of seed 0; an experiment's seed
    decides only which indices it draws.
    """
    fixed = torch.arange(NUM_FIXED)
    by_object = config.labels == "object"
    draw = partial(single_objects if by_object else examples, side=config.side)
    return Dataset(draw(fixed), draw(fixed, split="heldout"), draw, classes=OBJECTS if by_object else TAGS)


def examples(indices: Tensor, side: int, split: Split = "train") -> Examples:
    """The images (n, 3, side, side), categories (n,) and captions of scenes (n,)."""
    drawn = scenes(indices.numpy(), split)
    captions = [caption(request) for request in requests(drawn)]
    return Examples(_images(drawn, side), torch.from_numpy(drawn.label), captions)


def single_objects(indices: Tensor, side: int, split: Split = "train") -> Examples:
    """The images (n, 3, side, side) and objects (n,) of scenes (n,) of a single object."""
    drawn = objects(indices.numpy(), split)
    return Examples(_images(drawn, side), torch.from_numpy(drawn.label))


def _images(drawn: Scenes, side: int) -> Tensor:
    """(n, 3, side, side) in [-1, 1]."""
    return torch.from_numpy(render(drawn, side)).div_(127.5).sub_(1)


def render(drawn: Scenes, side: int) -> Pixels:
    """Antialiased images (n, 3, side, side) in 0 ... 255: pixels on an outline mix both colours by coverage."""
    grey = drawn.grey.astype(np.float32)
    images = np.broadcast_to(grey[:, None, None, None], (len(drawn), 3, side, side)).copy()
    for place in range(MOST_OBJECTS):
        for shape in range(len(SHAPES)):
            rows = np.flatnonzero((drawn.number > place) & (drawn.shape[:, place] == shape))
            cover = coverage(shape, drawn.centre[rows, place], drawn.radius[rows, place], side)
            difference = PALETTE[drawn.colour[rows, place]] - grey[rows, None]
            images[rows] += cover[:, None] * difference[:, :, None, None]
    return images


def coverage(shape: int, centre: NDArray[np.float64], radius: NDArray[np.float64], side: int) -> Pixels:
    """The covered share, 0 ... 1, of each pixel, for objects of centres (m, 2) and radii (m,).  # (m, side, side)"""
    pixels = ((np.arange(side) + 0.5) / side).astype(np.float32)
    at, size = centre.astype(np.float32), radius.astype(np.float32)[:, None]
    x, y = ((pixels - at[:, axis, None]) / size for axis in (0, 1))  # (m, side)
    distance: Pixels = OUTLINES[shape](x[:, None, :], y[:, :, None])
    return np.clip(0.5 - side * size[:, :, None] * distance, 0, 1)


def _circle(x: Pixels, y: Pixels) -> Pixels:
    return np.sqrt(x * x + y * y) - 1


def _square(x: Pixels, y: Pixels) -> Pixels:
    return np.maximum(abs(x), abs(y)) - 1


def _triangle(x: Pixels, y: Pixels) -> Pixels:
    """As high as wide, with a corner on top."""
    return np.maximum(y - 1, (2 * abs(x) - y - 1) * np.float32(5**-0.5))


def _cross(x: Pixels, y: Pixels) -> Pixels:
    """Two bars a third as wide as long."""
    x, y = abs(x), abs(y)
    return np.maximum(np.minimum(x, y) - np.float32(1 / 3), np.maximum(x, y) - 1)


def _diamond(x: Pixels, y: Pixels) -> Pixels:
    return (abs(x) + abs(y) - 1) * np.float32(0.5**0.5)


def _ring(x: Pixels, y: Pixels) -> Pixels:
    """Its hole is half as wide."""
    return abs(np.sqrt(x * x + y * y) - np.float32(0.75)) - np.float32(0.25)


OUTLINES = (_circle, _square, _triangle, _cross, _diamond, _ring)
"""Signed distances to the outlines, negative inside, in the order of `SHAPES`. All shapes fill the same box."""

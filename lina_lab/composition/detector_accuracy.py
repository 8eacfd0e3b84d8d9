"""How often the detector is right, measured on drawn scenes with known objects, clean and corrupted."""

import io
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from lina_lab.composition.detector import DetectedObject, detect
from lina_lab.data.shapes import Pixels, render
from lina_lab.data.shapes_scenes import Scenes, Split, scenes

NUM_SCENES = 240
FIRST = 100_000
"""First held-out scene to use: far from those that serve as reference."""


def _noise(images: Pixels) -> Pixels:
    return images + np.random.Generator(np.random.Philox(0)).normal(0, 20, images.shape).astype(np.float32)


def _blur(images: Pixels) -> Pixels:
    return ndimage.gaussian_filter(images, (0, 0, 1, 1))


def _jpeg(images: Pixels) -> Pixels:
    return np.stack([_decoded(image) for image in images])


def _decoded(image: Pixels) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(image.round().astype(np.uint8).transpose(1, 2, 0)).save(file, "JPEG", quality=75, subsampling=2)
    return np.asarray(Image.open(file), dtype=np.float32).transpose(2, 0, 1)


CORRUPTIONS: dict[str, Callable[[Pixels], Pixels]] = {
    "none": lambda images: images,
    "noise, sd 20 of 255": _noise,
    "blur, sd 1 pixel": _blur,
    "JPEG, quality 75, 4:2:0": _jpeg,
}


@lru_cache
def detector_accuracy(
    side: int, draw: Callable[[NDArray[np.int64], Split], Scenes] = scenes
) -> dict[str, dict[str, float]]:
    """By corruption, the share of scenes with the right `count`, of objects with the right `shape`, `colour`, `box`.

    `draw` gives the scenes of indices (n,).
    `scene` is the share of scenes in which all of that is right.

    Each object is compared with the detected one whose centre is nearest. A box is right if its intersection with the
    true box is at least three quarters of their union.
    """
    drawn = draw(np.arange(FIRST, FIRST + NUM_SCENES), "heldout")
    images = render(drawn, side)
    return {name: _accuracy(drawn, corrupt(images)) for name, corrupt in CORRUPTIONS.items()}


def _accuracy(drawn: Scenes, images: Pixels) -> dict[str, float]:
    counts, objects, scenes_right = [], [], []
    for number, detected in enumerate(detect(torch.from_numpy(images.round().clip(0, 255).astype(np.uint8)))):
        right = [_right(drawn, number, place, detected) for place in range(drawn.number[number])]
        counts.append(len(detected) == len(right))
        objects += right
        scenes_right.append(counts[-1] and bool(np.all(right)))
    shape, colour, box = np.mean(objects, axis=0).tolist()
    scene = float(np.mean(scenes_right))
    return {"count": float(np.mean(counts)), "shape": shape, "colour": colour, "box": box, "scene": scene}


def _right(drawn: Scenes, number: int, place: int, detected: list[DetectedObject]) -> tuple[bool, bool, bool]:
    """Whether the shape, colour and box of one drawn object were detected."""
    if not detected:
        return False, False, False
    centre, radius = drawn.centre[number, place], drawn.radius[number, place]
    truth = np.concatenate([centre - radius, centre + radius])
    nearest = min(detected, key=lambda one: float(((np.array(one.box) - truth).reshape(2, 2).sum(0) ** 2).sum()))
    alike = _overlap(truth, np.array(nearest.box)) >= 0.75
    return nearest.shape == drawn.shape[number, place], nearest.colour == drawn.colour[number, place], alike


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes."""
    shared = np.prod(np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0))
    return float(shared / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared))

"""Detect the objects in images of `shapes`, without learnt weights.

Every pixel is explained as a mixture of the background and one colour of the palette, which is what antialiasing, blur
and JPEG make of a drawn edge. Connected pixels form an object. Its shape is found by drawing every shape with the
object's area and centroid, which blur does not change, blurring it, and taking the most similar one.

Shapes: n images of 3 x h x h uint8, P colours, patches of p x p pixels around an object.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from lina_lab.data.shapes import PALETTE, Pixels, coverage
from lina_lab.data.shapes_grammar import SHAPES
from lina_lab.data.shapes_scenes import RADII

Mask = NDArray[np.bool_]
LEAST_AREA = 0.008
"""Least area of an object, as a share of the image: a quarter of the smallest drawn object."""
LEAST_FIT = 0.9
"""Least similarity of an object to a shape. Drawn shapes stay above it under all of `CORRUPTIONS`; half discs, bars,
crosses on their side and open rings do not reach it."""
RADIUS_RANGE = (0.75 * RADII[0], RADII[1] / 0.75)
"""Objects of other sizes match no shape: single patches of a bad generator would often pass as squares."""
SECOND_COLOUR = 0.3
"""Share of connected pixels from which a second colour counts as another object that touches the first."""
LARGEST_SIDE = 64
"""Larger images are first averaged down by a whole factor."""
BLURS = (0.0, 0.7, 1.0, 1.5)
"""Standard deviations in pixels."""
SHIFTS = np.concatenate([np.zeros((1, 3)), 0.4 * np.eye(3), -0.4 * np.eye(3)])
"""Tried corrections of x, y and radius, in pixels.  # (7, 3)"""
METRIC = np.array([[0.598, 1.174, 0.228], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]], dtype=np.float32)
"""Twice the luma, and the chroma of sRGB: JPEG halves the resolution of colour, so brightness is more reliable."""
REACH = 2
"""Pixels around an object that may belong to its blurred edge."""
TOUCHING = np.ones((3, 3), dtype=bool)
BATCH = 250

_FINE = 256
_DRAWN = [coverage(shape, np.array([[0.5, 0.5]]), np.array([0.5]), _FINE)[0] for shape in range(len(SHAPES))]
AREAS = [float(4 * drawn.mean()) for drawn in _DRAWN]
"""Area of every shape at radius 1."""
CENTROIDS = [float(drawn.sum(1) @ np.linspace(-1, 1, _FINE) / drawn.sum()) for drawn in _DRAWN]
"""How far the centroid lies below the middle of the box, in radii: 0 except for the triangle."""


class DetectedObject(NamedTuple):
    """An object in an image."""

    shape: int | None
    """None for none of `SHAPES`."""
    colour: int
    box: tuple[float, float, float, float]
    """Left, top, right and bottom, as shares of the side."""
    fit: float
    """Likeness to the shape as drawn: 1 - |difference|² / (|object|² + |drawn|²)."""


def detect(images: Tensor) -> list[list[DetectedObject]]:
    """The objects of each image (n, 3, h, h) uint8, the best fit first."""
    by_image = []
    for batch in images.split(BATCH):
        factor = -(-images.shape[-1] // LARGEST_SIDE)
        colours, covers = unmix(F.avg_pool2d(batch.float(), factor).numpy())
        by_image += [list(_objects(*pair)) for pair in zip(colours, covers, strict=True)]
    return [sorted(objects, key=lambda one: -one.fit) for objects in by_image]


def unmix(pixels: Pixels) -> tuple[NDArray[np.int64], Pixels]:
    """The colour (n, h, h) and cover for which background + cover (colour - background) is nearest to each pixel.

    The background is the median of the outermost pixels.
    """
    rows, columns = pixels[:, :, [0, -1]], pixels[:, :, :, [0, -1]].swapaxes(2, 3)
    background = np.median(np.concatenate([rows, columns], axis=2), axis=(2, 3))  # (n, 3)
    ways = (PALETTE - background[:, None]) @ METRIC.T  # (n, P, 3)
    lengths = np.maximum((ways**2).sum(2), 1)[..., None, None]
    offsets = np.einsum("dc,nchw->ndhw", METRIC, pixels - background[..., None, None])
    along = np.einsum("npd,ndhw->nphw", ways, offsets)
    covers = np.clip(along / lengths, 0, 1)
    # Squared distance without the squared offset, which is the same for all colours.
    colour = (covers * (covers * lengths - 2 * along)).argmin(1)
    return colour, np.take_along_axis(covers, colour[:, None], 1)[:, 0]


def _objects(colour: NDArray[np.int64], cover: Pixels) -> Iterator[DetectedObject]:
    """The objects of one image."""
    solid = cover > 0.5
    for group in _connected(solid):
        areas = np.bincount(colour[group])
        several = np.flatnonzero(areas >= SECOND_COLOUR * group.sum())
        for part in [group] if len(several) < 2 else [group & (colour == one) for one in several]:
            for mask in _connected(part):
                yield _describe(mask, solid & ~mask, cover, int(np.bincount(colour[mask]).argmax()))


def _connected(mask: Mask) -> list[Mask]:
    """The connected components that are large enough to be objects."""
    labels, _ = ndimage.label(mask, TOUCHING)
    areas = np.bincount(labels.ravel())[1:]
    return [labels == k + 1 for k in np.flatnonzero(areas >= LEAST_AREA * mask.size)]


def _describe(mask: Mask, others: Mask, cover: Pixels, colour: int) -> DetectedObject:
    own = ndimage.binary_dilation(mask, TOUCHING, iterations=REACH) & ~ndimage.binary_dilation(others, TOUCHING)
    if not own.any():
        own = mask  # no pixel of its edge is free of other colours
    patch, corner = _patch(cover * own, own)
    fit, shape, at, radius = max(_best(shape, patch) for shape in range(len(SHAPES)))
    (x, y), r = (np.array(at) + corner) / len(mask), radius / len(mask)
    known = fit >= LEAST_FIT and RADIUS_RANGE[0] <= r <= RADIUS_RANGE[1]
    return DetectedObject(shape=shape if known else None, colour=colour, box=(x - r, y - r, x + r, y + r), fit=fit)


def _patch(cover: Pixels, own: Mask) -> tuple[Pixels, NDArray[np.int64]]:
    """A square cut around an object, with an empty edge, and its corner x, y."""
    low, high = (np.array([f(np.flatnonzero(own.any(axis))) for axis in (0, 1)]) for f in (np.min, np.max))
    size = int((high - low).max()) + 3
    corner = (low + high + 1 - size) // 2
    left, top = corner + size
    return np.pad(cover, size)[top : top + size, left : left + size], corner


def _best(shape: int, patch: Pixels) -> tuple[float, int, tuple[float, float], float]:
    """The greatest similarity of an object to a shape, and the centre and radius in pixels that give it."""
    size, area = len(patch), patch.sum()
    places = np.arange(size) + 0.5
    middle = np.array([patch.sum(0) @ places, patch.sum(1) @ places]) / area
    radius = (area / AREAS[shape]) ** 0.5 + SHIFTS[:, 2]
    at = middle - radius[:, None] * np.array([0, CENTROIDS[shape]]) + SHIFTS[:, :2]
    drawn = coverage(shape, at / size, radius / size, size)
    blur = max(_blurs(size), key=lambda blur: _likeness(blur @ drawn[:1] @ blur, patch)[0])
    fits = _likeness(blur @ drawn @ blur, patch)
    k = int(fits.argmax())
    return float(fits[k]), shape, (float(at[k, 0]), float(at[k, 1])), float(radius[k])


def _likeness(drawn: NDArray[Any], patch: Pixels) -> NDArray[Any]:
    return 1 - ((drawn - patch) ** 2).sum((1, 2)) / ((drawn**2).sum((1, 2)) + (patch**2).sum())


@lru_cache
def _blurs(size: int) -> list[Pixels]:
    """Matrices (size, size) that blur along an axis, one for each of `BLURS`."""
    lines = np.eye(size, dtype=np.float32)
    return [ndimage.gaussian_filter1d(lines, sd, mode="constant") if sd else lines for sd in BLURS]

"""The detector on images whose objects are known."""

from itertools import product

import numpy as np
import pytest
import torch

from lina_lab.composition.detector import detect
from lina_lab.composition.detector_accuracy import CORRUPTIONS, NUM_SCENES, detector_accuracy
from lina_lab.data.shapes import PALETTE, coverage, render
from lina_lab.data.shapes_grammar import SHAPES
from lina_lab.data.shapes_scenes import scenes


def uint8(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images.round().clip(0, 255).astype(np.uint8))


def painted(cover: np.ndarray, colour: int, grey: float = 128.0) -> np.ndarray:
    """An image (3, h, h) of one colour on grey."""
    return grey + cover * (PALETTE[colour][:, None, None] - grey)


@pytest.mark.slow
@pytest.mark.parametrize("side", [32, 50, 64, 128])
def test_every_shape_in_every_colour_is_found_where_it_is(side):
    rng = np.random.default_rng(side)
    kinds = list(product(range(len(SHAPES)), range(len(PALETTE))))
    centres, radii = rng.uniform(0.27, 0.73, (len(kinds), 2)), rng.uniform(0.13, 0.21, len(kinds))
    images = [
        painted(coverage(shape, centre[None], radius[None], side)[0], colour, rng.uniform(96, 160))
        for (shape, colour), centre, radius in zip(kinds, centres, radii, strict=True)
    ]
    for kind, centre, radius, found in zip(kinds, centres, radii, detect(uint8(np.stack(images))), strict=True):
        assert [(one.shape, one.colour) for one in found] == [kind]
        assert found[0].box == pytest.approx([*(centre - radius), *(centre + radius)], abs=0.5 / min(side, 64))
        assert found[0].fit > 0.98


@pytest.mark.slow
@pytest.mark.parametrize(
    ("side", "jpeg"),
    [(32, 0.9), (64, 0.99)],
)
def test_objects_are_found_under_noise_blur_and_jpeg(side, jpeg):
    accuracy = detector_accuracy(side)
    assert list(accuracy) == list(CORRUPTIONS)
    for name, least in zip(CORRUPTIONS, (1, 0.99, 0.99, jpeg), strict=True):
        assert set(accuracy[name]) == {"count", "shape", "colour", "box", "scene"}
        assert accuracy[name]["scene"] >= least
        assert min(accuracy[name].values()) == accuracy[name]["scene"]
        assert accuracy[name]["colour"] >= 0.99


@pytest.mark.slow
def test_the_accuracy_falls_when_nothing_can_be_seen(monkeypatch):
    """The number beside every score is measured, not promised."""
    monkeypatch.setitem(CORRUPTIONS, "none", np.zeros_like)
    monkeypatch.setitem(CORRUPTIONS, "blur, sd 1 pixel", lambda images: images[:, :, ::-1])
    monkeypatch.setitem(CORRUPTIONS, "noise, sd 20 of 255", one_more)
    accuracy = detector_accuracy.__wrapped__(32)
    assert set(accuracy["none"].values()) == {0}
    # Upside down triangles have no name, colours stay, and objects are elsewhere.
    assert accuracy["blur, sd 1 pixel"]["count"] > 0.95
    assert accuracy["blur, sd 1 pixel"]["box"] < 0.3
    # An object too many is no fault of the others, but of the scene.
    assert accuracy["noise, sd 20 of 255"]["shape"] > 0.9
    assert accuracy["noise, sd 20 of 255"]["scene"] < 0.1
    assert NUM_SCENES % 6 == 0


def one_more(images: np.ndarray) -> np.ndarray:
    images = images.copy()
    images[:, :, :5, :5] = 250
    return images


def pieces(side: int) -> dict[str, np.ndarray]:
    """Things that are none of the shapes, about the middle, from 16 points a pixel."""
    points = ((np.arange(side * 4) + 0.5) / (side * 4) - 0.5) / 0.18
    x, y = np.meshgrid(points, points)
    disc = x**2 + y**2 < 1
    box = (abs(x) < 1) & (abs(y) < 1)
    kinds = {
        "half a disc": disc & (y < 0),
        "bar": box & (abs(y) < 0.33),
        "cross on its side": box & (abs(abs(x) - abs(y)) < 0.4),
        "open ring": disc & (x**2 + y**2 > 0.25) & ~((x > 0) & (abs(y) < 0.5)),
        "thin ring": disc & (x**2 + y**2 > 0.64),
        "two discs": (abs(x) - 0.5) ** 2 + y**2 < 0.25,
        "corner": box & ((x < -0.3) | (y > 0.3)),
    }
    return {name: kind.reshape(side, 4, side, 4).mean((1, 3)) for name, kind in kinds.items()}


@pytest.mark.parametrize("side", [32, 64])
@pytest.mark.parametrize("name", pieces(16))
def test_what_is_none_of_the_shapes_is_not_taken_for_one(name, side):
    found = detect(uint8(painted(pieces(side)[name], 0)[None]))[0]
    assert len(found) >= 1
    assert [one.shape for one in found] == [None] * len(found)
    assert {one.colour for one in found} == {0}


@pytest.mark.parametrize(("radius", "named"), [(0.06, False), (0.11, True), (0.25, True), (0.32, False)])
def test_what_is_much_smaller_or_larger_than_drawn_is_none_of_the_shapes(radius, named):
    """Half the width of a patch of a bad generator, 4 of 32 pixels, is 0.06."""
    found = detect(uint8(painted(coverage(1, np.array([[0.5, 0.5]]), np.array([radius]), 32)[0], 3)[None]))[0]
    assert [one.shape for one in found] == [1 if named else None]


def test_two_objects_that_touch_are_two_if_their_colours_differ():
    left, right = (coverage(1, np.array([[x, 0.5]]), np.array([0.15]), 40)[0] for x in (0.35, 0.65))
    image = painted(left, 0) + painted(right, 4) - 128
    found = detect(uint8(image[None]))[0]
    assert sorted((one.shape, one.colour) for one in found) == [(1, 0), (1, 4)]


def test_images_without_objects_have_none():
    noise = torch.randint(0, 256, (20, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    assert all(one.shape is None for found in detect(noise) for one in found)
    for level in (0, 128, 255):
        assert detect(torch.full((2, 3, 32, 32), level, dtype=torch.uint8)) == [[], []]


@pytest.mark.slow
def test_an_image_does_not_depend_on_those_beside_it():
    images = uint8(render(scenes(np.arange(40)), 32))
    together = detect(images)
    assert [detect(image[None])[0] for image in images] == together

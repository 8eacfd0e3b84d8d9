"""The scenes of shapes: always the same, true to their captions, and never what is held out."""

import hashlib

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.stats import chisquare

from lina_lab.config.data import NUM_OBJECTS, DataConfig
from lina_lab.data.datasets import load_dataset, to_uint8
from lina_lab.data.shapes import NUM_FIXED, OUTLINES, PALETTE, coverage, examples, render
from lina_lab.data.shapes_grammar import (
    COLOURS,
    OBJECTS,
    SHAPES,
    TAGS,
    count_held_out,
    is_held_out,
    parse,
    relation_held_out,
    shape_colour_held_out,
    tag,
)
from lina_lab.data.shapes_scenes import GAP, GREYS, MARGIN, RADII, Scenes, objects, scenes

MANY = 30_000


@pytest.fixture(scope="module")
def training():
    return scenes(np.arange(MANY))


@pytest.fixture(scope="module")
def data():
    return load_dataset(DataConfig.model_validate({"name": "shapes"}))


def true_relation(drawn: Scenes) -> np.ndarray:
    """Of the first object to the second, from their centres alone, along the longer axis."""
    x, y = (drawn.centre[:, 0] - drawn.centre[:, 1]).T
    return np.where(abs(x) > abs(y), (x > 0) * 1, 2 + (y > 0))


def test_a_scene_is_the_same_whichever_others_are_asked_for():
    some = np.array([70_001, 3, 255, 256, 257, 3])
    together = scenes(some)
    for place, index in enumerate(some):
        alone = scenes(np.array([index]))
        assert all(np.array_equal(a[place], b[0]) for a, b in zip(together, alone, strict=True))


def test_splits_and_seeds_have_scenes_of_their_own(training):
    index = np.arange(2000)
    assert len(np.unique(training.grey)) == MANY
    assert not set(training.grey) & set(scenes(index, "heldout").grey)
    assert not set(training.grey) & set(scenes(index, seed=1).grey)


@pytest.mark.slow
def test_the_scenes_never_change(data):
    """Changed ones would make old and new results incomparable under one name."""
    told = hashlib.sha256("\n".join((*data.train.captions, *data.heldout.captions)).encode()).hexdigest()
    assert told[:16] == "fbef2a76e4f03ea4"
    shown = hashlib.sha256(to_uint8(data.heldout.images).numpy().tobytes()).hexdigest()
    assert shown[:16] == "652ac5b6080f6431"


def test_the_fixed_splits_are_balanced_and_a_quarter_of_what_is_held_out_is_novel(data):
    for split, novel in ((data.train, 0), (data.heldout, 84)):
        assert split.labels.bincount().tolist() == [336] * 6
        asked = [parse(text) for text in split.captions]
        assert [tag(request) for request in asked] == [TAGS[label] for label in split.labels]
        told = [sum(is_held_out(request) for request in asked if tag(request) == name) for name in TAGS]
        assert told == [0, 0, novel, novel, novel, novel]


@pytest.mark.slow
def test_draw_gives_the_training_scenes_of_any_indices(data):
    index = torch.tensor([5, 2015, 0])
    drawn = data.draw(index)
    assert torch.equal(drawn.images, data.train.images[index])
    assert torch.equal(drawn.labels, data.train.labels[index])
    assert drawn.captions == [data.train.captions[i] for i in index]
    assert data.draw(torch.tensor([10**9])).images.shape == (1, 3, 32, 32)


def test_training_never_shows_what_is_held_out(training):
    """Whatever its caption says: single objects too have colours, and any two objects stand in some relation."""
    present = np.arange(4) < training.number[:, None]
    for shape, colour in zip(training.shape[present], training.colour[present], strict=True):
        assert not shape_colour_held_out(int(shape), int(colour))
    counted = training.label == TAGS.index("counting")
    assert not any(
        count_held_out(*row) for row in zip(training.number[counted], training.shape[counted, 0], strict=True)
    )
    pairs = training.number == 2
    different = pairs & (training.shape[:, 0] != training.shape[:, 1])
    rows = zip(training.shape[:, 0], true_relation(training), training.shape[:, 1], strict=True)
    assert not any(relation_held_out(*row) for row, two in zip(rows, different, strict=True) if two)
    assert different.sum() > MANY / 3


def test_novel_scenes_show_what_is_held_out():
    """Also where no caption can say it: in a quarter of single objects the colour, of two objects the relation."""
    drawn = scenes(np.arange(2400), "heldout")
    single = drawn.label == TAGS.index("single_object")
    novel = [shape_colour_held_out(*row) for row in zip(drawn.shape[single, 0], drawn.colour[single, 0], strict=True)]
    assert np.mean(novel) == 0.25
    two = drawn.label == TAGS.index("two_object")
    rows = zip(drawn.shape[two, 0], true_relation(drawn)[two], drawn.shape[two, 1], strict=True)
    assert np.mean([relation_held_out(*row) for row in rows]) == 0.25


def test_captions_tell_the_truth(training):
    told = training.relation >= 0
    assert np.array_equal(true_relation(training)[told], training.relation[told])
    assert (training.shape[told, 0] != training.shape[told, 1]).all()
    attributed = training.label == TAGS.index("color_attr")
    assert (training.colour[attributed, 0] != training.colour[attributed, 1]).all()
    number = {"single_object": {1}, "colors": {1}, "counting": {2, 3, 4}}
    for label, name in enumerate(TAGS):
        assert set(training.number[training.label == label]) == number.get(name, {2})
    counted = training.shape[training.label == TAGS.index("counting")]
    assert (counted == counted[:, :1]).all()


def test_objects_keep_apart_and_inside(training):
    present = np.arange(4) < training.number[:, None]
    low, high = training.centre - training.radius[..., None], training.centre + training.radius[..., None]
    assert low[present].min() >= MARGIN - 1e-9
    assert high[present].max() <= 1 - MARGIN + 1e-9
    radii = training.radius[present]
    assert RADII[0] <= radii.min() < RADII[0] + 0.001
    assert RADII[1] - 0.001 < radii.max() <= RADII[1]
    for a in range(4):
        for b in range(a):
            both = present[:, a] & present[:, b]
            apart = np.maximum(low[both, a] - high[both, b], low[both, b] - high[both, a]).max(1)
            assert apart.min() >= GAP - 1e-9


def test_objects_stand_everywhere_in_every_shape_and_colour(training):
    present = np.arange(4) < training.number[:, None]
    for quarter in (training.centre[present] > 0.5).T:
        assert 0.48 < quarter.mean() < 0.52
    assert chisquare(np.bincount(training.shape[training.label == 0, 0])).pvalue > 0.001
    colours = np.bincount(training.colour[training.number == 1, 0])
    assert colours.min() > 0.6 * colours.max()  # some colours are held out of two shapes, others of one
    relations = np.bincount(training.relation[training.label == TAGS.index("position")])
    assert chisquare(relations).pvalue > 0.001
    assert GREYS[0] <= training.grey.min() < training.grey.max() <= GREYS[1]


def inside(shape: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whether a point lies in a shape of radius 1 about 0, y down: the definitions, without distances."""
    return {
        "circle": x**2 + y**2 < 1,
        "square": (abs(x) < 1) & (abs(y) < 1),
        "triangle": (y < 1) & (abs(x) < (1 + y) / 2),
        "cross": ((abs(x) < 1) & (abs(y) < 1 / 3)) | ((abs(y) < 1) & (abs(x) < 1 / 3)),
        "diamond": abs(x) + abs(y) < 1,
        "ring": (x**2 + y**2 < 1) & (x**2 + y**2 > 0.25),
    }[shape]


@pytest.mark.slow
@pytest.mark.parametrize("side", [16, 32, 67])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_pixel_has_the_share_of_the_shape_that_lies_in_it(shape, side):
    """Against 20 x 20 points a pixel, in float64."""
    centre, radius, fine = np.array([0.47, 0.56]), 0.19, 20
    points = (np.arange(side * fine) + 0.5) / (side * fine)
    x, y = np.meshgrid((points - centre[0]) / radius, (points - centre[1]) / radius)
    exact = inside(shape, x, y).reshape(side, fine, side, fine).mean((1, 3))
    drawn = coverage(SHAPES.index(shape), centre[None], np.array([radius]), side)[0]
    # In sharp corners two edges cross a pixel, and the distance to the nearer one is not all.
    assert abs(drawn - exact).max() < 0.4
    assert abs(drawn - exact).sum() / exact.sum() < 1.1 / side
    assert len(OUTLINES) == len(SHAPES)


def test_the_same_scene_at_two_sides_is_the_same_scene():
    drawn = scenes(np.arange(60), "heldout")
    large = render(drawn, 128).reshape(60, 3, 32, 4, 32, 4).mean((3, 5))
    assert abs(large - render(drawn, 32)).mean() < 0.5  # of 255
    assert drawn.label.tolist() == examples(torch.arange(60), 40, "heldout").labels.tolist()


def lab(colours: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of sRGB 0 ... 255, D65."""
    linear = np.where(colours > 10.3, ((colours / 255 + 0.055) / 1.055) ** 2.4, colours / 255 / 12.92)
    xyz = linear @ np.array([[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]])
    f = np.cbrt(xyz / np.array([0.9505, 1, 1.089]))
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


def test_colours_are_far_from_each_other_and_from_every_background():
    """About 2 units of L*a*b* can just be told apart."""
    colours, greys = lab(PALETTE), lab(np.linspace(*GREYS, 9)[:, None].repeat(3, 1))
    apart = np.linalg.norm(colours[:, None] - colours, axis=2) + 1000 * np.eye(len(colours))
    assert apart.min() > 40
    assert np.linalg.norm(colours[:, None] - greys, axis=2).min() > 30


def test_the_global_random_state_plays_no_part():
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = examples(torch.arange(12), 16)
    assert torch.equal(torch.get_rng_state(), before)
    np.random.seed(2)  # noqa: NPY002
    assert torch.equal(examples(torch.arange(12), 16).images, first.images)


def test_a_side_too_small_to_see_shapes_is_refused():
    with pytest.raises(ValidationError, match="side of shapes must be at least 16, not 15"):
        DataConfig.model_validate({"name": "shapes", "side": 15})
    assert DataConfig.model_validate({"name": "shapes", "side": 100}).shape[:3] == (3, 100, 6)


@pytest.fixture(scope="module")
def by_object():
    return load_dataset(DataConfig.model_validate({"name": "shapes", "labels": "object"}))


def test_by_object_a_scene_has_one_object_of_its_class_in_the_usual_sizes_and_places():
    drawn = objects(np.arange(MANY))
    assert (drawn.number == 1).all()
    assert len(set(drawn.grey)) == MANY
    names = [f"{tuple(COLOURS)[c]} {SHAPES[s]}" for s, c in zip(drawn.shape[:, 0], drawn.colour[:, 0], strict=True)]
    assert [OBJECTS[label] for label in drawn.label] == names
    assert len(OBJECTS) == NUM_OBJECTS == len(set(names))
    radius, centre = drawn.radius[:, 0], drawn.centre[:, 0]
    assert RADII[0] <= radius.min() < radius.max() <= RADII[1]
    assert (centre - radius[:, None]).min() >= MARGIN - 1e-9
    assert (centre + radius[:, None]).max() <= 1 - MARGIN + 1e-9
    assert (abs(centre.mean(0) - 0.5) < 0.01).all()


def test_by_object_every_class_is_seen_and_measured_equally_often(by_object):
    for part in (by_object.train, by_object.heldout, by_object.draw(torch.arange(7 * 48, 9 * 48))):
        counts = part.labels.bincount(minlength=NUM_OBJECTS)
        assert counts.tolist() == [len(part.labels) // NUM_OBJECTS] * NUM_OBJECTS
    assert len(by_object.heldout.labels) == NUM_FIXED
    assert by_object.train.captions == ()
    assert not set(objects(np.arange(2000)).grey) & set(objects(np.arange(2000), "heldout").grey)


def test_by_object_the_middle_of_an_object_has_the_colour_of_its_class(by_object):
    drawn, images = objects(np.arange(NUM_FIXED), "heldout"), to_uint8(by_object.heldout.images)
    for row in np.flatnonzero(drawn.shape[:, 0] != SHAPES.index("ring"))[:200]:
        x, y = (drawn.centre[row, 0] * 32).astype(int)
        assert images[row, :, y, x].tolist() == PALETTE[drawn.label[row] % 8].tolist()


@pytest.mark.slow
def test_by_category_shapes_are_what_they_were(data, by_object):
    assert (data.classes_of, by_object.classes_of) == ("shapes", "objects")
    assert (data.classes, by_object.classes) == (TAGS, OBJECTS)
    assert (data.num_classes, by_object.num_classes) == (6, 48)
    assert torch.equal(data.heldout.images, examples(torch.arange(NUM_FIXED), 32, "heldout").images)

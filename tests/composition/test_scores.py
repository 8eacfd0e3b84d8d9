"""The composition score: GenEval's rules, and what real scenes, shuffled captions and black images get."""

import pytest
import torch

from lina_lab.composition.detector import DetectedObject, detect
from lina_lab.composition.scores import HELD_OUT_TAGS, composition, is_right, relations
from lina_lab.data.datasets import to_uint8
from lina_lab.data.shapes import examples
from lina_lab.data.shapes_grammar import COLOURS, RELATIONS, SHAPES, TAGS, is_held_out, parse
from lina_lab.errors import LabError

PREFIX = "eval/composition"


def one(words: str, x: float = 0.5, y: float = 0.5, radius: float = 0.15) -> DetectedObject:
    """'red circle' there; 'red thing' for what is none of the shapes."""
    colour, shape = words.split()
    number = SHAPES.index(shape) if shape in SHAPES else None
    return DetectedObject(number, tuple(COLOURS).index(colour), (x - radius, y - radius, x + radius, y + radius), 1.0)


CIRCLE, SQUARE, BLUE = one("red circle", 0.2, 0.5), one("red square", 0.8, 0.5), one("blue circle", 0.2, 0.8)


@pytest.mark.parametrize(
    ("caption", "objects", "right"),
    [
        ("a circle", [CIRCLE], True),
        ("a circle", [], False),
        ("a circle", [SQUARE], False),
        ("a circle", [one("red thing")], False),
        ("a circle", [CIRCLE, BLUE, SQUARE], True),  # more does no harm
        ("a circle and a square", [CIRCLE, SQUARE], True),
        ("a circle and a square", [CIRCLE, BLUE], False),
        ("a circle and a circle", [CIRCLE], False),
        ("two circles", [CIRCLE, BLUE], True),
        ("two circles", [CIRCLE, BLUE, BLUE], False),  # but for counts
        ("two circles", [CIRCLE, BLUE, SQUARE], True),
        ("three circles", [CIRCLE, BLUE], False),
        ("a red circle", [CIRCLE], True),
        ("a red circle", [BLUE], False),
        ("a red circle", [BLUE, SQUARE], False),
        ("a red circle", [BLUE, CIRCLE], True),
        ("two red circles", [CIRCLE, BLUE], False),
        ("two red circles", [CIRCLE, CIRCLE], True),
        ("a red circle and a blue circle", [CIRCLE, BLUE], True),
        ("a red circle and a blue circle", [CIRCLE, CIRCLE], False),
        ("a red circle and a circle", [CIRCLE, BLUE], True),
        ("a red circle and a circle", [BLUE, BLUE], False),
        ("a red circle and a blue square", [CIRCLE, one("blue square")], True),
        ("a red circle and a blue square", [BLUE, SQUARE], False),  # colours swapped
        ("a circle left of a square", [CIRCLE, SQUARE], True),
        ("a circle left of a square", [SQUARE, CIRCLE], True),
        ("a circle right of a square", [CIRCLE, SQUARE], False),
        ("a circle above a square", [CIRCLE, SQUARE], False),
        ("a square right of a circle", [CIRCLE, SQUARE], True),
        ("a circle above a circle", [CIRCLE], False),
        ("a circle above a circle", [CIRCLE, BLUE], True),
        ("a red circle below a blue circle", [CIRCLE, BLUE], False),
        ("a blue circle below a red circle", [CIRCLE, BLUE], True),
    ],
)
def test_an_image_is_right_by_genevals_rules(caption, objects, right):
    assert is_right(objects, parse(caption)) is right


@pytest.mark.parametrize(
    ("x", "y", "names"),
    [
        (0.5, 0, {"right of"}),
        (-0.5, 0, {"left of"}),
        (0, 0.5, {"below"}),
        (0, -0.5, {"above"}),
        (0.5, 0.5, {"right of", "below"}),
        (0.05, 0, set()),  # within the margin of 0.1 of both widths, 0.06
        (0.07, 0, set()),  # beyond it, but little of the way
        (0.13, 0, {"right of"}),
        (0.5, 0.2, {"right of"}),
    ],
)
def test_relations_are_genevals(x, y, names):
    found = relations(one("red circle", 0.4 + x, 0.4 + y), one("red square", 0.4, 0.4))
    assert {RELATIONS[place] for place in found} == names


@pytest.fixture(scope="module")
def scenes():
    """480 held-out scenes."""
    return examples(torch.arange(480), 32, "heldout")


@pytest.fixture(scope="module")
def images(scenes):
    return to_uint8(scenes.images)


@pytest.mark.slow
def test_real_scenes_are_right_and_black_images_wrong(scenes, images):
    found = composition(images, scenes.captions)
    assert found.metrics[f"{PREFIX}/overall"] > 0.99
    assert found.metrics[f"{PREFIX}/overall_heldout"] > 0.99
    assert abs(found.metrics[f"{PREFIX}/heldout_gap"]) < 0.02
    black = composition(torch.zeros_like(images), scenes.captions).metrics
    assert {value for name, value in black.items() if not name.endswith("_high")} <= {0} | {
        black[f"{PREFIX}/heldout_gap_low"]
    }


@pytest.mark.slow
def test_shuffled_captions_are_right_by_chance_alone(scenes, images):
    order = torch.randperm(480, generator=torch.Generator().manual_seed(0))
    found = composition(images[order], scenes.captions).metrics
    # A single object is there by chance in 1.33 of 6 scenes of one shape, and in a third of those of two.
    assert 0.15 < found[f"{PREFIX}/single_object"] < 0.35
    assert all(found[f"{PREFIX}/{name}"] < 0.1 for name in TAGS[1:])
    assert found[f"{PREFIX}/overall"] < 0.1


@pytest.mark.slow
def test_held_out_captions_have_scores_of_their_own(scenes, images):
    novel = torch.tensor([is_held_out(parse(text)) for text in scenes.captions])
    assert novel.sum() == 80
    changed = images.clone()
    changed[novel] = 0
    found = composition(changed, scenes.captions).metrics
    for name in HELD_OUT_TAGS:
        assert found[f"{PREFIX}/{name}"] > 0.98
        assert found[f"{PREFIX}/{name}_heldout"] == 0
    assert found[f"{PREFIX}/overall"] > 0.99
    assert found[f"{PREFIX}/overall_heldout"] == 0
    assert found[f"{PREFIX}/heldout_gap"] > 0.98
    assert f"{PREFIX}/single_object_heldout" not in found


@pytest.mark.slow
def test_overall_is_the_mean_of_six_categories_whatever_their_sizes(scenes, images):
    keep = torch.cat([torch.arange(480)[scenes.labels != 1], torch.arange(480)[scenes.labels == 1][:10]])
    changed = images.clone()
    changed[scenes.labels == 1] = 0
    found = composition(changed[keep], [scenes.captions[i] for i in keep]).metrics
    assert found[f"{PREFIX}/overall"] == pytest.approx(5 / 6, abs=0.01)


@pytest.mark.slow
def test_what_was_not_asked_for_is_missing(scenes, images):
    some = [i for i, label in enumerate(scenes.labels.tolist()) if TAGS[label] in {"single_object", "counting"}]
    found = composition(images[some], [scenes.captions[i] for i in some]).metrics
    names = {name.removeprefix(f"{PREFIX}/") for name in found if not name.endswith(("_low", "_high"))}
    assert names == {"single_object", "counting", "counting_heldout"}


@pytest.mark.slow
def test_several_images_of_a_caption_follow_each_other(scenes, images):
    twice = images[:96].repeat_interleave(2, dim=0)
    twice[1::2] = 0
    found = composition(twice, scenes.captions[:96], each=2)
    assert found.metrics[f"{PREFIX}/overall"] == pytest.approx(0.5, abs=0.02)
    assert (found.record["num_images"], found.record["num_captions"]) == (192, 96)
    with pytest.raises(ValueError, match="96 captions with 3 images each cannot have 192 images"):
        composition(twice, scenes.captions[:96], each=3)


@pytest.mark.slow
def test_the_detectors_own_accuracy_stands_beside_the_score(scenes, images):
    record = composition(images[:24], scenes.captions[:24]).record
    assert record["detector_accuracy"]["none"]["scene"] > 0.99
    assert record["num_captions_heldout"] == 4


@pytest.mark.slow
def test_metric_names_are_such_as_mlflow_takes(scenes, images):
    from mlflow.utils.validation import _validate_metric_name

    for name in composition(images, scenes.captions).metrics:
        _validate_metric_name(name)


def test_a_caption_that_is_none_is_refused(images):
    with pytest.raises(LabError, match="did you mean circle"):
        composition(images[:2], ["a circle", "a circel"])


@pytest.mark.slow
def test_pictures_of_a_model_that_knows_nothing_yet_have_objects_of_no_shape():
    """Patches of random colours: every object is hemmed in by others of other colours."""
    generator = torch.Generator().manual_seed(0)
    for side in (1, 2, 4):
        patches = torch.randint(0, 256, (60, 3, 32 // side, 32 // side), generator=generator, dtype=torch.uint8)
        images = patches.repeat_interleave(side, 2).repeat_interleave(side, 3)
        found = detect(images)
        named = [one for objects in found for one in objects if one.shape is not None]
        assert len(named) < 0.2 * sum(map(len, found))

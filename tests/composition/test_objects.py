"""Whether a picture shows the one object of its class, held against scenes whose objects are known."""

import numpy as np
import pytest
import torch

from lina_lab.composition.objects import METRIC, object_accuracy
from lina_lab.data.datasets import to_uint8
from lina_lab.data.shapes import examples, single_objects
from lina_lab.data.shapes_grammar import OBJECTS


@pytest.fixture(scope="module")
def drawn():
    return single_objects(torch.arange(96), 32, "heldout")


def accuracy(images, labels) -> float:
    return object_accuracy(to_uint8(images), labels).metrics[METRIC]


@pytest.mark.slow
def test_scenes_are_what_they_were_drawn_to_be(drawn):
    found = object_accuracy(to_uint8(drawn.images), drawn.labels)
    assert found.metrics[METRIC] > 0.97
    assert found.record["num_images"] == 96
    clean = found.record["detector_accuracy"]["none"]
    assert clean["scene"] > 0.97
    assert clean["colour"] > 0.99


@pytest.mark.slow
def test_another_shape_or_another_colour_is_wrong(drawn):
    assert accuracy(drawn.images, (drawn.labels + 1) % len(OBJECTS)) < 0.03  # the next colour
    assert accuracy(drawn.images, (drawn.labels + 8) % len(OBJECTS)) < 0.03  # the next shape


@pytest.mark.slow
def test_a_mixture_counts_by_its_share(drawn):
    wrong = (drawn.labels + 1) % len(OBJECTS)
    mixed = torch.where(torch.arange(96) % 4 == 0, wrong, drawn.labels)
    right = accuracy(drawn.images, drawn.labels) * 96
    expected = np.mean([accuracy(drawn.images[k : k + 1], mixed[k : k + 1]) for k in range(96)])
    assert accuracy(drawn.images, mixed) == pytest.approx(expected)
    assert right - 24 <= expected * 96 <= 72


@pytest.mark.slow
def test_no_object_noise_and_several_objects_show_no_class(drawn):
    labels = drawn.labels
    assert accuracy(torch.zeros_like(drawn.images), labels) == 0
    noise = torch.rand(drawn.images.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert accuracy(noise, labels) < 0.05
    many = examples(torch.arange(600), 32)
    several = torch.tensor(
        [len(text.split(" and ")) > 1 or text.startswith(("two", "three")) for text in many.captions]
    )
    images = many.images[several][:96]
    assert max(accuracy(images, torch.full((len(images),), label)) for label in range(0, 48, 7)) == 0

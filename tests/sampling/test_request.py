"""What is asked of a model to measure it: labels as the held-out split has them, and captions of their class."""

import numpy as np
import torch

from lina_lab.data.examples import Examples
from lina_lab.sampling.request import SampleRequest, labels_and_prompts, requested

HELDOUT = Examples(torch.zeros(6, 1, 2, 2), torch.tensor([0, 2, 2, 0, 2, 2]), ["a0", "c0", "c1", "a1", "c2", "c3"])


def test_labels_alone_have_the_proportions_of_the_held_out_split():
    assert requested(HELDOUT, 9, prompts=False).labels.tolist() == [0] * 3 + [2] * 6


def test_against_another_reference_every_class_is_drawn_equally_often():
    assert requested(HELDOUT, 6, prompts=False, num_classes=3).labels.tolist() == [0, 0, 1, 1, 2, 2]


def test_prompts_are_the_captions_of_their_class_in_turn():
    request = requested(HELDOUT, 15, prompts=True)
    assert request.labels.tolist() == [0] * 5 + [2] * 10
    assert request.prompts == ["a0", "a1", "a0", "a1", "a0", *2 * ["c0", "c1", "c2", "c3"], "c0", "c1"]


def test_labels_stand_beside_images_and_prompts_where_there_are_any():
    labels = torch.tensor([4, 5])
    assert list(labels_and_prompts(SampleRequest(labels))) == ["labels"]
    kept = labels_and_prompts(SampleRequest(labels, ["x", "y"]))
    np.testing.assert_array_equal(kept["labels"], [4, 5])
    np.testing.assert_array_equal(kept["prompts"], ["x", "y"])


def test_the_name_of_each_images_class_is_stored_where_classes_have_names():
    kept = labels_and_prompts(SampleRequest(torch.tensor([2, 0, 2]), classes=["coat", "bag", "shirt"]))
    assert kept["classes"].tolist() == ["shirt", "coat", "shirt"]

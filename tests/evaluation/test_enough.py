"""What a cell needs of its data is told before it is trained, with what would help."""

import pytest
import torch

from lina_lab.config.data import DataConfig
from lina_lab.config.experiment import Experiment
from lina_lab.config.settings import EXTRACTORS, PUBLISHED, EvaluationConfig
from lina_lab.data.datasets import load_dataset
from lina_lab.design.data_sets import SIZES, Sizes
from lina_lab.design.extractors import FEATURES
from lina_lab.errors import LabError
from lina_lab.evaluation.enough import check_batch, check_enough
from lina_lab.evaluation.extractors import embedded_network

FOLDER = DataConfig(name="images", side=32, path="photos", num_classes=2, held_out=0.8)
EMOJI = EvaluationConfig(extractor="emoji-cnn-32", num_samples=65)


@pytest.mark.slow
def test_what_is_known_of_extractors_and_sets_is_what_they_have():
    assert {name: embedded_network(name).dim for name in EXTRACTORS} | PUBLISHED == FEATURES
    for name, side in (("digits", 8), ("emoji", 32), ("shapes", 16)):
        assert load_dataset(DataConfig(name=name, side=side)).sizes == SIZES[name]


def test_samples_must_be_more_than_features():
    check_enough(FOLDER, EMOJI, Sizes(65, 65, 65))
    with pytest.raises(LabError, match=r"evaluation\.num_samples must be at least 65, not 64: a FID needs more images"):
        check_enough(FOLDER, EMOJI.model_copy(update={"num_samples": 64}), Sizes(65, 65, 65))


@pytest.mark.parametrize(
    ("train", "heldout", "remedy"),
    [
        (64, 65, "add images, or name evaluation.reference"),
        (65, 64, "add images, or name evaluation.reference"),
        (28, 102, "add images, or name evaluation.reference"),
        (40, 160, "set data.held_out nearer to 0.5 (0.8 now), or name evaluation.reference"),
    ],
)
def test_both_splits_must_be_more_than_features_and_what_is_advised_helps(train, heldout, remedy):
    sizes = Sizes(train, heldout, train)
    message = f"photos: must have 65 images in each split, not {train} for training and {heldout} held out: "
    with pytest.raises(LabError) as caught:
        check_enough(FOLDER, EMOJI, sizes)
    assert str(caught.value).startswith(message)
    assert str(caught.value).endswith(remedy)
    check_enough(FOLDER, EMOJI.model_copy(update={"reference": "adm.npz"}), sizes)
    if "held_out" in remedy:
        halves = [
            int((torch.rand(train + heldout, generator=torch.Generator().manual_seed(k)) < 0.5).sum())
            for k in range(99)
        ]
        for half in halves:
            check_enough(FOLDER, EMOJI, Sizes(half, train + heldout - half, half))


def test_a_batch_has_no_image_twice():
    training = {"steps": 1, "learning_rate": 1.0, "batch_size": 1298}
    experiment = Experiment.model_validate({"name": "x", "model": {"size": "nano"}, "training": training})
    check_batch(experiment, Sizes(1298, 500, 1298))
    check_batch(experiment, SIZES["shapes"])
    with pytest.raises(LabError, match=r"must be at most 1,297, the training images of digits, not 1,298"):
        check_batch(experiment, SIZES["digits"])

"""The embedded extractor answers to quality and to missing classes; nothing stands in for missing weights."""

import hashlib

import numpy as np
import pytest
import torch
from torch import Tensor

from lina_lab.config.data import DIGITS
from lina_lab.data.datasets import Dataset, load_dataset, to_uint8
from lina_lab.errors import LabError
from lina_lab.evaluation import extractors
from lina_lab.evaluation import train_digits_extractor as script
from lina_lab.evaluation.extractors import load_extractor
from lina_lab.evaluation.metrics import fid


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load_dataset(DIGITS)


@pytest.fixture(scope="module")
def digits():
    return load_extractor("digits-cnn")


def noisy(images: Tensor, sigma: float) -> Tensor:
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(3))
    return to_uint8((images + sigma * noise).clamp(-1, 1))


def test_it_knows_the_classes_of_images_it_was_not_trained_on(data, digits):
    classes = digits.extract(to_uint8(data.heldout.images)).classes
    assert (classes == data.heldout.labels).double().mean() > 0.95


@pytest.mark.slow
def test_fid_rises_with_every_step_of_noise_and_with_a_dropped_class(data, digits):
    real = digits.extract(to_uint8(data.heldout.images)).features
    values = [fid(digits.extract(noisy(data.train.images, s)).features, real) for s in (0, 0.05, 0.1, 0.2, 0.4)]
    assert values == sorted(values)
    assert values[-1] > 50 * values[0]
    without_threes = to_uint8(data.train.images[data.train.labels != 3])
    assert fid(digits.extract(without_threes).features, real) > 5 * values[0]


def test_features_have_the_length_that_is_documented_and_do_not_hang_on_the_batch(data, digits):
    images = to_uint8(data.heldout.images)
    features = digits.extract(images).features
    assert features.shape == (500, digits.dim)
    torch.testing.assert_close(features.norm(dim=-1), torch.full((500,), digits.dim**0.5))
    torch.testing.assert_close(digits.extract(images[7:20]).features, features[7:20])


def test_its_name_holds_the_hash_of_its_weights(digits):
    path = extractors.WEIGHTS / f"{digits.id}.safetensors"
    assert hashlib.sha256(path.read_bytes()).hexdigest().startswith(digits.id.removeprefix("digits-cnn-"))


def test_damaged_or_missing_weights_are_named(tmp_path, monkeypatch, digits):
    whole = (extractors.WEIGHTS / f"{digits.id}.safetensors").read_bytes()
    monkeypatch.setattr(extractors, "WEIGHTS", tmp_path)
    with pytest.raises(LabError, match=r"has no digits-cnn"):
        load_extractor("digits-cnn")
    (tmp_path / f"{digits.id}.safetensors").write_bytes(whole[:-1] + b"\x01")
    with pytest.raises(LabError, match="damaged: its content is not what its name says"):
        load_extractor("digits-cnn")


@pytest.mark.slow
def test_the_training_script_sees_the_training_split_alone(data, monkeypatch):
    unseen = data._replace(heldout=data.heldout._replace(images=torch.full_like(data.heldout.images, torch.nan)))
    monkeypatch.setattr(script, "load_dataset", lambda config: unseen)
    monkeypatch.setattr(script, "STEPS", 3)
    first, second = script.train().state_dict(), script.train().state_dict()
    assert all(torch.isfinite(value).all() and torch.equal(value, second[name]) for name, value in first.items())


def test_the_corruptions_are_as_strong_as_the_labels_say():
    images, strength = script.corrupt(torch.zeros(400, 1, 8, 8), torch.Generator().manual_seed(0))
    assert images.abs().max() <= 1
    assert 0.15 < float((strength.sum(1) == 0).double().mean()) < 0.35
    noise = images.flatten(1).std(dim=1).numpy()
    assert np.corrcoef(noise, strength[:, 0].numpy())[0, 1] > 0.9

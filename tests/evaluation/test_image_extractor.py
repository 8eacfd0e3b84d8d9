"""Extractors answer to quality and to missing kinds, and saw the training split alone."""

import hashlib

import numpy as np
import pytest
import scipy.ndimage
import torch
from torch import Tensor

from lina_lab.config.data import DataConfig
from lina_lab.config.settings import EXTRACTORS
from lina_lab.data.datasets import load_dataset, to_uint8
from lina_lab.data.examples import Dataset, labels_as
from lina_lab.evaluation import extractors
from lina_lab.evaluation import train_image_extractor as script
from lina_lab.evaluation.extractors import load_extractor, new_network
from lina_lab.evaluation.features import Extractor
from lina_lab.evaluation.metrics import fid, precision_recall

pytestmark = pytest.mark.slow

MISSING = {
    "emoji": {3: 4.0, 6: 3.0},
    "fashion-mnist": {1: 4.0, 9: 4.0},
    "mnist": {1: 4.0, 8: 4.0},
    "shapes": {0: 4.0, 3: 4.0},
}
"""How many times the FID of whole halves it is at least, without flags or people, trousers or boots, ones or
eights, single objects or colours."""

MOST = 4000
"""Training images that are compared: all emoji and shapes, and what is enough of the others."""


class Shown:
    """An extractor, its data, and the training split in halves."""

    def __init__(self, name: str) -> None:
        reads = EXTRACTORS[name]
        self.side = reads.side
        data = load_dataset(DataConfig.model_validate({"name": reads.data, "side": reads.side}))
        some = data.train._replace(images=data.train.images[:MOST], labels=data.train.labels[:MOST])
        self.data: Dataset = data._replace(train=some)
        self.extractor: Extractor = load_extractor(name)
        generator = torch.Generator().manual_seed(0)
        order = torch.randperm(len(self.data.train.images), generator=generator)
        self.first, self.second = order[: len(order) // 2], order[len(order) // 2 :]
        self.train = self.features(self.data.train.images)
        self.heldout = self.features(self.data.heldout.images)
        self.null = fid(self.train[self.first], self.train[self.second])

    def features(self, images: Tensor) -> Tensor:
        return self.extractor.extract(to_uint8(images.clamp(-1, 1))).features

    def distance(self, change) -> float:
        """FID of one half of the training images, changed, from the other."""
        return fid(self.features(change(self.data.train.images[self.first])), self.train[self.second])


@pytest.fixture(scope="module", params=script.NAMES)
def shown(request):
    return Shown(request.param)


def noise(images: Tensor, sigma: float) -> Tensor:
    return images + sigma * torch.randn(images.shape, generator=torch.Generator().manual_seed(3))


def blurred(images: Tensor, sigma: float) -> Tensor:
    """SciPy's Gaussian filter, of sigma pixels."""
    return torch.from_numpy(scipy.ndimage.gaussian_filter(images.numpy(), sigma, axes=(2, 3), mode="nearest"))


def test_fid_rises_with_every_step_of_noise(shown):
    values = [shown.null] + [shown.distance(lambda images, s=s: noise(images, s)) for s in (0.05, 0.1, 0.2, 0.4)]
    assert values == sorted(values)
    assert values[2] > 2 * values[0]
    assert values[3] > 6 * values[0]


def test_fid_rises_with_every_step_of_blur(shown):
    steps = [s * shown.side / 32 for s in (0.5, 0.75, 1, 2)]
    values = [shown.null] + [shown.distance(lambda images, s=s: blurred(images, s)) for s in steps]
    assert values == sorted(values)
    assert values[3] > 5 * values[0]


def test_fid_rises_when_tokens_do_not_fit_together(shown):
    """Every 4x4 patch is lighter or darker by chance: what a model of tokens does wrong, and no training showed."""

    def offsets(images: Tensor, sigma: float) -> Tensor:
        grid = images.shape[-1] // 4
        lighter = torch.randn(*images.shape[:2], grid, grid, generator=torch.Generator().manual_seed(5))
        return images + sigma * lighter.repeat_interleave(4, 2).repeat_interleave(4, 3)

    values = [shown.null] + [shown.distance(lambda images, s=s: offsets(images, s)) for s in (0.1, 0.2)]
    assert values == sorted(values)
    assert values[2] > 3 * values[0]


def test_fid_rises_when_a_category_is_missing(shown):
    labels = shown.data.train.labels[shown.first]
    for category, times in MISSING[shown.data.name].items():
        assert fid(shown.train[shown.first][labels != category], shown.train[shown.second]) > times * shown.null


def test_a_memorised_training_set_shows(shown):
    """Its distance from the training split is nothing, which that of held-out images is not."""
    train, heldout = shown.train, shown.heldout
    assert abs(fid(train, train)) < 1e-3 < 0.1 * fid(heldout, train) + 1e-3
    assert precision_recall(train, train) == (1.0, 1.0)
    assert precision_recall(heldout, train)[0] < 0.97


def test_it_knows_categories_better_than_chance_from_what_it_never_saw(shown):
    """Held out are whole subcategories of emoji, and combinations of shapes; a category is often not to be seen."""
    heldout = shown.data.heldout
    right = shown.extractor.extract(to_uint8(heldout.images)).classes == heldout.labels
    most_common = heldout.labels.bincount().max() / len(heldout.labels)
    assert right.double().mean() > 1.3 * most_common


def test_features_have_the_length_that_is_documented_and_do_not_hang_on_the_batch(shown):
    images, features = to_uint8(shown.data.heldout.images), shown.heldout
    assert features.shape == (len(images), shown.extractor.dim) == (len(images), 64)
    torch.testing.assert_close(features.norm(dim=-1), torch.full((len(images),), 8.0))
    torch.testing.assert_close(shown.extractor.extract(images[7:20]).features, features[7:20], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", script.NAMES)
def test_weights_are_small_and_named_by_their_content(name):
    (path,) = extractors.WEIGHTS.glob(f"{name}-*.safetensors")
    assert path.stem == f"{name}-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}" == load_extractor(name).id
    assert path.stat().st_size < 1e6
    assert 1e5 < sum(p.numel() for p in new_network(name).parameters()) < 2e5


def test_the_training_script_sees_the_training_split_alone_and_gives_the_same_bits(monkeypatch):
    data = load_dataset(DataConfig.model_validate({"name": "emoji"}))
    unseen = data._replace(heldout=data.heldout._replace(images=torch.full_like(data.heldout.images, torch.nan)))
    monkeypatch.setitem(script.STEPS, "emoji", 2)
    monkeypatch.setattr(script, "BATCH", 16)
    first = script.train("emoji-cnn-32", unseen).state_dict()
    torch.manual_seed(3)
    second = script.train("emoji-cnn-32", data).state_dict()
    assert all(torch.isfinite(value).all() and torch.equal(value, second[name]) for name, value in first.items())
    other = script.train("emoji-cnn-32", data, seed=1).state_dict()
    assert not torch.equal(other["features.weight"], second["features.weight"])


def test_a_set_without_captions_trains_on_classes_alone(monkeypatch):
    data = load_dataset(DataConfig.model_validate({"name": "emoji"}))
    monkeypatch.setitem(script.STEPS, "emoji", 2)
    network = script.train("emoji-cnn-32", data._replace(train=data.train._replace(captions=())))
    assert all(torch.isfinite(value).all() for value in network.state_dict().values())


def test_the_blur_of_training_is_scipys_away_from_borders():
    images = torch.rand(3, 2, 33, 33, generator=torch.Generator().manual_seed(0))
    ours = script.blur(images, torch.tensor([0.0, 0.8, 1.7]))
    assert torch.equal(ours[0], images[0])
    for image, found, sigma in ((images[1], ours[1], 0.8), (images[2], ours[2], 1.7)):
        theirs = scipy.ndimage.gaussian_filter(image.double().numpy(), sigma, axes=(1, 2), truncate=8)
        inner = (slice(None), slice(9, -9), slice(9, -9))
        np.testing.assert_allclose(found.numpy()[inner], theirs[inner], atol=2e-4)
    flat = torch.full((1, 3, 16, 16), 0.4)
    torch.testing.assert_close(script.blur(flat, torch.tensor([2.0])), flat)


def test_the_corruptions_are_as_strong_as_the_labels_say():
    images, strength = script.corrupt(torch.zeros(400, 3, 16, 16), torch.Generator().manual_seed(0))
    assert images.abs().max() <= 1
    assert 0.15 < float((strength.sum(1) == 0).double().mean()) < 0.35
    assert np.corrcoef(images.flatten(1).std(dim=1).numpy(), strength[:, 0].numpy())[0, 1] > 0.9
    checks = (torch.arange(16).view(16, 1) + torch.arange(16)) % 2 * 2.0 - 1
    images, strength = script.corrupt(checks.expand(400, 3, 16, 16), torch.Generator().manual_seed(0))
    quiet = strength[:, 0] < 0.1
    assert np.corrcoef(images[quiet].flatten(1).std(dim=1).numpy(), strength[quiet, 1].numpy())[0, 1] < -0.7


def test_images_are_moved_by_an_eighth_at_most_and_keep_their_background():
    images = torch.full((300, 3, 16, 16), 0.25)
    images[:, :, 8, 8] = -1
    moved = script.shifted(images, torch.Generator().manual_seed(0))
    places = (moved[:, 0] == -1).nonzero()[:, 1:] - 8
    assert {tuple(place) for place in places.tolist()} == {(y, x) for y in range(-2, 3) for x in range(-2, 3)}
    assert set(moved.unique().tolist()) == {-1.0, 0.25}


def test_word_targets_are_the_words_that_enough_captions_have():
    captions = ["red circle"] * 5 + ["blue circle circle", "red"]
    known = script.frequent_words(captions)
    assert known == ["circle", "red"]  # blue is rare
    targets = script.word_targets(captions, known)
    assert targets.tolist() == [[1, 1]] * 5 + [[1, 0], [0, 1]]


def test_training_images_in_held_out_proportions_are_as_near_as_held_out_images_are_to_each_other(shown):
    """Labels are drawn as in the held-out split because its composition alone moves the FID of emoji."""
    data, generator = shown.data, torch.Generator().manual_seed(0)
    order = torch.randperm(len(data.heldout.labels), generator=generator)
    half = min(len(order) // 2, 1000)  # as many as are picked, since a FID hangs on how many there are
    first, second = order[:half], order[half:]
    picked = [
        members[torch.randint(len(members), (count,), generator=generator)]
        for label, count in enumerate(labels_as(data.heldout.labels, 1000).bincount().tolist())
        for members in [(data.train.labels == label).nonzero().flatten()]
    ]
    near = fid(shown.train[torch.cat(picked)], shown.heldout)
    assert near < 1.5 * fid(shown.heldout[first], shown.heldout[second])
    if data.name == "emoji":
        assert near < 0.6 * fid(shown.train, shown.heldout)

"""MNIST and Fashion-MNIST: the published images with their published counts and moments, in the same split, always."""

import pytest
import torch
from torch import Tensor

from lina_lab.config.data import DataConfig
from lina_lab.data import mnist as module
from lina_lab.data.datasets import load_dataset, to_uint8
from lina_lab.data.examples import Dataset, fingerprint
from lina_lab.errors import LabError

NAMES = ("mnist", "fashion-mnist")


@pytest.fixture(scope="module")
def sets() -> dict[str, Dataset]:
    return {name: load_dataset(DataConfig.model_validate({"name": name})) for name in NAMES}


@pytest.mark.slow
def test_mnist_has_the_published_counts_labels_and_moments(sets):
    """Of every class, as published with the set; mean and deviation as torch's examples normalise with."""
    train, heldout = sets["mnist"].train, sets["mnist"].heldout
    assert train.labels.bincount().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert heldout.labels.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    grey = (train.images + 1) / 2
    assert (round(grey.mean().item(), 4), round(grey.std().item(), 4)) == (0.1307, 0.3081)


@pytest.mark.slow
def test_of_fashion_mnist_there_are_equally_many_of_every_class_with_the_published_moments(sets):
    train, heldout = sets["fashion-mnist"].train, sets["fashion-mnist"].heldout
    assert train.labels.bincount().tolist() == [2700] * 10
    assert heldout.labels.bincount().tolist() == [400] * 10
    grey = (train.images + 1) / 2
    assert grey.mean().item() == pytest.approx(0.2860, abs=0.004)  # of all 60,000
    assert grey.std().item() == pytest.approx(0.3530, abs=0.004)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_pixels_come_back_exactly_and_no_image_of_fashion_mnist_is_in_both_splits(sets, name):
    data = sets[name]
    assert torch.equal(to_uint8(data.heldout.images[:50])[:, :1].float() / 127.5 - 1, data.heldout.images[:50])

    def digests(images: Tensor) -> set[bytes]:
        return {image.tobytes() for image in to_uint8(images)[:, 0].numpy()}

    if name == "fashion-mnist":
        assert not digests(data.train.images) & digests(data.heldout.images)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "digest"), [("mnist", "9f350056b723c8d6"), ("fashion-mnist", "8b27e366a4b28a8f")])
def test_the_split_never_changes(sets, name, digest):
    """A changed split would make old and new FIDs incomparable under one name."""
    assert fingerprint(sets[name])[:16] == digest


@pytest.mark.slow
def test_clothes_look_like_their_class(sets):
    """Trousers are narrow and tall, bags are wide, boots are higher than sneakers: the order is Zalando's."""
    train = sets["fashion-mnist"].train
    shown = (train.images[:, 0] > -0.8).float()  # (n, 28, 28)
    wide, high = (shown.any(axis).float().sum(1) for axis in (1, 2))
    per_class = [(wide[train.labels == k].mean().item(), high[train.labels == k].mean().item()) for k in range(10)]
    trouser, sneaker, bag, boot = (per_class[k] for k in (1, 7, 8, 9))
    assert trouser[0] < 0.6 * trouser[1]
    assert min(width for width, _ in per_class) == trouser[0]
    assert bag[0] > 24
    assert boot[1] > sneaker[1] + 5


def test_a_damaged_file_is_named(tmp_path, monkeypatch):
    (kept,) = module.PACKED.glob("mnist-????????.xz")
    monkeypatch.setattr(module, "PACKED", tmp_path)
    config = DataConfig.model_validate({"name": "mnist"})
    with pytest.raises(LabError, match=r"has no mnist-\*\.xz; install"):
        load_dataset(config)
    (tmp_path / kept.name).write_bytes(kept.read_bytes()[:-1])
    with pytest.raises(LabError, match=r"mnist-.*\.xz: damaged: its content is not what its name says"):
        load_dataset(config)

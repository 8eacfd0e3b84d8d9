"""The digits: the same real images in the same split, always."""

import hashlib

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from lina_lab.config.data import DIGITS, DataConfig
from lina_lab.data.datasets import LOADERS, load_dataset, to_uint8
from lina_lab.design.data_sets import SOURCES
from lina_lab.errors import NotFinite
from tests.data.test_torchvision_sets import write_mnist


@pytest.fixture
def folder(tmp_path):
    """A folder of images of four classes."""
    generator = np.random.default_rng(0)
    for label in range(4):
        (tmp_path / f"class {label}").mkdir()
        for number in range(30):
            pixels = generator.integers(0, 256, (33, 32, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"class {label}" / f"{number}.png")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("name", SOURCES)
def test_every_data_set_has_a_loader_and_the_shape_that_its_config_promises(name, folder):
    write_mnist(folder / ".hidden", "MNIST")
    of_files = {
        "images": {"path": str(folder), "num_classes": 4},
        "torchvision": {"dataset": "MNIST", "root": str(folder / ".hidden")},
    }
    more = of_files.get(name, {})
    config = DataConfig.model_validate({"name": name} | more)
    data, shape = load_dataset(config), config.shape
    assert set(LOADERS) == set(SOURCES)
    assert data.name == name
    for images, labels, captions in (data.train, data.heldout):
        assert images.shape == (len(labels), shape.channels, shape.side, shape.side)
        assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
        assert -1 <= images.min() < images.max() <= 1
        assert len(captions) in {0, len(labels)}
        assert set(labels.tolist()) <= set(range(shape.num_classes))
    assert set(data.train.labels.tolist()) == set(range(shape.num_classes))
    counts = data.heldout.labels.bincount(minlength=shape.num_classes)
    assert not SOURCES[name].balanced or len(counts.unique()) == 1


def test_the_split_is_a_balanced_partition_of_all_digits():
    data = load_dataset(DIGITS)
    assert data.heldout.labels.bincount().tolist() == [50] * 10
    together = torch.cat([data.train.images, data.heldout.images]).flatten(1)
    original = torch.tensor(load_digits().data, dtype=torch.float32) / 8 - 1
    assert sorted(map(tuple, together.tolist())) == sorted(map(tuple, original.tolist()))


def test_the_split_never_changes():
    """A changed split would make old and new FIDs incomparable under one name."""
    data = load_dataset(DIGITS)
    digest = hashlib.sha256(to_uint8(data.heldout.images).contiguous().numpy().tobytes()).hexdigest()
    assert digest[:16] == "131f18fb6fb5f084"


def test_the_global_random_state_plays_no_part():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = load_dataset(DIGITS)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    second = load_dataset(DIGITS)
    for part in ("train", "heldout"):
        assert torch.equal(getattr(first, part).images, getattr(second, part).images)
        assert torch.equal(getattr(first, part).labels, getattr(second, part).labels)


def test_eight_bits_round_to_the_nearest_and_cut():
    values = torch.tensor([-1.5, -1.0, -0.999, 0.0, 1.0, 1.5, 1 / 127.5, 1.4 / 127.5]).view(1, 1, 2, 4)
    expected = [0, 0, 0, 128, 255, 255, 128, 129]  # 127.5 and 128.5 round to even
    assert to_uint8(values)[0, 0].flatten().tolist() == expected
    assert to_uint8(values).shape == (1, 3, 2, 4)
    grey = torch.arange(17) / 8 - 1
    assert len(set(to_uint8(grey.view(1, 1, 1, 17)).flatten().tolist())) == 17


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_value_that_is_not_finite_becomes_no_pixel(value):
    images = torch.zeros(5, 3, 2, 2)
    images[2, 1, 0, 1] = images[4, 0, 0, 0] = value
    with pytest.raises(NotFinite, match=r"samples not finite: 2 of 5 images hold NaN or infinite values .* is image 2"):
        to_uint8(images)

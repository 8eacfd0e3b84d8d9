"""Extractors that learnt without labels answer to noise, blur and swapped classes, and saw training images alone."""

import pytest
import torch
from torch import Tensor

from lina_lab.config.data import DataConfig
from lina_lab.config.settings import EXTRACTORS
from lina_lab.data.datasets import load_dataset, to_uint8
from lina_lab.evaluation import train_self_supervised as script
from lina_lab.evaluation.extractors import SELF_SUPERVISED, load_extractor
from lina_lab.evaluation.metrics import fid
from lina_lab.evaluation.train_image_extractor import blur

MOST = 2000


class Shown:
    """An extractor, and what its features say of changed training images against held-out ones."""

    def __init__(self, name: str) -> None:
        reads = EXTRACTORS[name]
        data = load_dataset(DataConfig.model_validate({"name": reads.data, "side": reads.side}))
        self.extractor, self.side = load_extractor(name), reads.side
        self.images, self.labels = data.train.images[:MOST], data.train.labels[:MOST]
        self.real = self.features(data.heldout.images)

    def features(self, images: Tensor) -> Tensor:
        return self.extractor.extract(to_uint8(images.clamp(-1, 1))).features

    def distances(self, *changed: Tensor) -> list[float]:
        return [fid(self.features(images), self.real) for images in (self.images, *changed)]


@pytest.fixture(scope="module", params=SELF_SUPERVISED)
def shown(request):
    return Shown(request.param)


@pytest.mark.slow
def test_fid_rises_with_every_step_of_noise(shown):
    drawn = torch.randn(shown.images.shape, generator=torch.Generator().manual_seed(3))
    values = shown.distances(*(shown.images + sigma * drawn for sigma in (0.05, 0.1, 0.2, 0.4)))
    assert values == sorted(values)
    assert values[-1] > 30 * values[0]


@pytest.mark.slow
def test_fid_rises_with_every_step_of_blur(shown):
    count, least = len(shown.images), shown.side / 16
    values = shown.distances(*(blur(shown.images, torch.full((count,), least * step)) for step in (1, 2, 4)))
    assert values == sorted(values)
    assert values[1] > 5 * values[0]


@pytest.mark.slow
def test_fid_rises_with_every_image_of_a_class_in_the_place_of_another(shown):
    first, last = ((shown.labels == c).nonzero().flatten() for c in (0, int(shown.labels.max())))
    swapped = []
    for share in (0.25, 0.5, 1):
        gone = first[: int(share * len(first))]
        images = shown.images.clone()
        images[gone] = shown.images[last[torch.arange(len(gone)) % len(last)]]
        swapped.append(images)
    values = shown.distances(*swapped)
    assert values == sorted(values)
    assert values[-1] > 2 * values[0]


def test_it_predicts_no_class():
    extractor = load_extractor("digits-vicreg")
    found = extractor.extract(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
    assert (extractor.data, found.classes, found.features.shape) == ("", None, (2, 32))


@pytest.mark.slow
def test_the_training_script_sees_no_label_and_no_held_out_image(monkeypatch):
    monkeypatch.setattr(script, "STEPS", 2)
    data = load_dataset(DataConfig())
    unseen = data._replace(
        heldout=data.heldout._replace(images=torch.full_like(data.heldout.images, torch.nan)),
        train=data.train._replace(labels=torch.full_like(data.train.labels, -1)),
    )
    first, second = (script.train("digits-vicreg", given).state_dict() for given in (data, unseen))
    assert all(torch.isfinite(value).all() and torch.equal(value, second[name]) for name, value in first.items())


def test_vicreg_is_nothing_for_equal_views_that_vary_without_repeating_each_other():
    x = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = x - x.mean(0)
    whitened = 2 * x @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T))).T
    assert script.vicreg(whitened, whitened).item() == pytest.approx(0, abs=1e-6)
    assert script.vicreg(whitened, -whitened).item() == pytest.approx(25 * 16, rel=1e-2)
    constant = torch.zeros(100, 3)
    assert script.vicreg(constant, constant).item() == pytest.approx(25 * 0.99, rel=1e-3)  # of both views, half each
    repeated = whitened[:, :1].expand(-1, 2)
    assert script.vicreg(repeated, repeated).item() == pytest.approx(2 * 2 * 4**2 / 2, rel=1e-2)

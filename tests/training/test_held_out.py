"""The held-out loss: the same draws for every cell, and an error over held-out images.

A fresh model predicts a velocity of 0, so that its loss is known: (noise - x)² is 1 + x² on average.
"""

import math

import pytest
import torch

from lina_lab.data.text import conditions
from lina_lab.metric_names import LOSS, LOSS_SE
from lina_lab.training import held_out
from lina_lab.training.held_out import held_out_loss, validation_batch
from lina_lab.training.train import build_model
from tests.cells import experiment

RECIPE = experiment().training


@pytest.fixture(scope="module")
def images(dataset):
    return validation_batch(dataset, conditions(experiment().data))


def fresh(size="nano", seed=0):
    values = experiment().model_dump()
    return build_model(experiment().model_validate(values | {"seed": seed, "model": {"size": size, "patch": 2}})).eval()


def trained_a_little(seed=1):
    model = fresh(seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.head.parameters():
        parameter.data += 0.02 * torch.randn(parameter.shape, generator=generator)
    return model


@pytest.mark.slow
def test_the_loss_of_a_fresh_model_and_its_error_are_known(images):
    found = held_out_loss(fresh(), images, RECIPE)
    squares = images[0].square().flatten(1).mean(1)
    assert found[LOSS] == pytest.approx(1 + float(squares.mean()), abs=0.01)
    of_images = float(squares.std()) / math.sqrt(len(squares))
    assert of_images < found[LOSS_SE] < 2 * of_images, "the draws of an image add to its own difference"


@pytest.mark.slow
def test_sizes_and_seeds_see_the_same_draws(images):
    assert held_out_loss(fresh("micro", seed=3), images, RECIPE) == held_out_loss(fresh("nano"), images, RECIPE)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change", [{"batch_size": 3}, {"loss_repeat": 1}, {"label_dropout": 1.0}, {"mask_ratio_min": 0.1}, {"steps": 99}]
)
def test_the_draws_do_not_depend_on_how_the_model_was_trained(images, change):
    model, some = trained_a_little(), (images[0][:40], images[1][:40])
    other = RECIPE.model_copy(update=change)
    assert held_out_loss(model, some, other) == held_out_loss(model, some, RECIPE)


@pytest.mark.slow
@pytest.mark.parametrize("whole", [True, False])
def test_long_sequences_go_in_parts_to_the_same_loss(images, monkeypatch, whole):
    model, some = trained_a_little(), (images[0][:60], images[1][:60])
    together = held_out_loss(model, some, RECIPE, whole=whole)
    sizes, errors = [], model.errors_of_draws
    monkeypatch.setattr(model, "errors_of_draws", lambda x, *others: sizes.append(len(x)) or errors(x, *others))
    monkeypatch.setattr(held_out, "MOST_TOKENS", 15 * 20)
    assert held_out_loss(model, some, RECIPE, whole=whole) == pytest.approx(together, rel=1e-5)
    assert max(sizes) == (15 if whole else 2)
    assert sum(sizes) == 60 * (held_out.MASKS if whole else 1)


@pytest.mark.slow
def test_with_one_mask_an_image_the_loss_is_that_of_all_masks_but_for_its_error(images):
    model = trained_a_little()
    few, all_masks = (held_out_loss(model, images, RECIPE, whole=whole) for whole in (False, True))
    assert abs(few[LOSS] - all_masks[LOSS]) < 3 * few[LOSS_SE]
    assert few[LOSS_SE] > all_masks[LOSS_SE]


@pytest.mark.slow
def test_labels_are_never_dropped(images):
    model, some = trained_a_little(), (images[0][:20], images[1][:20])
    without = (some[0], model.prompt.nothing(some[1]))
    assert held_out_loss(model, some, RECIPE) != held_out_loss(model, without, RECIPE)


def test_one_image_has_no_error(images):
    assert set(held_out_loss(fresh(), (images[0][:1], images[1][:1]), RECIPE)) == {LOSS}

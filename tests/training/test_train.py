"""One optimisation from the first step to the last: losses, precision, validation, what moves and what does not."""

import pytest
import torch

from lina_lab.checkpoints.ema_weights import load_trained
from lina_lab.ledger.cells import create_cell
from lina_lab.training.train import build_model, train
from tests.cells import experiment, rows


@pytest.mark.slow
def test_a_loss_in_the_metrics_is_the_mean_since_the_row_before(tmp_path, dataset, whole):
    every_step = create_cell(tmp_path, experiment(logging__every=1))
    train(every_step, experiment(logging__every=1), dataset)
    single = [value for _, metric, value in rows(every_step) if metric == "train/loss"]
    mean = [value for _, metric, value in rows(whole) if metric == "train/loss"]
    assert mean == pytest.approx([sum(single[i : i + 4]) / 4 for i in (0, 4, 8)], rel=1e-6)


@pytest.mark.slow
def test_bfloat16_trains_with_float32_weights(tmp_path, dataset):
    folder = create_cell(tmp_path, experiment(training__precision="bf16"))
    model = train(folder, experiment(training__precision="bf16"), dataset).model
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert all(torch.isfinite(p).all() for p in model.parameters())


@pytest.mark.slow
def test_the_last_validation_is_in_the_precision_of_those_before(tmp_path, dataset):
    found = []
    for every in (12, 8):  # within the loop, and after it
        cell = experiment(training__precision="bf16", logging__validate_every=every)
        folder = create_cell(tmp_path / str(every), cell)
        train(folder, cell, dataset)
        found.append([value for _, metric, value in rows(folder) if metric == "val/loss"][-1])
    assert found[0] == found[1]


@pytest.mark.slow
def test_gradient_clipping_changes_the_training(tmp_path, dataset, whole):
    clipped = experiment(training__gradient_clip=1e-3)
    model = train(create_cell(tmp_path, clipped), clipped, dataset).model
    assert not torch.equal(model.head.out.weight, load_trained(whole)[1].head.out.weight)


def test_frozen_parameters_stay_as_they_were(whole):
    trained = dict(load_trained(whole)[1].named_parameters())
    for name, parameter in build_model(experiment()).named_parameters():
        if not parameter.requires_grad:  # averaging equal weights rounds
            torch.testing.assert_close(trained[name], parameter)

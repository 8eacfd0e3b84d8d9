"""Weights of a checkpoint without torch's modules."""

import numpy as np
import pytest

from lina_lab.ledger.cells import create_cell
from lina_lab.training.as_numpy import checkpoint_weights
from lina_lab.training.train import train
from tests.cells import experiment


@pytest.mark.slow
def test_the_weights_of_a_checkpoint_are_the_average_of_its_step(tmp_path, dataset, whole):
    """As a training that ends there gives them."""
    shorter = experiment(training__steps=8)
    ended = train(create_cell(tmp_path, shorter), shorter, dataset).model
    weights = checkpoint_weights(whole / "checkpoints" / "step-0000008.ckpt")
    assert weights.keys() == dict(ended.named_parameters()).keys()
    for name, parameter in ended.named_parameters():
        np.testing.assert_array_equal(weights[name], parameter.detach().numpy())

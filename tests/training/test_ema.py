"""The average of the weights."""

from itertools import pairwise

import pytest
import torch

from lina_lab.ledger.cells import create_cell
from lina_lab.training.train import train
from tests.cells import experiment


@pytest.mark.slow
def test_the_result_holds_the_averaged_weights(tmp_path, dataset):
    """The average equals the recursion written out."""
    steps = [1, 2, 3]
    averages = []
    for count in steps:
        folder = create_cell(tmp_path / str(count), experiment(training__steps=count, training__warmup_steps=0))
        changed = experiment(training__steps=count, training__warmup_steps=0, training__ema_decay=0.75)
        averages.append(train(folder, changed, dataset).model.head.out.bias.detach())
    live = [averages[0]]  # the first update copies the weights
    for earlier, later in pairwise(averages):
        live.append((later - 0.75 * earlier) / 0.25)
    plain = []
    for count in steps:
        changed = experiment(training__steps=count, training__warmup_steps=0, training__ema_decay=0.0)
        folder = create_cell(tmp_path / f"plain{count}", changed)
        plain.append(train(folder, changed, dataset).model.head.out.bias.detach())
    for ours, expected in zip(live, plain, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-7)

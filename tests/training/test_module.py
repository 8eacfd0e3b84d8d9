"""What the optimiser is given: groups of parameters and a learning rate."""

import pytest

from lina_lab.training.module import parameter_groups, warmup
from lina_lab.training.train import build_model
from tests.cells import experiment


def test_weight_decay_spares_layer_norms_alone_and_frozen_parts_are_in_no_group():
    model = build_model(experiment())
    decayed, spared = parameter_groups(model, experiment().training)
    names = {id(p): name for name, p in model.named_parameters()}
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.02, 0.0)
    assert all("norm" in names[id(p)] for p in spared["params"])
    assert not any("norm" in names[id(p)] for p in decayed["params"])
    assert any("gates" in names[id(p)] for p in decayed["params"])
    grouped = {id(p) for group in (decayed, spared) for p in group["params"]}
    assert grouped == {id(p) for p in model.parameters() if p.requires_grad}


def test_the_learning_rate_warms_up_from_a_thousandth_and_stays():
    assert warmup(0, 10_000) == pytest.approx(1e-4 + (1 - 1e-4) / 1000)
    assert warmup(9_999, 10_000) == pytest.approx(1.0)
    assert warmup(50_000, 10_000) == warmup(0, 0) == 1.0

"""Averaged weights that look back over more than a third of their training are warned of."""

import pytest

from lina_lab.config.averaging import long_averages
from lina_lab.config.experiment import Experiment


def experiment(**training: object) -> Experiment:
    base = {"steps": 300, "batch_size": 8, "learning_rate": 1e-3}
    return Experiment.model_validate({"name": "a", "model": {"size": "nano", "patch": 2}, "training": base | training})


@pytest.mark.parametrize(
    ("training", "most"),
    [
        ({"steps": 300}, None),  # 100 of 300 updates
        ({"steps": 299}, "0.99"),
        ({"steps": 60}, "0.95"),
        ({"steps": 300, "ema_every": 2}, "0.98"),
        ({"steps": 300, "ema_decay": 0.9, "ema_every": 10}, None),
        ({"steps": 2, "ema_decay": 0.5}, "0"),
        ({"steps": 3, "ema_decay": 0.0}, None),
        ({"steps": 60, "imported": "0" * 64}, None),
    ],
)
def test_the_limit_is_a_third_of_the_updates(training, most):
    found = long_averages([experiment(**training), experiment(steps=3000)])
    assert len(found) == (most is not None)
    if most is not None:
        assert found[0].startswith("warning: the averaged weights of 1 of 2 cells look back over more than a third")
        assert found[0].endswith(f"at most {most} would be right there")

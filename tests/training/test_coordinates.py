"""The coordinate check against what is known: standard models move further the wider they are, muP's do not."""

import pytest

from lina_lab.config.experiment import Experiment
from lina_lab.training import coordinates, module
from lina_lab.training.coordinates import check
from lina_lab.training.parametrization import fan_in_growth
from tests.cells import experiment

DESIGNS = {
    "division": {},
    "softmax": {"normalization": "softmax"},
    "gates": {"kv_gate": "key_value", "memory_groups": 4},
    "gates from the input": {"kv_gate": "key_value_data", "output_gate": "sigmoid"},
    "convolution": {"conv_kernel": 5, "conv_weights": "generated", "sequence_conv": "fixed_5"},
}


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Two doublings of the width, four steps, one seed: below the size of the real check."""
    monkeypatch.setattr(coordinates, "TIMES", (1, 2, 4))
    monkeypatch.setattr(coordinates, "STEPS", (1, 4))
    monkeypatch.setattr(coordinates, "SEEDS", range(2))


def of(parametrization: str, **attention: object) -> Experiment:
    model = {"size": "nano", "patch": 2, "attention": attention}
    training = experiment().training.model_dump() | {"parametrization": parametrization}
    return Experiment.model_validate(experiment().model_dump() | {"model": model, "training": training})


def slope(found, layer, step):
    return next(growth.slope for growth in found.growths if (growth.layer, growth.step) == (layer, step))


@pytest.mark.slow
@pytest.mark.parametrize("design", DESIGNS)
def test_mup_moves_alike_at_all_widths_and_the_standard_parametrization_does_not(design):
    """So short a check is noisier than the tolerance of the real one."""
    assert abs(check(of("mup", **DESIGNS[design])).worst.slope) < 0.45
    assert check(of("standard", **DESIGNS[design])).worst.slope > 0.9


@pytest.mark.slow
def test_the_first_step_of_the_output_is_of_order_width_and_of_order_one_under_mup():
    """The output starts at 0, so Adam's first step sets every weight to ± the rate: a sum of D terms of one order."""
    assert slope(check(of("standard")), "head.out", 1) == pytest.approx(1, abs=0.1)
    assert slope(check(of("mup")), "head.out", 1) == pytest.approx(0, abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("broken", ["head.out", "modulation", "attention", "time.fc2"])
def test_one_kind_of_weight_without_its_rate_fails_the_check(monkeypatch, broken):
    monkeypatch.setattr(
        module, "fan_in_growth", lambda model: {n: g for n, g in fan_in_growth(model).items() if broken not in n}
    )
    assert not check(of("mup")).passed


@pytest.mark.slow
def test_prompts_and_rotary_positions_have_a_check_too(monkeypatch):
    monkeypatch.setattr(coordinates, "TIMES", (1, 2))
    monkeypatch.setattr(coordinates, "STEPS", (1,))
    monkeypatch.setattr(coordinates, "SEEDS", range(1))
    values = experiment().model_dump() | {
        "data": {"name": "shapes", "side": 16, "text": {"tokens": 12}},
        "model": {"size": "nano", "patch": 4, "position": "rotary"},
        "evaluation": {"extractor": "inception", "num_samples": 12},
        "training": experiment().training.model_dump() | {"parametrization": "mup"},
    }
    layers = {growth.layer for growth in check(Experiment.model_validate(values)).growths}
    assert {"text.proj", "context.attention.read", "decoder.mlp.fc2", "head.out"} <= layers

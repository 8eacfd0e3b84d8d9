"""muP against table 3 of Yang et al. 2022: initial spread and rate of each kind of weight, by width."""

from pathlib import Path

import pytest
import torch
from torch import nn

from lina_lab.config.experiment import Experiment, cell_key
from lina_lab.config.model import base_model
from lina_lab.design.sizes import SIZES
from lina_lab.ledger.cells import create_cell
from lina_lab.model.lina import Lina
from lina_lab.training.module import parameter_groups
from lina_lab.training.parametrization import fan_in_growth
from lina_lab.training.recorder import Stopped
from lina_lab.training.train import build_model, train
from tests.cells import experiment, rows

STACKS = ("context", "encoder", "decoder")
EVERYTHING = {"conv_kernel": 3, "kv_gate": "key_value", "output_gate": "sigmoid", "memory_groups": 4}
GENERATED = {"conv_kernel": 3, "conv_weights": "generated", "kv_gate": "key_value_data", "kv_gate_heads": "shared"}


def of(size: str = "tiny", parametrization: str = "mup", attention: dict | None = None, **model: object) -> Experiment:
    return Experiment.model_validate({
        "name": "test",
        "model": {"size": size, "patch": 2, "attention": EVERYTHING if attention is None else attention} | model,
        "training": {"steps": 4, "batch_size": 8, "learning_rate": 8e-3, "parametrization": parametrization},
    })  # fmt: skip


def weights(experiment: Experiment) -> dict[str, torch.Tensor]:
    return {name: weight.detach() for name, weight in build_model(experiment).named_parameters()}


def rates(experiment: Experiment) -> dict[str, tuple[float, float]]:
    """Learning rate and weight decay of every parameter that learns, by name."""
    model = build_model(experiment)
    names = {p: name for name, p in model.named_parameters()}
    groups = parameter_groups(model, experiment.training)
    found = [(names[p], (group["lr"], group["weight_decay"])) for group in groups for p in group["params"]]
    assert len(found) == len(dict(found)) == sum(p.requires_grad for p in model.parameters())
    return dict(found)


def test_at_the_base_width_both_are_one_to_the_bit_and_in_the_key():
    standard, mup = (of("nano", kind) for kind in ("standard", "mup"))
    for (name, a), b in zip(weights(standard).items(), weights(mup).values(), strict=True):
        assert torch.equal(a, b), name
    assert rates(standard) == rates(mup)
    assert len(parameter_groups(build_model(mup), mup.training)) == 2
    assert cell_key(standard) == cell_key(mup)
    assert cell_key(of("tiny", "standard")) != cell_key(of("tiny", "mup"))


def test_rates_of_weights_whose_fan_in_grows_are_divided_by_its_growth_and_no_others():
    found = rates(of("tiny"))
    grown = {name for name, (rate, _) in found.items() if rate != 8e-3}
    assert all(found[name] == (8e-3 / 4, 0.02 * 4) for name in grown)
    names = {name.partition(".0.")[2] for name in grown if name.startswith("decoder.0.")}
    attention = ("attention.qkv.weight", "attention.proj.weight", "attention.output_gate.gate.weight")
    assert names == {*attention, "mlp.fc1.weight", "mlp.fc2.weight"}
    of_head = {name for name in grown if name.startswith("head.") and ".blocks.1" not in name}
    block = ("modulation", "projector.fc1", "projector.fc2")
    others = ("time.fc2", "condition.fc1", "condition.fc2", "modulation", "out")
    assert of_head == {f"head.{name}.weight" for name in (*others, *(f"blocks.0.{name}" for name in block))}
    assert not any(name.startswith(("label", "queries", "patch", "mask_token")) for name in grown)


def test_filters_and_maps_within_heads_and_gates_of_positions_have_a_fan_in_that_does_not_grow():
    grown = fan_in_growth(build_model(of(attention=GENERATED)))
    assert not any("conv" in name for name in grown)
    assert grown["decoder.0.attention.gates.key.weight"] == 4
    assert not any("gates" in name or "groups" in name for name in fan_in_growth(build_model(of())))


def test_decay_a_step_is_that_of_the_base_at_every_width():
    products = {size: {n: rate * decay for n, (rate, decay) in rates(of(size)).items()} for size in ("pico", "small")}
    for name, product in products["small"].items():
        assert product == pytest.approx(products["pico"][name]), name


def test_the_heads_own_width_counts_for_the_head_alone():
    wide_head = build_model(of("nano", head_width=128))
    assert set(fan_in_growth(wide_head).values()) == {4}
    assert all(name.startswith("head.") for name in fan_in_growth(wide_head))
    assert "head.condition.fc1.weight" not in fan_in_growth(wide_head)  # it reads the trunk
    narrow = fan_in_growth(build_model(of("tiny", head_width=32)))
    assert narrow["head.condition.fc1.weight"] == 4
    assert "head.condition.fc2.weight" not in narrow


@pytest.mark.parametrize("size", ["pico", "small"])
def test_initial_spread_follows_the_closed_rule(size):
    """Hidden: 1 / (3 fan-in); the shared gate, an output: 1 / (3 fan-in g); biases: that of the base."""
    width, g = SIZES[size].width, SIZES[size].width / 32
    found = weights(of(size, attention=GENERATED))

    def spread(name: str) -> float:
        return float(torch.cat([found[f"{s}.{b}.{name}"].flatten() for s in STACKS for b in (0, 1)]).std())

    assert spread("attention.qkv.weight") == pytest.approx((3 * width) ** -0.5, rel=0.05)
    assert spread("mlp.fc2.weight") == pytest.approx((12 * width) ** -0.5, rel=0.05)
    assert spread("attention.qkv.bias") == pytest.approx((3 * 32) ** -0.5, rel=0.15)
    assert spread("mlp.fc2.bias") == pytest.approx((3 * 128) ** -0.5, rel=0.3)
    key = found["decoder.0.attention.gates.key.weight"]
    assert float(key.std()) == pytest.approx((3 * width * g) ** -0.5, rel=0.3)
    assert float(found["head.time.fc2.weight"].std()) == pytest.approx(0.02 * g**-0.5, rel=0.1)
    assert float(found["head.time.fc1.weight"].std()) == pytest.approx(0.02, rel=0.1)
    assert float(found["patch.weight"].std()) == pytest.approx((3 * 4) ** -0.5, rel=0.3)
    assert not found["head.out.weight"].any()


def test_the_base_of_a_design_keeps_its_heads_and_is_valid():
    for width, heads in ((128, 8), (768, 12), (1536, 16), (48, 8), (12, 2)):
        model = of("custom", "standard", None, width=width, num_heads=heads, **DEPTHS).model
        base = base_model(model)
        assert base.width // base.num_heads == width // heads
        assert base.width % 4 == 0
        assert base == base_model(base_model(model, 4))
        with torch.device("meta"):
            Lina(base, of().data.shape)


DEPTHS = {"context_depth": 1, "encoder_depth": 1, "decoder_depth": 1, "head_depth": 1, "head_width": 32}


def test_every_weight_that_sums_is_in_a_linear_map_or_convolution():
    """Others are multiplied element by element or looked up: their fan-in is 1 at any width."""
    model = build_model(of())
    others = [m for m in model.modules() if not isinstance(m, (nn.Linear, nn.Conv1d, nn.Conv2d))]
    matrices = {type(m).__name__ for m in others for p in m.parameters(recurse=False) if p.ndim > 1}
    assert matrices == {"Embedding", "PositionGates", "GroupMemory"}


@pytest.mark.slow
def test_a_training_with_several_rates_goes_on_to_the_same_bits(tmp_path, dataset):
    """Weights, moments, average and rates of every group come back from the checkpoint."""
    cell = experiment(training__parametrization="mup", model__size="micro")

    def trained(runs: Path, *stops: int) -> dict[str, torch.Tensor]:
        folder = create_cell(runs, cell)
        for until in stops:
            with pytest.raises(Stopped):
                train(folder, cell, dataset, until=until)
        return train(folder, cell, dataset).model.state_dict()

    whole, resumed = trained(tmp_path / "whole"), trained(tmp_path / "resumed", 6)
    assert all(torch.equal(resumed[name], tensor) for name, tensor in whole.items())
    assert rows(tmp_path / "resumed" / cell_key(cell)) == rows(tmp_path / "whole" / cell_key(cell))

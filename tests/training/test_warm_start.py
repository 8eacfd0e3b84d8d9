"""Weights for another resolution: what is carried, what starts anew, and from which loss a stage starts."""

import math

import pytest
import torch

from lina_lab.cell.run import run_cell
from lina_lab.config.data import DataShape
from lina_lab.config.experiment import cell_key
from lina_lab.config.model import ModelConfig
from lina_lab.config.settings import InitConfig
from lina_lab.errors import LabError
from lina_lab.ledger.cells import create_cell
from lina_lab.ledger.metrics import read_metrics
from lina_lab.model.lina import Lina
from lina_lab.training.warm_start import interpolated, warm_start
from tests.cells import experiment

KEY = "0123456789ab"


def lina(side: int, seed: int, **model: object) -> Lina:
    values = {
        "size": "nano",
        "context_tokens": (side // 2) ** 2,
        "attention": {"conv_kernel": 3, "kv_gate": "key_value"},
    }
    config = ModelConfig.model_validate(values | model)
    made = Lina(config, DataShape(2, side, 5), seed)
    for name, parameter in made.named_parameters():
        if ".gates." in name:
            torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(1))
    return made


@pytest.mark.parametrize("gates", ["reset", "interpolate"])
def test_everything_but_gates_is_carried_to_a_larger_grid(gates):
    small, large = lina(4, seed=0), lina(8, seed=1)
    warm_start(large, InitConfig(cell=KEY, gates=gates), small)
    weights = small.state_dict()
    for name, tensor in large.state_dict().items():
        if ".gates." not in name:
            assert torch.equal(tensor, weights[name]), name
        elif gates == "reset":
            assert torch.equal(tensor, torch.ones(2, 16 + 64))
        else:
            assert tensor.shape == (2, 16 + 64)
            assert tensor.std() > 0.1


def test_gates_of_an_equal_grid_are_carried_either_way():
    source, target = lina(4, seed=0), lina(4, seed=1)
    warm_start(target, InitConfig(cell=KEY), source)
    assert all(torch.equal(t, source.state_dict()[name]) for name, t in target.state_dict().items())


@pytest.mark.parametrize(
    "attention",
    [
        {"kv_gate": "key_value_data"},
        {"memory_groups": 4, "kv_gate": "key"},
        {"sequence_conv": "fixed_5", "output_gate": "sigmoid"},
        {"conv_kernel": 3, "conv_weights": "generated"},
    ],
)
def test_what_is_not_laid_along_positions_is_carried_to_a_larger_grid(attention):
    small, large = lina(4, seed=0, attention=attention), lina(8, seed=1, attention=attention)
    warm_start(large, InitConfig(cell=KEY), small)
    weights = small.state_dict()
    for name, tensor in large.state_dict().items():
        reset = name.endswith(".gates.key")
        assert torch.equal(tensor, torch.ones(2, 16 + 64) if reset else weights[name]), name


def test_a_gate_from_data_is_no_gate_of_positions():
    """It has nothing to be reset to or interpolated from."""
    data, positions = {"kv_gate": "key_value_data"}, {"kv_gate": "key_value"}
    with pytest.raises(LabError, match=r"gates\.key\.weight must be \(2, 32\) as here, not none"):
        warm_start(lina(4, 0, attention=data), InitConfig(cell=KEY), lina(4, 0, attention=positions))
    target = lina(4, 0, attention=positions)
    warm_start(target, InitConfig(cell=KEY), lina(4, 0, attention=data))
    assert torch.equal(target.decoder[0].attention.gates["key"], torch.ones(2, 4 + 16))


def test_interpolation_keeps_constants_and_continues_ramps_grid_by_grid():
    """Pixel i of n lies at (i + 1/2) / n: a ramp over one grid is the same ramp over another, away from its edges."""
    row = (torch.arange(4) + 0.5) / 4
    ramp = row.expand(4, 4).flatten()
    gate = torch.cat([torch.full((4,), 3.0), ramp]).unsqueeze(0)
    found = interpolated(gate, ((2, 2), (4, 4)), ((4, 4), (8, 8)))
    assert torch.equal(found[0, :16], torch.full((16,), 3.0))
    image = found[0, 16:].view(8, 8)
    expected = (torch.arange(8) + 0.5) / 8
    torch.testing.assert_close(image[:, 1:-1], expected[1:-1].expand(8, 6))


def test_a_tensor_that_does_not_fit_is_named_with_both_shapes():
    wide = lina(8, 0, width=64, head_width=64)
    with pytest.raises(LabError, match=r"training\.init_from 0123456789ab: \S+ must be \(.*64.*\) as here, not \(.*32"):
        warm_start(wide, InitConfig(cell=KEY), lina(4, 0))
    with pytest.raises(LabError, match=r"gates\.key must have 4 heads, not 2"):
        warm_start(lina(8, 0, num_heads=4), InitConfig(cell=KEY, gates="interpolate"), lina(4, 0))


@pytest.mark.slow
def test_a_cell_starts_with_the_loss_of_the_cell_it_starts_from(tmp_path):
    first = experiment()
    folder = create_cell(tmp_path, first)
    run_cell(folder)
    last = [row.value for row in read_metrics(folder) if row.metric == "val/loss"][-1]
    second = experiment(training__init_from={"cell": cell_key(first)}).model_copy(update={"seed": 5})
    folder = create_cell(tmp_path, second)
    assert run_cell(folder) == "done"
    start = next(row for row in read_metrics(folder) if row.metric == "val/loss")
    # The draws of a validation are the seed's: another seed, nearly the same loss, and far from a fresh model's.
    assert start.step == 0
    assert math.isclose(start.value, last, rel_tol=0.1)


def test_a_cell_that_is_not_there_is_named(tmp_path):
    folder = create_cell(tmp_path, experiment(training__init_from={"cell": KEY}))
    with pytest.raises(LabError, match=r"training\.init_from 0123456789ab: .* has no such cell; train it first"):
        run_cell(folder)

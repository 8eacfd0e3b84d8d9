"""Every design of one attention module against its formulas in float64, and properties of each part."""

import pytest
import torch
import torch.nn.functional as F

from lina_lab.config.model import AttentionConfig
from lina_lab.config.settings import ExecutionConfig
from lina_lab.design.axes import AXES
from lina_lab.design.computed import Given
from lina_lab.kernels import linear
from lina_lab.model import attention
from lina_lab.model.attention import NORMALIZATIONS, Attention, Layout
from lina_lab.model.execution import accelerate
from lina_lab.model.gates import DataGates, GroupMemory
from lina_lab.model.rotary import rotation
from lina_lab.profiling.properties import (
    CONTEXT,
    LAYOUT,
    PROPERTIES,
    B,
    D,
    H,
    made,
    reaches_parameters,
    rounds_little,
    tokens,
)
from tests.model.pairs import PAIRS, SINGLES, name
from tests.model.slow_attention import slow_attention

P = CONTEXT  # heads of 8 channels: 4 of them stand still under rotation, 2 and 2 turn
PLACES = [(0, 0)] * 3 + [(r, c) for r in range(4) for c in range(5)]


def slow(module: Attention, x: torch.Tensor, places: list[tuple[int, int]] | None = None) -> torch.Tensor:
    weights, values = dict(module.state_dict()), module.config.model_dump()
    shape = {"num_heads": H, "grid": (4, 5), "context_tokens": P, "num_mediators": 7}
    return torch.stack([slow_attention(weights, values, image, places=places, **shape) for image in x])


@pytest.fixture(autouse=True)
def few_mediators(monkeypatch):
    """Fewer than there are tokens, and no divisor of their number."""
    monkeypatch.setattr(attention, "NUM_MEDIATORS", 7)


@pytest.mark.parametrize("config", PAIRS)
def test_a_design_equals_its_formulas(config):
    module, x = made(config), tokens()
    torch.testing.assert_close(module(x), slow(module, x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("config", SINGLES, ids=name)
def test_a_design_with_rotary_positions_equals_its_formulas(config):
    module, x = made(config), tokens()
    turns = rotation(*LAYOUT, D // H).double()  # of float32 angles
    torch.testing.assert_close(module(x, turns=turns), slow(module, x, PLACES), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("config", PAIRS)
def test_some_rows_of_the_result_are_those_of_all(config):
    module, x = made(config), tokens()
    rows = torch.tensor([[3, 22, 10], [7, 8, 4]])
    for turns in (None, rotation(*LAYOUT, D // H).double()):
        whole = module(x, turns=turns)
        expected = whole.gather(1, rows.unsqueeze(-1).expand(-1, -1, D))
        torch.testing.assert_close(module(x, rows=rows, turns=turns), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("config", SINGLES, ids=name)
@pytest.mark.parametrize("holds", [reaches_parameters, rounds_little])
def test_a_design_has_what_lab_check_asks_of_a_users(holds, config):
    assert holds(config) == ""


@pytest.mark.slow
@pytest.mark.parametrize("config", SINGLES, ids=name)
def test_a_design_has_all_that_lab_check_asks_of_a_users(config, monkeypatch):
    monkeypatch.setattr(attention, "NUM_MEDIATORS", 64)  # as costs have it
    assert {name: why for name, holds in PROPERTIES.items() if (why := holds(config))} == {}


@pytest.mark.parametrize("count", [64, 65, 131, 9])
def test_mediators_are_means_of_equal_parts_of_the_sequence(count, monkeypatch):
    monkeypatch.setattr(attention, "NUM_MEDIATORS", 64)
    config = AttentionConfig(normalization="mediator")
    module, x = made(config, layout=None), tokens(count)
    shape = {"num_heads": H, "grid": (0, 0), "context_tokens": P}
    expected = [slow_attention(dict(module.state_dict()), config.model_dump(), image, **shape) for image in x]
    torch.testing.assert_close(module(x), torch.stack(expected), rtol=1e-9, atol=1e-9)


def test_as_many_mediators_as_tokens_are_the_queries_themselves():
    q, k, v = (torch.randn(B, H, 5, 8, generator=torch.Generator().manual_seed(i)).double() for i in range(3))
    scores = (q @ q.mT * 8**-0.5).softmax(-1) @ (q @ k.mT * 8**-0.5).softmax(-1)
    torch.testing.assert_close(NORMALIZATIONS["mediator"].read(q, k, v, Given(k)), scores @ v)


@pytest.mark.parametrize("gate", ["none", "key_value", "key_value_split", "key_value_data"])
@pytest.mark.parametrize("normalization", ["division", "subtraction"])
def test_memory_groups_at_the_start_change_nothing_and_later_something(gate, normalization):
    values = {"normalization": normalization, "kv_gate": gate}
    plain, grouped = made(AttentionConfig(**values)), made(AttentionConfig(**values, memory_groups=4))
    logits = Attention(grouped.config, D, H, LAYOUT).groups.logits
    assert not logits.any()
    grouped.load_state_dict(plain.state_dict() | {"groups.logits": logits})
    assert torch.equal(plain(tokens()), grouped(tokens()))
    torch.nn.init.normal_(grouped.groups.logits, generator=torch.Generator().manual_seed(1))
    assert not torch.allclose(plain(tokens()), grouped(tokens()))


def test_a_group_with_all_the_share_is_read_alone():
    """M is then the mean over its run of positions: here the third of four, positions 10 to 14 of 20."""
    memory = GroupMemory(H, 4)
    torch.nn.init.constant_(memory.logits[:, 2], 200.0)
    weights = memory({}, 20)
    expected = torch.zeros(H, 20)
    expected[:, 10:15] = 4
    torch.testing.assert_close(weights["key"], expected)
    assert torch.equal(weights["mass"], torch.ones(H, 20))


def test_a_gate_from_data_is_finite_where_the_published_form_is_not():
    """At a logit of -200 the sigmoid is 0 in float32: its logarithm's gradient is 0 · ∞."""
    logit = torch.tensor(-200.0, requires_grad=True)
    published = (torch.sigmoid(logit).log() / 16).exp()
    published.backward()
    assert torch.isnan(logit.grad)

    gates = DataGates(("key",), 4, 1, 0)
    torch.nn.init.zeros_(gates["key"].weight)
    torch.nn.init.constant_(gates["key"].bias, -200.0)
    x = torch.ones(1, 2, 4, requires_grad=True)
    weight = gates.weights(x)["key"]
    torch.testing.assert_close(weight, torch.full((1, 1, 2), 2.718281828459045 ** (-200 / 16)))
    weight.sum().backward()
    # d exp(z / 16) / dz = exp(z / 16) / 16, for each of two tokens
    torch.testing.assert_close(gates["key"].bias.grad, torch.tensor([2 * 3.726653e-06 / 16]))
    assert torch.isfinite(x.grad).all()


def test_a_gate_from_data_is_float32_in_a_bfloat16_model():
    gates = DataGates(("key", "value"), D, H, 0).bfloat16()
    found = gates.weights(tokens().bfloat16())
    assert {gate.dtype for gate in found.values()} == {torch.float32}
    assert found["key"].shape == (B, H, LAYOUT.tokens)


def test_a_generator_without_weights_gives_every_image_the_filters_of_its_bias():
    module = made(AttentionConfig(conv_kernel=3, conv_weights="generated"))
    generator = module.conv.generator
    torch.nn.init.zeros_(generator.fc2.weight)
    x = tokens()
    grid = x[:, 3:].mT.reshape(B, D, 4, 5)
    expected = F.conv2d(grid, generator.fc2.bias.view(D, 1, 3, 3), padding=1, groups=D)
    torch.testing.assert_close(module.conv.local(x, x, kernels=False), expected.flatten(2).mT)


def test_generated_filters_of_an_image_do_not_depend_on_the_others():
    for values in ({"conv_kernel": 5, "conv_weights": "generated"}, {"sequence_conv": "generated_5"}):
        module, x = made(AttentionConfig(**values)), tokens()
        torch.testing.assert_close(module(x)[1:], module(x[1:]))


def test_a_fixed_convolution_along_the_sequence_stays_within_the_context_tokens():
    module = made(AttentionConfig(sequence_conv="fixed_5"))
    x = tokens().requires_grad_()
    local = module._local(x, x, kernels=False)
    assert not local[:, P:].any()
    (gradient,) = torch.autograd.grad(local[:, P - 1].sum(), x)
    assert (gradient[0].abs().sum(-1) > 0).nonzero().flatten().tolist() == [P - 3, P - 2, P - 1]
    nothing = Attention(AttentionConfig(sequence_conv="fixed_5"), D, H, Layout(0, 4, 5)).double()
    assert not nothing._local(tokens(20), tokens(20), kernels=False).any()


def test_the_output_gate_normalises_what_was_read_and_is_finite_at_nothing():
    module = made(AttentionConfig(output_gate="sigmoid"))
    torch.nn.init.ones_(module.output_gate.weight)
    torch.nn.init.constant_(module.output_gate.gate.bias, 50.0)  # open
    torch.nn.init.zeros_(module.output_gate.gate.weight)
    merged = 7 * tokens()
    opened = module.output_gate(merged, tokens())
    torch.testing.assert_close(
        opened.square().mean(-1).sqrt(), torch.ones(B, LAYOUT.tokens).double(), rtol=1e-5, atol=0
    )
    nothing = torch.zeros_like(merged).requires_grad_()
    module.output_gate(nothing, tokens()).sum().backward()
    assert torch.isfinite(nothing.grad).all()


def test_kernels_are_not_taken_where_they_do_not_know_the_design(monkeypatch):
    monkeypatch.setattr(linear, "linear_core", None)
    turns = rotation(*LAYOUT, D // H)
    core = ("normalization", "feature_map", "kv_gate")
    without = [{axis: word} for axis in core for word, value in AXES[axis].values.items() if not value.kernels]
    assert {"kv_gate": "key_value_data"} in without
    for values, given in [*((values, None) for values in (*without, {"output_gate": "sigmoid"})), ({}, turns)]:
        module = made(AttentionConfig(**values)).float()
        plain = module(tokens().float(), turns=given)
        accelerate(module, ExecutionConfig(attention_backend="triton"))
        torch.testing.assert_close(module(tokens().float(), turns=given), plain)
    module = made(AttentionConfig(memory_groups=4)).float()
    accelerate(module, ExecutionConfig(attention_backend="triton"))
    with pytest.raises(TypeError):
        module(tokens().float())

"""Attention against its definitions: the N x N matrix it never builds, float64, and identities."""

import itertools

import pytest
import torch
from pydantic import ValidationError

from lina_lab import cost
from lina_lab.config.model import AttentionConfig
from lina_lab.design.axes import AXES, OTHER_AXES
from lina_lab.design.computed import Given
from lina_lab.design.gates import KV_GATE
from lina_lab.design.normalization import FEATURE_MAP
from lina_lab.errors import LabError
from lina_lab.model.attention import FEATURE_MAPS, NORMALIZATIONS, Attention, Layout
from lina_lab.model.gates import KV_GATES, OUTPUT_GATES
from lina_lab.model.lina import QUERIES
from lina_lab.model.local_convolutions import CONV_WEIGHTS, SEQUENCE_CONVS

B, H, N, d = 2, 3, 7, 5  # all different: a swapped dimension cannot pass
LAYOUT = Layout(prefix=2, height=3, width=5)


def heads(seed: int, *, positive: bool = True) -> torch.Tensor:
    x = torch.randn(B, H, N, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x.abs() if positive else x


def quadratic_weights(name: str, q: torch.Tensor, k: torch.Tensor, k_mass: torch.Tensor) -> torch.Tensor:
    """The (B, H, N, N) weights that each normalization stands for, written from its formula."""
    similarity = q @ k.mT
    if name == "division":
        return similarity / ((q @ k_mass.mT).sum(-1, keepdim=True) + N * 1e-6)
    scale = d**-0.5
    if name == "mediator":  # with no more tokens than mediators, these are the queries
        return (scale * q @ q.mT).softmax(-1) @ (scale * similarity).softmax(-1)
    if name == "subtraction":
        return (scale * similarity + 1 - scale * (q @ k_mass.mT).mean(-1, keepdim=True)) / N
    return (scale * similarity).softmax(-1)


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_a_normalization_equals_its_explicit_weights(name):
    q, k, v, k_mass = heads(1), heads(2), heads(3, positive=False), heads(4)
    k_mass = k if name in {"softmax", "mediator"} else k_mass
    expected = quadratic_weights(name, q, k, k_mass) @ v
    torch.testing.assert_close(NORMALIZATIONS[name].read(q, k, v, Given(k_mass)), expected)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("word", FEATURE_MAP.values)
def test_a_feature_map_is_below_0_nowhere_if_it_says_so(word, dtype):
    u = torch.linspace(-20, 20, 400_001, dtype=torch.float64).to(dtype)
    assert bool((FEATURE_MAPS[word](u) >= 0).all()) == FEATURE_MAP[word].positive


def test_weights_of_subtraction_sum_to_one():
    q, k = heads(1), heads(2)
    ones = torch.ones(B, H, N, d, dtype=torch.float64)
    torch.testing.assert_close(NORMALIZATIONS["subtraction"].read(q, k, ones, Given(k)), ones)


@pytest.mark.parametrize(
    ("axis", "table"),
    [
        ("normalization", NORMALIZATIONS),
        ("feature_map", FEATURE_MAPS),
        ("kv_gate", KV_GATES),
        ("conv_weights", CONV_WEIGHTS),
        ("sequence_conv", SEQUENCE_CONVS),
        ("output_gate", OUTPUT_GATES),
        ("model.position", QUERIES),
    ],
)
def test_every_value_of_an_axis_is_documented_and_built(axis, table):
    assert set((AXES | OTHER_AXES)[axis].values) == set(table)


def test_a_gate_has_the_weights_that_its_entry_names():
    for word, value in KV_GATE.values.items():
        gates = Attention(AttentionConfig(kv_gate=word), 12, 3, LAYOUT).gates
        assert tuple(gates) == value.weights


@pytest.mark.parametrize("name", AXES)
def test_a_config_takes_the_words_of_an_axis_and_no_other(name):
    with pytest.raises(ValidationError) as refused:
        AttentionConfig.model_validate({name: "new"})
    (error,) = refused.value.errors()
    *words, last = map(repr, AXES[name].values)
    assert error["loc"] == (name,)
    assert error["ctx"]["expected"] == f"{', '.join(words)} or {last}"


def test_what_no_axis_knows_raises_and_is_taken_for_no_other():
    for name, word in itertools.product(AXES, ("new", 9)):
        unknown = AttentionConfig.model_construct(**AttentionConfig().model_dump() | {name: word})
        for use in (
            lambda unknown=unknown: Attention(unknown, 12, 3, LAYOUT),
            lambda unknown=unknown: cost.attention_parameters(unknown, 12, 3, 17),
            lambda unknown=unknown: cost.attention_macs(unknown, 12, 3, 17, 15),
            lambda unknown=unknown: cost.attention_bytes(unknown, 12, 3, 17, 15, 1, 4),
        ):
            with pytest.raises(LabError, match=f"{word!r} is no value of the axis"):
                use()


def attention(seed: int = 0, layout: Layout | None = LAYOUT, **values: object) -> Attention:
    module = Attention(AttentionConfig(**values), 12, 3, layout)
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, 0, 0.5, generator=generator)
    return module


def tokens(count: int = LAYOUT.tokens, seed: int = 9) -> torch.Tensor:
    return torch.randn(2, count, 12, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("normalization", sorted(set(NORMALIZATIONS) - {"mediator"}))
def test_attention_without_position_does_not_see_order(normalization):
    module, x = attention(layout=None, normalization=normalization), tokens(11)
    order = torch.randperm(11, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(module(x)[:, order], module(x[:, order]))


@pytest.mark.parametrize("feature_map", ["relu", "elu1"])
@pytest.mark.parametrize("normalization", ["division", "subtraction"])
@pytest.mark.parametrize("kv_gate", sorted(set(KV_GATES) - {"key_value_data"}))
@pytest.mark.parametrize("kv_gate_heads", ["per_head", "shared"])
def test_attention_equals_its_formula_token_by_token(normalization, feature_map, kv_gate, kv_gate_heads):
    """In float64, with loops over heads and explicit gates, as section by section of the definition."""
    module = attention(
        normalization=normalization, feature_map=feature_map, kv_gate=kv_gate, kv_gate_heads=kv_gate_heads
    ).double()
    x = tokens().double()
    epsilon = 1e-6 if normalization == "division" else 0.0
    phi = {"relu": lambda u: u.clamp(min=0), "elu1": lambda u: torch.where(u > 0, u + 1, u.exp())}[feature_map]
    q, k, v = (x @ module.qkv.weight.T + module.qkv.bias).split(12, dim=-1)
    outputs = []
    for head in range(3):
        part = slice(4 * head, 4 * head + 4)
        row = {name: gate[head if len(gate) > 1 else 0, :, None] for name, gate in module.gates.items()}
        qh, kh, vh = phi(q[..., part]) + epsilon, phi(k[..., part]) + epsilon, v[..., part]
        key, value = kh * row.get("key", 1), vh * row.get("value", 1)
        mass = kh * row["mass"] if "mass" in row else key
        memory, mean = key.mT @ value / LAYOUT.tokens, mass.mean(1, keepdim=True).mT
        if normalization == "division":
            outputs.append(qh @ memory / (qh @ mean + 1e-6))
        else:
            outputs.append(0.5 * qh @ memory + (1 - 0.5 * qh @ mean) * value.mean(1, keepdim=True))
    expected = torch.cat(outputs, -1) @ module.proj.weight.T + module.proj.bias
    torch.testing.assert_close(module(x), expected)


@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_the_convolution_touches_the_grid_alone_and_reaches_half_a_kernel(kernel):
    """The gradient of one grid token's local part is zero outside its window, and for every prefix token."""
    layout = Layout(2, 9, 9)
    module = attention(layout=layout, conv_kernel=kernel)
    x = tokens(layout.tokens).requires_grad_()
    local = module._local(x, x, kernels=False)
    assert local.shape == (2, 81, 12)
    (gradient,) = torch.autograd.grad(local[:, 4 * 9 + 4].sum(), x)
    reached = gradient[0].abs().sum(-1) > 0
    assert not reached[:2].any()
    rows, columns = reached[2:].view(9, 9).nonzero().T
    half = kernel // 2
    assert rows.min() == columns.min() == 4 - half
    assert rows.max() == columns.max() == 4 + half


def test_gates_at_one_change_nothing():
    plain, gated = attention(), attention(kv_gate="key_value_split")
    gated.load_state_dict(plain.state_dict(), strict=False)
    torch.nn.init.ones_(gated.gates["key"])
    torch.nn.init.ones_(gated.gates["mass"])
    torch.nn.init.ones_(gated.gates["value"])
    assert torch.equal(plain(tokens()), gated(tokens()))


@pytest.mark.parametrize("normalization", ["division", "subtraction"])
def test_the_linear_core_is_float32_in_a_bfloat16_model(normalization):
    """Golden fixtures are float32 and cannot see this: against float64, given the bfloat16 q, k and v.

    Keys far from zero in the mean make a bfloat16 sum over 512 tokens lose digits that float32 keeps.
    """
    module = Attention(AttentionConfig(normalization=normalization), 16, 2, None).bfloat16()
    x = (torch.randn(1, 512, 16, generator=torch.Generator().manual_seed(3)) + 1).bfloat16()
    seen: list[torch.Tensor] = []
    module.proj = torch.nn.Identity()
    hook = module.qkv.register_forward_hook(lambda *arguments: seen.append(arguments[-1]))
    output = module(x)
    hook.remove()

    q, k, v = seen[0].unflatten(-1, (3, 2, 8)).permute(2, 0, 3, 1, 4)
    epsilon = NORMALIZATIONS[normalization].feature_eps
    q, k = ((u.relu() + epsilon).double() for u in (q, k))
    exact = NORMALIZATIONS[normalization].read(q, k, v.double(), Given(k)).transpose(1, 2).flatten(2)
    assert output.dtype == torch.bfloat16
    # Only the final rounding to bfloat16 (8 bits) may be seen.
    torch.testing.assert_close(output.double(), exact, rtol=2**-8, atol=2**-8 * exact.abs().mean().item() * 0.1)


def test_autocast_does_not_reach_the_linear_core():
    module = Attention(AttentionConfig(), 16, 2, None)
    x = torch.randn(1, 64, 16, generator=torch.Generator().manual_seed(3))
    inside: list[torch.dtype] = []
    read = NORMALIZATIONS["division"].read

    def spy(*arguments: torch.Tensor) -> torch.Tensor:
        out = read(*arguments)
        inside.append(out.dtype)
        return out

    module.normalization = module.normalization._replace(read=spy)
    with torch.autocast("cpu", torch.bfloat16):
        module(x)
    assert inside == [torch.float32]


def test_a_gradient_reaches_every_parameter():
    module = attention(conv_kernel=3, kv_gate="key_value_split")
    module(tokens()).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())


def test_all_negative_queries_and_keys_give_finite_values():
    module = attention(normalization="division")
    with torch.no_grad():
        module.qkv.weight.zero_()
        module.qkv.bias.fill_(-50)
    assert torch.isfinite(module(tokens())).all()


def test_a_sequence_of_another_length_is_refused_with_both_numbers():
    with pytest.raises(ValueError, match=r"17 tokens .* not 16"):
        attention(kv_gate="key")(tokens(16))


def test_a_convolution_without_a_grid_is_refused():
    with pytest.raises(ValueError, match="layout"):
        attention(layout=None, conv_kernel=3)

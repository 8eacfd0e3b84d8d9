"""The linear core's kernels against the N x N weights that each normalization stands for, in float64.

Of the roundings to the model's dtype the definition here makes those that the kernels promise: φ, and φ + eps. What is
left is the error of float32, relative to a tensor's largest value, and one last rounding to nearest.
"""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from lina_lab.kernels import convolution, linear
from lina_lab.kernels.convolution import depthwise_convolution
from lina_lab.kernels.linear import linear_core
from tests.model.test_golden import ATTENTIONS, GATED_CONV, GRID, assert_near

pytestmark = pytest.mark.slow

B, H = 2, 3
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
FLOAT32 = 5e-6
DIVIDED = 5e-5
"""Of the gradient through a division, which cancels where q'·k̄ is small: in float32 the plain form errs by 1.7e-5 on
these inputs, the kernels by 1.2e-5."""
TIES = 2e-4
"""Where φ is an exponential, float32 may find it on the other side of a tie, and one feature of many is a unit off."""
EPS = {"division": 1e-6, "subtraction": 0.0}
MAPS = {"relu": F.relu, "elu1": lambda u: F.elu(u) + 1, "identity": lambda u: u}
MEANINGFUL = [("division", "relu"), ("division", "elu1"), *(("subtraction", name) for name in MAPS)]
GATES = [(), ("key",), ("value",), ("key", "value"), ("key", "mass", "value")]
GOLDEN = Path(__file__).parents[1] / "golden"


class Case:
    """Random inputs of a call, and their float64 twins."""

    def __init__(self, normalization: str, feature_map: str = "relu", gates: tuple[str, ...] = (), **sizes: object):
        sizes = {"tokens": 17, "size": 4, "dtype": torch.float32, "gate_heads": H, "seed": 0, **sizes}
        tokens, self.dtype = sizes["tokens"], sizes["dtype"]
        self.generator = torch.Generator().manual_seed(sizes["seed"])
        self.width = H * sizes["size"]
        self.qkv = self.normal(B, tokens, 3 * self.width).to(self.dtype)
        self.gates = {name: 1 + 0.3 * self.normal(sizes["gate_heads"], tokens) for name in gates}
        for gate in self.gates.values():
            if tokens > 8:
                gate[:, 3], gate[:, 5] = 0, -0.5
        self.cotangent = self.normal(B, tokens, self.width).to(self.dtype)
        self.design = {
            "num_heads": H,
            "normalization": normalization,
            "feature_map": feature_map,
            "feature_eps": EPS[normalization],
        }

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator)

    def kernels(self, local: Tensor | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The output, and the gradients of everything."""
        leaves = {"qkv": self.qkv, **self.gates} | ({} if local is None else {"local": local})
        leaves = {name: leaf.to(DEVICE).requires_grad_() for name, leaf in leaves.items()}
        gates = {name: leaves[name] for name in self.gates}
        out = linear_core(leaves["qkv"], gates, leaves.get("local"), **self.design)
        gradients = torch.autograd.grad(out, list(leaves.values()), self.cotangent.to(DEVICE))
        return out.detach().cpu(), {name: g.cpu() for name, g in zip(leaves, gradients, strict=True)}

    def definition(self) -> tuple[Tensor, dict[str, Tensor]]:
        leaves = {"qkv": self.qkv, **self.gates}
        leaves = {name: leaf.double().requires_grad_() for name, leaf in leaves.items()}
        q, k, v = leaves["qkv"].view(B, -1, 3, H, self.width // H).permute(2, 0, 3, 1, 4)
        q, k = self.features(q), self.features(k)
        gate = {name: leaves[name].unsqueeze(-1) if name in leaves else 1.0 for name in ("key", "mass", "value")}
        key, value = gate["key"] * k, gate["value"] * v
        mass = gate["mass"] * k if "mass" in leaves else key
        tokens, s = k.shape[2], k.shape[3] ** -0.5
        if self.design["normalization"] == "division":
            weights = q @ key.mT / ((q @ mass.mT).sum(-1, keepdim=True) + tokens * 1e-6)
        else:
            weights = (s * q @ key.mT + 1 - (s * q @ mass.mT).mean(-1, keepdim=True)) / tokens
        out = (weights @ value).transpose(1, 2).flatten(2)
        gradients = torch.autograd.grad(out, list(leaves.values()), self.cotangent.double())
        return out.detach(), dict(zip(leaves, gradients, strict=True))

    def features(self, u: Tensor) -> Tensor:
        """φ + eps: the value as the model's dtype has it, the derivative exact."""
        phi = MAPS[self.design["feature_map"]]
        exact = phi(u)
        low = phi(u.detach().to(self.dtype)) + self.design["feature_eps"]
        return exact + (low.double() - exact).detach()

    def check(self) -> None:
        (out, gradients), (expected, expected_gradients) = self.kernels(), self.definition()
        tie = TIES if self.dtype != torch.float32 and self.design["feature_map"] == "elu1" else 0
        assert_rounded(out, expected, self.dtype, "output", FLOAT32 + tie)
        assert gradients.keys() == expected_gradients.keys()
        float32 = DIVIDED if self.design["normalization"] == "division" else FLOAT32
        for name, gradient in gradients.items():
            dtype, error = (self.dtype, float32) if name == "qkv" else (torch.float32, FLOAT32)
            assert_rounded(gradient, expected_gradients[name], dtype, name, error + tie)


def assert_rounded(
    actual: Tensor, expected: Tensor, dtype: torch.dtype, name: str, float32: float = FLOAT32, least: float = 0.1
) -> None:
    """Float32's error, then one rounding to nearest: half a unit in the last place.

    The largest value counts as `least` at least: inputs are near 1, and where gradients cancel to 0 (of one token's key
    gate, under subtraction) their error does not.
    """
    assert actual.dtype == dtype
    assert actual.shape == expected.shape
    finfo = torch.finfo(dtype)
    scale = expected.abs().max().clamp(min=least)
    allowed = float32 * scale + expected.abs() * finfo.eps / 2 + finfo.smallest_normal * finfo.eps
    excess = ((actual.double() - expected).abs() / allowed).max().item()
    assert excess <= 1, f"{name}: {excess:.2f} times the tolerance"


@pytest.mark.parametrize("gates", GATES, ids="-".join)
@pytest.mark.parametrize("normalization", EPS)
def test_output_and_gradients_equal_the_definition_with_any_gates(normalization, gates):
    Case(normalization, gates=gates).check()


@pytest.mark.parametrize(("normalization", "feature_map"), MEANINGFUL)
def test_output_and_gradients_equal_the_definition_with_any_feature_map(normalization, feature_map):
    Case(normalization, feature_map, gates=("key", "value")).check()


@pytest.mark.parametrize(
    ("normalization", "feature_map", "dtype"),
    [
        *((*design, torch.bfloat16) for design in MEANINGFUL),
        ("division", "relu", torch.float16),
        ("subtraction", "elu1", torch.float16),
    ],
)
def test_a_16_bit_model_rounds_only_features_and_results(normalization, feature_map, dtype):
    Case(normalization, feature_map, ("key", "mass", "value"), dtype=dtype, tokens=40, size=24).check()


@pytest.mark.parametrize(
    ("normalization", "tokens"),
    [*(("division", tokens) for tokens in (1, 2, 63, 65, 130)), ("subtraction", 1), ("subtraction", 130)],
)
def test_any_length_in_any_number_of_splits_equals_the_definition(normalization, tokens, monkeypatch):
    """65 is one more than a block, 130 are three blocks and, here, three splits of which the last is nearly empty."""
    monkeypatch.setattr(linear, "SPLIT", 64)
    Case(normalization, gates=("key", "value"), tokens=tokens).check()


@pytest.mark.parametrize("size", [1, 7, 24, 48, 96, 128])
def test_any_head_size_equals_the_definition(size):
    Case(
        "division", gates=("key", "value"), size=size, dtype=torch.bfloat16 if size in {7, 96} else torch.float32
    ).check()


@pytest.mark.parametrize("gates", [("key", "value"), ("key", "mass", "value")], ids="-".join)
def test_gates_shared_by_heads_equal_the_definition(gates):
    Case("division", gates=gates, gate_heads=1).check()


def test_gates_of_one_call_may_be_shared_or_not():
    case = Case("subtraction", gates=("key", "mass", "value"))
    case.gates["mass"] = case.gates["mass"][:1].clone()
    case.check()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_epsilons_decide_where_queries_and_keys_are_all_negative(dtype):
    """Head 0 has negative queries, head 1 negative keys, head 2 both."""
    case = Case("division", gates=("key", "value"), size=5, dtype=dtype)
    q, k, _ = case.qkv.view(B, -1, 3, H, 5).unbind(2)
    q[:, :, ::2] = -q[:, :, ::2].abs()
    k[:, :, 1:] = -k[:, :, 1:].abs()
    out, _ = case.kernels()
    expected, _ = case.definition()
    for head in range(H):  # each against its own largest value: head 2's are a millionth of head 0's
        part = slice(5 * head, 5 * head + 5)
        assert_rounded(out[..., part], expected[..., part], dtype, f"head {head}", least=0)
    case.check()


@pytest.mark.parametrize(
    ("dtype", "prefix"), [(torch.float32, 5), (torch.float16, 5), (torch.bfloat16, 0), (torch.bfloat16, 16)]
)
def test_local_is_added_to_the_rounded_output_of_the_last_tokens_and_rounded_again(dtype, prefix):
    case = Case("division", gates=("value",), dtype=dtype)
    local = case.normal(B, 17 - prefix, case.width).to(dtype)
    plain, plain_gradients = case.kernels()
    out, gradients = case.kernels(local)
    assert torch.equal(out, torch.cat([plain[:, :prefix], plain[:, prefix:] + local], 1))
    assert torch.equal(gradients.pop("local"), case.cotangent[:, prefix:])
    assert all(torch.equal(gradients[name], gradient) for name, gradient in plain_gradients.items())


@pytest.mark.parametrize("normalization", EPS)
def test_equal_calls_give_equal_bits_and_a_sample_does_not_see_its_batch(normalization, monkeypatch):
    monkeypatch.setattr(linear, "SPLIT", 32)
    case = Case(normalization, gates=("key", "value"), tokens=70, dtype=torch.bfloat16)
    (out, gradients), (again, gradients_again) = case.kernels(), case.kernels()
    assert torch.equal(out, again)
    assert all(torch.equal(gradients[name], gradients_again[name]) for name in gradients)
    case.qkv, case.cotangent = case.qkv[1:], case.cotangent[1:]
    alone, gradients_alone = case.kernels()
    assert torch.equal(out[1:], alone)
    assert torch.equal(gradients["qkv"][1:], gradients_alone["qkv"])


def test_tensors_that_are_not_contiguous_give_the_same_bits():
    case = Case("division", gates=("key", "value"))
    local = case.normal(B, 11, case.width)
    out, gradients = case.kernels(local)
    case.qkv, case.cotangent, local = (t.mT.contiguous().mT for t in (case.qkv, case.cotangent, local))
    case.gates = {name: gate.T.contiguous().T for name, gate in case.gates.items()}
    strided, strided_gradients = case.kernels(local)
    assert torch.equal(out, strided)
    assert all(torch.equal(gradients[name], strided_gradients[name]) for name in gradients)


@pytest.mark.parametrize("block", range(3), ids=["q", "k", "v"])
def test_a_nan_reaches_the_output(block):
    """A maximum with 0 would make it 0, and a diverged model look whole."""
    case = Case("division")
    case.qkv[0, 3, block * case.width] = torch.nan
    out, _ = case.kernels()
    assert out[0, 3, 0].isnan()
    assert not out[1].isnan().any()


@pytest.mark.parametrize("name", [name for name in ATTENTIONS if name != "attention_softmax"])
def test_the_published_outputs_and_gradients_come_out_of_the_kernels(name, monkeypatch):
    monkeypatch.setattr(linear, "BLOCK", 512)  # the interpreter takes its time by the program
    monkeypatch.setitem(convolution.FORWARD, "BLOCK", 256)
    fixture = load_file(GOLDEN / f"{name}.safetensors")
    grid = "conv" in name
    inputs = load_file(GOLDEN / f"attention_inputs_{'grid' if grid else 'any_length'}.safetensors")
    leaves = {k.removeprefix("param."): v for k, v in fixture.items() if k.startswith("param.")}
    leaves = {k: v.to(DEVICE).requires_grad_() for k, v in leaves.items()}
    x = inputs["input"].to(DEVICE).requires_grad_()
    maps = ("qkv",) if any(k.startswith("qkv.") for k in leaves) else ("q", "kv")
    weight, bias = (torch.cat([leaves[f"{part}.{kind}"] for part in maps]) for kind in ("weight", "bias"))
    gates = {k.removesuffix("_scale"): v[0, ..., 0] for k, v in leaves.items() if k.endswith("_scale")}
    design = {"num_heads": 4, "normalization": ATTENTIONS[name]["normalization"], "feature_map": "relu"}

    local = depthwise_convolution(x, leaves["dw_conv.weight"], leaves["dw_conv.bias"], GRID) if grid else None
    qkv = F.linear(x, weight, bias)
    merged = linear_core(qkv, gates, local, **design, feature_eps=EPS[design["normalization"]])
    output = F.linear(merged, leaves["proj.weight"], leaves["proj.bias"])
    (output * inputs["cotangent"].to(DEVICE)).sum().backward()

    assert_near(output.cpu(), fixture["output"], 1e-5)
    assert_near(x.grad.cpu(), fixture["input_grad"], 1e-4)
    expected = {k.removeprefix("grad."): v for k, v in fixture.items() if k.startswith("grad.")}
    assert expected.keys() == ({} if "epsilon_edge" in name else leaves).keys()
    for key, gradient in expected.items():
        assert_near(leaves[key].grad.cpu(), gradient, 1e-4, key)
    assert set(gates) == {"key", "value"} & {key.removesuffix("_scale") for key in leaves}
    assert ATTENTIONS[name] is not GATED_CONV or set(gates) == {"key", "value"}


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # opcheck's own
def test_the_operators_keep_what_they_promise_the_compiler():
    case = Case("subtraction", gates=("key", "mass", "value"))
    local = case.normal(B, 11, case.width).to(DEVICE).requires_grad_()
    strided = case.qkv.mT.contiguous().mT
    leaves = [t.to(DEVICE).requires_grad_() for t in (strided, *case.gates.values())]
    torch.library.opcheck(linear._core, (*leaves, local, *case.design.values()))
    _, moments = linear._core(*leaves, None, *case.design.values())
    arguments = [t.detach() for t in (case.cotangent.to(DEVICE), leaves[0], moments, *leaves[1:])]
    torch.library.opcheck(linear._core_backward, (*arguments, *case.design.values()))


def test_a_compiled_call_is_one_graph_and_gives_the_same_bits():
    case = Case("division", gates=("key", "value"))
    local = case.normal(B, 11, case.width)
    out, gradients = case.kernels(local)
    compiled = torch.compile(linear_core, fullgraph=True, backend="aot_eager")
    leaves = [t.to(DEVICE).requires_grad_() for t in (case.qkv, *case.gates.values(), local)]
    result = compiled(leaves[0], dict(zip(case.gates, leaves[1:], strict=False)), leaves[-1], **case.design)
    assert torch.equal(result.detach().cpu(), out)
    actual = torch.autograd.grad(result, leaves, case.cotangent.to(DEVICE))
    assert all(torch.equal(a.cpu(), g) for a, g in zip(actual, gradients.values(), strict=True))


def test_a_second_derivative_is_refused():
    case = Case("division")
    qkv = case.qkv.to(DEVICE).requires_grad_()
    out = linear_core(qkv, {}, None, **case.design)
    (gradient,) = torch.autograd.grad(out.square().sum(), qkv, create_graph=True)
    with pytest.raises(RuntimeError, match="linear_core_backward"):
        gradient.sum().backward()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"normalization": "softmax"}, "not softmax of relu"),
        ({"feature_map": "exp"}, "not division of exp"),
        ({"num_heads": 5}, r"5 heads in D, not \(2, 17, 36\)"),
        ({"gates": {"key": torch.ones(2, 17)}}, r"\(3 or 1, 17\), not \(2, 17\)"),
        ({"gates": {"value": torch.ones(3, 16)}}, r"\(3 or 1, 17\), not \(3, 16\)"),
        ({"local": torch.ones(2, 18, 12)}, r"1 to 17, 12\), not torch.float32 of \(2, 18, 12\)"),
        ({"local": torch.ones(2, 3, 12).half()}, r"must be torch.float32 .* not torch.float16"),
        ({"qkv": torch.ones(2, 17, 36).double()}, "the kernels need float32, bfloat16 or float16, not float64"),
        ({"qkv": torch.ones(2, 17, 3 * 3 * 129)}, "the kernels need heads of 1 to 128 channels, not 129"),
    ],
)
def test_what_does_not_fit_is_refused_with_both_numbers(change, message):
    case = Case("division")
    arguments = {"qkv": case.qkv, "gates": {}, "local": None, **case.design} | change
    arguments = {k: v.to(DEVICE) if isinstance(v, Tensor) else v for k, v in arguments.items()}
    with pytest.raises(ValueError, match=message):
        linear_core(**arguments)

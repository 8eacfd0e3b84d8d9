"""How a model computes changes nothing of what it computes: checkpointing, compilation, static shapes, bfloat16."""

import pytest
import torch
from torch._inductor import config as inductor

from lina_lab.config.model import AttentionConfig
from lina_lab.config.settings import ExecutionConfig, SamplingConfig
from lina_lab.errors import LabError
from lina_lab.kernels import linear
from lina_lab.model import sampler
from lina_lab.model.attention import Attention
from lina_lab.model.execution import accelerate, sdpa_backends
from lina_lab.model.lina import Lina
from lina_lab.model.random_streams import sampling_draws, step_streams
from lina_lab.model.sampler import sample, sample_of_draws
from tests.model.test_lina import SAMPLING, TRAINING, awake, batch, generators

DESIGN = {"conv_kernel": 3, "kv_gate": "key_value"}
GUIDED = SAMPLING.model_copy(update={"guidance_scale": 3.0})


def gradients(model: Lina, images: int = 5) -> dict[str, torch.Tensor]:
    model.zero_grad()
    model.loss(batch(images), TRAINING, step_streams(0, 3)).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def saved_bytes(model: Lina) -> int:
    """Of what one loss keeps for its backward pass, weights included, every storage once."""
    storages = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        model.loss(batch(), TRAINING, step_streams(0, 3))
    return sum(storages.values())


@pytest.mark.parametrize("what", ["mlp", "block"])
def test_activation_checkpointing_gives_the_same_gradients_from_less_memory(what):
    plain, other = awake(**DESIGN), awake(**DESIGN)
    accelerate(other, ExecutionConfig(activation_checkpointing=what))
    expected, found = gradients(plain), gradients(other)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], gradient) for name, gradient in expected.items())
    assert other.state_dict().keys() == plain.state_dict().keys()
    assert saved_bytes(other) < {"mlp": 0.9, "block": 0.5}[what] * saved_bytes(plain)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # dynamo looks at it
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@inductor.patch(compile_threads=1)  # a pool of compilers would first import torch in each
def test_compiled_blocks_give_the_same_loss_gradients_and_samples():
    plain, other = awake(**DESIGN), awake(**DESIGN)
    accelerate(other, ExecutionConfig(compile=True))
    expected, found = gradients(plain), gradients(other)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-4 * gradient.abs().max().item())
    labels = torch.arange(2)
    short = SamplingConfig(autoregressive_steps=3, flow_steps=2, guidance_scale=2.0)
    samples = [sample(made, labels, short, generators(2)) for made in (other, plain)]
    torch.testing.assert_close(*samples, rtol=1e-3, atol=1e-4)
    assert other.state_dict().keys() == plain.state_dict().keys()


def test_compilation_without_a_compiler_is_refused_by_name(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(LabError, match=r"execution\.compile needs a C\+\+ compiler"):
        accelerate(awake(), ExecutionConfig(compile=True))


@pytest.mark.parametrize("sampling", [SAMPLING, GUIDED])
def test_static_shapes_give_the_same_samples_and_really_are_static(sampling, monkeypatch):
    made, labels = awake(**DESIGN), torch.arange(3)
    draws = sampling_draws(generators(3), made.tokens, made.values)
    shapes: list[tuple[torch.Size, ...]] = []

    make = sampler._predictor

    def watched(*arguments: object) -> sampler.Predict:
        predict = make(*arguments)

        def call(*inputs: torch.Tensor) -> torch.Tensor:
            shapes.append(tuple(tensor.shape for tensor in inputs))
            return predict(*inputs)

        return call

    monkeypatch.setattr(sampler, "_predictor", watched)
    static = sample_of_draws(made, labels, sampling, *draws, static=True)
    assert len(shapes) == 6
    assert len(set(shapes)) == 1
    # Guidance multiplies the rounding of sums, which is another on every kind of processor.
    torch.testing.assert_close(static, sample_of_draws(made, labels, sampling, *draws), rtol=1e-4, atol=1e-4)


def test_the_conditioning_of_wanted_positions_is_that_of_all():
    designs = DESIGN, {"normalization": "mediator"}, {"normalization": "softmax", "conv_kernel": 5}
    for attention in (*designs, {"sequence_conv": "generated_5", "output_gate": "sigmoid"}):
        made = awake(**attention)
        x = torch.randn(2, 6 + made.tokens, 32, generator=torch.Generator().manual_seed(0))
        wanted = torch.tensor([[3, 0, 24], [7, 8, 1]])
        expected = made.decode(x).gather(1, wanted.unsqueeze(-1).expand(-1, -1, 32))
        torch.testing.assert_close(made.decode(x, wanted), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_a_bfloat16_sample_is_the_float32_sample_to_two_hundredths():
    """Bfloat16 has 8 bits: 0.4 % a rounding. Latents are of order 1."""
    made, labels = awake(**DESIGN), torch.arange(4)
    exact = sample(made, labels, GUIDED, generators(4))
    rounded = sample(made, labels, GUIDED.model_copy(update={"precision": "bf16"}), generators(4))
    assert rounded.dtype == torch.float32
    difference = (rounded - exact).square().mean().sqrt() / exact.square().mean().sqrt()
    assert 0 < difference < 0.02


def test_precision_of_sampling_does_not_depend_on_an_autocast_around_it():
    made, labels = awake(), torch.arange(2)
    plain = sample(made, labels, SamplingConfig(autoregressive_steps=3, flow_steps=2), generators(2))
    with torch.autocast("cpu", torch.bfloat16):
        inside = sample(made, labels, SamplingConfig(autoregressive_steps=3, flow_steps=2), generators(2))
    assert torch.equal(plain, inside)


@pytest.mark.gpu
def test_on_a_gpu_the_graph_gives_the_plain_samples_and_nothing_waits_for_the_device():
    made, labels = awake(**DESIGN).cuda(), torch.arange(3).cuda()
    draws = [tensor.cuda() for tensor in sampling_draws(generators(3), made.tokens, made.values)]
    plain = sample_of_draws(made, labels, GUIDED, *draws, static=False)

    def strict(step: int, steps: int, latent: torch.Tensor) -> None:
        torch.cuda.set_sync_debug_mode("error" if step < steps else "default")

    try:
        graph = sample_of_draws(made, labels, GUIDED, *draws, strict)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(graph, plain, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "attention",
    [
        DESIGN,
        {"normalization": "subtraction", "feature_map": "elu1", "kv_gate": "key_value_split"},
        {"conv_kernel": 5},
        {"memory_groups": 4, "kv_gate": "value", "sequence_conv": "generated_3"},
    ],
)
def test_kernels_give_the_gradients_and_samples_of_plain_torch(attention):
    """Under Triton's interpreter where there is no GPU; the tolerance is the README's."""
    plain, other = awake(**attention), awake(**attention)
    accelerate(plain, ExecutionConfig(attention_backend="torch"))
    accelerate(other, ExecutionConfig(attention_backend="triton"))
    expected, found = (gradients(made, images=2) for made in (plain, other))
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        scale = gradient.abs().max().item()
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-4 * scale, msg=name)
    labels = torch.arange(2)
    short = SamplingConfig(autoregressive_steps=2, flow_steps=2, guidance_scale=2.0)
    samples = [sample(made, labels, short, generators(2)) for made in (plain, other)]
    torch.testing.assert_close(*samples, rtol=1e-3, atol=1e-4)


def test_kernels_that_cannot_run_are_refused_with_the_reason(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(LabError, match=r"execution\.attention_backend triton needs an NVIDIA GPU, not cpu; auto"):
        accelerate(awake(), ExecutionConfig(attention_backend="triton"))
    accelerate(awake(), ExecutionConfig(attention_backend="auto"))


def test_auto_never_takes_the_interpreter(monkeypatch):
    made = awake(**DESIGN)
    monkeypatch.setattr(linear, "linear_core", None)
    made.loss(batch(), TRAINING, step_streams(0, 3))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_softmax_backend_of_a_record_is_the_one_that_runs(precision):
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    attention = Attention(AttentionConfig(normalization="softmax"), 32, 2, None).to(dtype)
    with torch.profiler.profile() as profile:
        attention(torch.randn(1, 16, 32, dtype=dtype))
    (ran,) = {e.name for e in profile.events() if e.name.startswith("aten::_scaled_dot_product")}
    assert ran.removeprefix("aten::_scaled_dot_product_").startswith(sdpa_backends(attention, precision, grad=False))
    assert sdpa_backends(Attention(AttentionConfig(), 32, 2, None), precision, grad=True) == ""

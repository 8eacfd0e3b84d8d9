"""Closed forms against the published counts, and against the model that is built."""

import itertools
import math

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from lina_lab import cost
from lina_lab.config.data import PUBLISHED_DATA, DataShape
from lina_lab.config.experiment import Experiment, set_path
from lina_lab.config.model import AttentionConfig, ModelConfig
from lina_lab.config.schedule import count_schedule, flow_schedule
from lina_lab.config.variants import VARIANTS
from lina_lab.model.attention import Attention, Layout
from lina_lab.model.lina import Lina
from lina_lab.model.random_streams import step_streams, training_draws
from lina_lab.model.sampler import sample
from lina_lab.profiling.counting import ALL, counted_macs
from tests.model.pairs import PAIRS


def published(size: str, attention: dict) -> ModelConfig:
    return ModelConfig.model_validate({"size": size, "patch": 1, "context_tokens": 64, "attention": attention})


@pytest.mark.parametrize(("size", "width"), [("B", 768), ("L", 1024), ("H", 1536)])
@pytest.mark.parametrize("normalization", ["division", "subtraction", "softmax"])
def test_the_total_of_a_plain_model_is_the_closed_form(size, width, normalization):
    count = cost.parameters(published(size, {"normalization": normalization}), PUBLISHED_DATA)
    assert count.total == 612 * width**2 + 2312 * width + 16
    assert count.frozen == width**2 + 327 * width


SMALL = [
    {
        "patch": patch,
        "context_tokens": context,
        "attention": {"conv_kernel": kernel, "kv_gate": gate, "kv_gate_heads": h},
    }
    for (patch, context), kernel, (gate, h) in itertools.product(
        [(1, 9), (2, 5), (4, 1)], [0, 7], [("none", "per_head"), ("key_value_split", "per_head"), ("value", "shared")]
    )
]


@pytest.mark.parametrize("values", SMALL)
def test_the_built_model_has_these_parameters_part_by_part(values):
    config = ModelConfig.model_validate({"size": "nano", "head_width": 24, "mlp_ratio": 3} | values)
    data = DataShape(3, 12, 7)
    with torch.device("meta"):
        model = Lina(config, data)
    count = cost.parameters(config, data)
    assert count.total == sum(p.numel() for p in model.parameters())
    assert count.trainable == sum(p.numel() for p in model.parameters() if p.requires_grad)
    for part, modules in {"context": ("context", "context_norm"), "decoder": ("decoder", "image_norm")}.items():
        assert count.parts[part] == sum(p.numel() for m in modules for p in getattr(model, m).parameters())
    for part in ("label", "encoder", "head", "context_patch"):
        assert count.parts[part] == sum(p.numel() for p in getattr(model, part).parameters())


def test_one_attention_module_costs_what_was_published():
    linear = AttentionConfig(conv_kernel=5, kv_gate="key_value")
    softmax = AttentionConfig(normalization="softmax")
    assert cost.attention_macs(linear, 1536, 16, 5120, 4096) == 49_993_482_240
    assert cost.attention_macs(softmax, 1536, 16, 5120, 4096) == 128_849_018_880


@pytest.mark.parametrize("config", PAIRS)
def test_one_attention_module_has_these_parameters(config):
    module = Attention(config, 24, 3, Layout(2, 5, 7))
    assert cost.attention_parameters(config, 24, 3, 37) == sum(p.numel() for p in module.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("config", PAIRS)
def test_torch_counts_the_multiply_adds_of_one_attention_module_and_of_some_rows_of_it(config):
    """On 90 tokens there are fewer mediators than tokens; a fixed convolution along the sequence has 11 of them."""

    def counted(rows: torch.Tensor | None) -> float:
        def build():
            module, x = Attention(config, 24, 3, Layout(10, 8, 10), 11), torch.empty(2, 90, 24)
            return lambda: module(x, rows=rows)

        return counted_macs(build)[ALL]

    assert counted(None) == 2 * cost.attention_macs(config, 24, 3, 90, 80, context=11)
    rows = torch.tensor([[10, 20, 89], [15, 14, 13]])
    assert counted(rows) == 2 * cost.attention_macs(config, 24, 3, 90, 80, rows=3, context=11)


def test_one_attention_module_moves_at_least_these_tensors():
    """Every tensor by its shape, as it is read and written: B 2, N 37 (2 + 5 x 7), D 24, H 3."""
    x, grid, weights = (2, 37, 24), (2, 35, 24), 4 * 24**2 + 4 * 24 + (3**2 + 1) * 24 + 2 * 3 * 37
    qkv = [x, x, x]
    forward = [x, *qkv, *qkv, x, grid, x, x]  # in; q, k, v out and in; merged out; grid in; merged in; out
    backward = [x, x, x]  # in: the output's gradient, merged, x
    backward += [x, x, *qkv, *qkv, *qkv]  # merged's gradient out and in; q, k, v in, their gradients out and in
    backward += [grid, grid, x]  # the convolution's gradient and input in; the input's gradient out
    config = AttentionConfig(conv_kernel=3, kv_gate="key_value")
    moved = cost.attention_bytes(config, 24, 3, 37, 35, 2, 4)
    assert moved.forward == 4 * (weights + sum(map(math.prod, forward)))
    assert moved.backward == 4 * (2 * weights + sum(map(math.prod, backward)))
    plain, half = (cost.attention_bytes(AttentionConfig(), 24, 3, 37, 35, 2, size) for size in (4, 2))
    assert plain.forward == 2 * half.forward == 4 * (4 * 24**2 + 4 * 24 + 10 * 2 * 37 * 24)


def test_what_gates_and_convolutions_move_beside_is_these_tensors():
    """B 2, N 37 (2 + 5 x 7), D 24, H 3: what each adds to the tensors of a module without it, weights left out."""
    x, front, heads = 2 * 37 * 24, 2 * 2 * 24, 2 * 37 * 3

    def moved(**values: object) -> tuple[float, float]:
        config = AttentionConfig.model_validate(values)
        weights = cost.attention_parameters(config, 24, 3, 37)
        found = cost.attention_bytes(config, 24, 3, 37, 35, 2, 4)
        return found.forward / 4 - weights, found.backward / 4 - 2 * weights

    plain = moved()
    for values, forward, backward in (
        ({"output_gate": "sigmoid"}, 2 * x, 3 * x),  # the gate out and in; in, its gradient out and in
        ({"kv_gate": "key_value_data"}, 2 * 2 * heads, 3 * 2 * heads),  # the same, of two gates
        ({"sequence_conv": "fixed_5"}, front, 2 * front),  # the input in; its input and its gradient in
        ({"sequence_conv": "generated_5"}, 0, 0),  # of v, which is there
        ({"memory_groups": 4}, 0, 0),
        ({"normalization": "mediator"}, 0, 0),
    ):
        assert moved(**values) == (plain[0] + forward, plain[1] + backward), values


@pytest.mark.slow
def test_training_flops_are_what_the_flop_counter_counts():
    """The counter misses SDPA on CPU, so the linear forms; at a batch with the expected number of visible tokens."""
    experiment = Experiment.model_validate(
        {
            "name": "x",
            "model": {"size": "micro", "patch": 1, "context_tokens": 9, "attention": {"conv_kernel": 3}},
            "training": {"steps": 1, "batch_size": 4, "learning_rate": 1e-3},
        }
    )
    model = Lina(experiment.model, experiment.data.shape, 0)
    draws = training_draws(experiment.training, 4, model.tokens, model.values, step_streams(0, 0))
    images, labels = torch.zeros(4, 1, 8, 8), torch.zeros(4, dtype=torch.long)
    counts = {}
    for visible in (8, 9):
        with FlopCounterMode(display=False) as counter:
            model.loss_of_draws(images, labels, draws._replace(num_visible=visible))
        counts[visible] = counter.get_total_flops()
    mean = cost.mean_visible(64)
    assert 8 < mean < 9
    expected = counts[8] + (mean - 8) * (counts[9] - counts[8])
    # Beside this there is only the constant offset of the context queries, a few vectors times matrices.
    offset = 2 * (256 * 64 + 64 * 64)
    assert cost.forward_macs(experiment) * 2 * 4 == pytest.approx(expected - offset, rel=1e-3)
    assert cost.training_flops(experiment) == pytest.approx(3 * 4 * 2 * cost.forward_macs(experiment))


@pytest.mark.slow
def test_sampling_flops_are_what_the_flop_counter_counts():
    values = {
        "name": "x",
        "model": {"size": "micro", "patch": 1, "context_tokens": 9, "attention": {"conv_kernel": 3}},
        "training": {"steps": 1, "batch_size": 4, "learning_rate": 1e-3},
        "sampling": {"autoregressive_steps": 7, "flow_steps": 3, "guidance_scale": 2.0},
    }
    experiment = Experiment.model_validate(values)
    model = Lina(experiment.model, experiment.data.shape, 0)
    with FlopCounterMode(display=False) as counter:
        sample(model, torch.arange(5), experiment.sampling, [torch.Generator().manual_seed(i) for i in range(5)])
    times = 2 * 3 * (256 * 64 + 64 * 64)  # the flow steps' times, once for the batch
    offset = 2 * (256 * 64 + 64 * 64)
    assert 5 * cost.sampling_flops(experiment) == pytest.approx(counter.get_total_flops() - times - offset, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "variant",
    ["linear3", "linear4", "linear7", "decouple2", "decouple5", "decouple8", "kvscale6", "disa", "hybrid"],
)
def test_flops_of_a_variant_are_what_the_flop_counter_counts(variant):
    """One training forward with 9 visible tokens, and one sample with guidance, of a small model."""
    values = {"name": "x", "model": {"size": "nano", "patch": 1, "context_tokens": 9}, "seed": 0}
    values["training"] = {"steps": 1, "batch_size": 2, "learning_rate": 1e-3}
    values["sampling"] = {"autoregressive_steps": 3, "flow_steps": 6, "guidance_scale": 2.0}
    changes = VARIANTS["kvscale1"] | {"model.softmax_every": 3} if variant == "hybrid" else VARIANTS[variant]
    for path, value in changes.items():
        values = set_path(values, path, value)
    experiment = Experiment.model_validate(values)
    model, query = experiment.model, cost.query_macs(experiment.model)
    draws = training_draws(experiment.training, 2, 64, 1, step_streams(0, 0))._replace(num_visible=9)
    labels, generators = torch.arange(2), [torch.Generator().manual_seed(i) for i in range(2)]

    def training():
        lina, images = Lina(model, experiment.data.shape), torch.empty(2, 1, 8, 8)
        return lambda: lina.loss_of_draws(images, labels, draws)

    def sampling():
        lina = Lina(model, experiment.data.shape)
        return lambda: sample(lina, labels, experiment.sampling, generators)

    assert counted_macs(training)[ALL] == pytest.approx(2 * cost.forward_macs(experiment, 9) + query, rel=1e-9)
    # Beside this there are the times of the flow steps, once for each number of them.
    steps = set(flow_schedule(6, experiment.sampling.flow_steps_last, len(count_schedule(64, 3))))
    times = sum(steps) * (256 * 32 + 32 * 32)
    expected = cost.sampling_flops(experiment) + times + query  # two images, 2 FLOPs a multiply-add
    assert counted_macs(sampling)[ALL] == pytest.approx(expected, rel=1e-9)


def test_the_mean_number_of_visible_tokens_is_the_simulated_one():
    """Mask ratio 0.867 in the mean: 34 of 256 tokens are visible."""
    assert cost.mean_visible(256) == pytest.approx(256 * (1 - 0.867), abs=0.2)

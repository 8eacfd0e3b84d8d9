"""The whole model: properties that hold for any weights."""

import itertools

import pytest
import torch

from lina_lab.config.data import DataShape
from lina_lab.config.layout import near_square
from lina_lab.config.model import ModelConfig
from lina_lab.config.settings import SamplingConfig, TrainingConfig
from lina_lab.model.blocks import sincos_table
from lina_lab.model.lina import Lina
from lina_lab.model.random_streams import sampling_draws, step_streams, stream, training_draws
from lina_lab.model.sampler import sample

DATA = DataShape(channels=3, side=10, num_classes=7)
TRAINING = TrainingConfig(steps=1, batch_size=5, learning_rate=1e-3)
SAMPLING = SamplingConfig(autoregressive_steps=6, flow_steps=3)


def model(seed: int = 0, *, patch: int = 2, context_tokens: int = 6, **attention: object) -> Lina:
    config = ModelConfig.model_validate(
        {"size": "nano", "patch": patch, "context_tokens": context_tokens, "attention": attention}
    )
    return Lina(config, DATA, seed)


def awake(seed: int = 0, **values: object) -> Lina:
    """A model whose zero-initialised parts are not zero, as after some training."""
    made = model(seed, **values)
    generator = stream(seed, "awake")
    for parameter in made.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, 0, 0.3, generator=generator)
    return made


def batch(count: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = stream(3, "data")
    return torch.randn(count, 3, 10, 10, generator=generator), torch.randint(0, 7, (count,), generator=generator)


def generators(count: int, seed: int = 0) -> list[torch.Generator]:
    return [stream(seed, "sample", i) for i in range(count)]


def test_a_fresh_model_predicts_zero_velocity_so_its_loss_is_that_of_the_target():
    """1 + mean(x0²) over masked tokens; the draws are the test's own."""
    made, (latent, labels) = model(), batch()
    draws = training_draws(TRAINING, 5, made.tokens, made.values, step_streams(0, 0))
    masked = draws.order[:, draws.num_visible :].repeat(4, 1).unsqueeze(-1).expand(-1, -1, 12)
    target = draws.noise.gather(1, masked) - made.patchify(latent).repeat(4, 1, 1).gather(1, masked)
    loss = made.loss((latent, labels), TRAINING, step_streams(0, 0))
    torch.testing.assert_close(loss, target.square().mean(), rtol=1e-5, atol=0)


def test_at_the_start_only_the_output_layer_moves():
    made = model()
    made.loss(batch(), TRAINING, step_streams(0, 0)).backward()
    moved = {name for name, p in made.named_parameters() if p.grad is not None and p.grad.any()}
    assert moved == {"head.out.weight", "head.out.bias"}


@pytest.mark.parametrize(
    "attention",
    [
        {},
        {"normalization": "softmax"},
        {"conv_kernel": 3, "kv_gate": "key_value_split", "normalization": "subtraction"},
    ],
)
def test_a_gradient_reaches_every_trainable_parameter(attention):
    made = awake(**attention)
    step = 3  # of its 25 tokens some are visible
    made.loss(batch(), TRAINING, step_streams(0, step)).backward()
    still = {name for name, p in made.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())}
    assert not still
    frozen = {name.rsplit(".", 1)[0] for name, p in made.named_parameters() if not p.requires_grad}
    assert frozen == {"label.norm", "queries.time1", "queries.time2", "queries.norm", "context_patch"}


def test_the_loss_does_not_see_masked_latents_except_as_targets():
    """Conditioning depends on visible tokens alone."""
    made, (latent, labels) = awake(), batch()
    order = training_draws(TRAINING, 5, made.tokens, made.values, step_streams(0, 2)).order
    visible = order[:, :4]
    tokens = made.patch(made.patchify(latent))
    known = torch.zeros_like(order).scatter(1, visible, 1).bool()
    probe = torch.where(known.unsqueeze(-1), tokens, made.mask_token).detach().requires_grad_()
    made.condition(probe, made.context_tokens(labels), visible).sum().backward()
    assert probe.grad.abs().sum(-1)[known].all()

    changed = latent.clone()
    position = order[0, -1].item()
    row, column = divmod(position, 5)
    changed[0, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2] += 1
    moved = torch.where(known.unsqueeze(-1), made.patch(made.patchify(changed)), made.mask_token)
    assert torch.equal(moved, probe)


def test_the_order_of_the_visible_tokens_does_not_matter():
    made, (latent, labels) = awake(conv_kernel=5, kv_gate="key_value"), batch()
    visible = torch.rand(5, made.tokens, generator=stream(0, "v")).argsort(1)[:, :9]
    tokens, context = made.patch(made.patchify(latent)), made.context_tokens(labels)
    torch.testing.assert_close(
        made.condition(tokens, context, visible),
        made.condition(tokens, context, visible.flip(1)),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("name", ["loss", "sample"])
def test_the_global_seed_changes_nothing(name):
    made = awake()
    results = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        if name == "loss":
            results.append(made.loss(batch(), TRAINING, step_streams(0, 0)))
        else:
            results.append(sample(made, torch.arange(3), SAMPLING, generators(3)))
    assert torch.equal(*results)


def test_designs_that_share_a_seed_share_draws_and_initial_weights():
    plain, other = model(), model(normalization="subtraction", conv_kernel=5, kv_gate="key")
    weights = dict(other.named_parameters())
    assert all(torch.equal(p, weights[name]) for name, p in plain.named_parameters())
    draws = [training_draws(TRAINING, 5, m.tokens, m.values, step_streams(0, 7)) for m in (plain, other)]
    assert torch.equal(draws[0].noise, draws[1].noise)
    assert torch.equal(draws[0].order, draws[1].order)


def test_an_image_does_not_depend_on_the_batch_it_is_sampled_in():
    made, labels = awake(), torch.arange(4)
    together = sample(made, labels, SAMPLING, generators(4))
    alone = sample(made, labels[2:3], SAMPLING, generators(4)[2:3])
    torch.testing.assert_close(together[2:3], alone, rtol=1e-4, atol=1e-5)


def test_guidance_at_one_is_no_guidance_and_above_one_moves_away_from_no_class():
    made, labels = awake(), torch.arange(4)
    plain, one, two = (
        sample(made, labels, SAMPLING.model_copy(update={"guidance_scale": g, "guidance_min": m}), generators(4))
        for g, m in ((1.0, 1.0), (1.0 + 1e-7, 1.0), (3.0, 1.0))
    )
    torch.testing.assert_close(plain, one, rtol=1e-3, atol=1e-4)
    assert (plain - two).abs().max() > 1e-2


def test_guidance_below_one_at_the_start_of_the_ramp_works():
    sampling = SAMPLING.model_copy(update={"guidance_scale": 2.0, "guidance_min": 0.5})
    assert torch.isfinite(sample(awake(), torch.arange(2), sampling, generators(2))).all()


def test_sampling_reports_every_step():
    seen = []
    made = model()
    sample(made, torch.arange(2), SAMPLING, generators(2), lambda step, steps, latent: seen.append((step, steps)))
    assert seen == [(i, 6) for i in range(1, 7)]


@pytest.mark.parametrize("autocast", [False, True])
def test_a_sample_of_a_fresh_model_is_its_noise(autocast):
    """Velocity 0 leaves the noise where it is: every position is predicted once, from its own noise."""
    made = model()
    _, noise = sampling_draws(generators(3), made.tokens, made.values)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        latent = sample(made, torch.arange(3), SAMPLING, generators(3))
    torch.testing.assert_close(made.patchify(latent), noise)


def test_patches_come_back():
    latent = batch()[0]
    made = model(patch=5)
    assert torch.equal(made.unpatchify(made.patchify(latent)), latent)
    assert made.patchify(latent).shape == (5, 4, 75)


@pytest.mark.slow
def test_mask_ratio_has_the_published_mean_and_spread():
    """Normal(1, 0.25) cut to [0.7, 1]: mean 0.867, deviation 0.084, no visible token in 0.8 % of draws."""
    visible = torch.tensor(
        [training_draws(TRAINING, 1, 256, 1, step_streams(0, step)).num_visible for step in range(4000)]
    ).double()
    ratio = 1 - visible / 256
    assert ratio.mean().item() == pytest.approx(0.867, abs=4 * 0.084 / 4000**0.5)
    assert ratio.std().item() == pytest.approx(0.084, abs=0.005)
    assert 0 <= visible.min() < visible.max() <= 77
    assert (visible == 0).double().mean().item() == pytest.approx(0.008, abs=0.006)


def test_streams_of_different_purposes_and_steps_differ_and_repeat():
    draws = [torch.rand(4, generator=stream(*name)) for name in itertools.product((0, 1), ("noise", "mask"), (0, 1))]
    assert len({tuple(draw.tolist()) for draw in draws}) == 8
    assert torch.equal(torch.rand(4, generator=stream(0, "noise", 5)), torch.rand(4, generator=stream(0, "noise", 5)))


@pytest.mark.parametrize(("count", "factors"), [(64, (8, 8)), (6, (2, 3)), (5, (1, 5)), (1, (1, 1)), (12, (3, 4))])
def test_context_tokens_lie_on_the_grid_that_is_nearest_to_a_square(count, factors):
    assert near_square(count) == factors


def test_position_table_needs_a_multiple_of_four_channels():
    with pytest.raises(ValueError, match="multiple of 4, not 30"):
        sincos_table(3, 5, 30)


def test_softmax_in_one_segment_alone_is_a_value():
    config = ModelConfig.model_validate(
        {"size": "nano", "patch": 2, "context_tokens": 4, "encoder": {"normalization": "softmax"}}
    )
    assert [getattr(config, s).normalization for s in ("context", "encoder", "decoder")] == [
        "division",
        "softmax",
        "division",
    ]
    made = Lina(config, DATA, 0)
    assert torch.isfinite(made.loss(batch(), TRAINING, step_streams(0, 0)))

"""Every published variant: its exact parameters, and that it trains and samples whole."""

from typing import Any

import pytest
import torch

from lina_lab import cost
from lina_lab.config.data import PUBLISHED_DATA, DataShape, TextShape
from lina_lab.config.experiment import Experiment, set_path
from lina_lab.config.model import SOFTMAX, ModelConfig
from lina_lab.config.variants import VARIANTS
from lina_lab.model.lina import Lina
from lina_lab.model.random_streams import sampling_draws, step_streams, stream
from lina_lab.model.sampler import sample_of_draws
from lina_lab.training.module import parameter_groups
from tests.model import cuda_stand_in
from tests.model.test_lina import DATA, TRAINING, batch, generators

BASE = (361_906_960, 642_712_592, 1_444_578_832)
PUBLISHED = {
    **dict.fromkeys(("softmax", "linear3", "linear6", "linear7", "linear9", "analysis1", "analysis2"), BASE),
    "linear4": (390_292_240, 693_142_544, 1_557_972_496),
    "linear8": (376_283_920, 661_881_872, 1_487_488_528),
    **dict.fromkeys(("decouple1", "decouple10", "disa"), (362_226_448, 643_138_576, 1_445_217_808)),
    "decouple2": (371_811_088, 655_918_096, 1_473_824_272),
    "decouple3": (368_419_600, 651_396_112, 1_463_895_568),
    "decouple4": (379_478_800, 666_141_712, 1_497_024_016),
    "decouple5": (392_258_320, 683_181_072, 1_535_165_968),
    "decouple8": (362_128_144, 643_007_504, 1_445_021_200),
    "decouple9": (362_447_632, 643_433_488, 1_445_660_176),
    "kvscale1": (362_349_328, 643_302_416, 1_445_381_648),
    "kvscale2": (362_236_688, 643_148_816, 1_445_228_048),
    **dict.fromkeys(("kvscale3", "kvscale4"), (362_287_888, 643_220_496, 1_445_299_728)),
    "kvscale5": (362_410_768, 643_384_336, 1_445_463_568),
    "kvscale6": (362_521_744, 643_663_376, 1_446_004_752),
    "mem1": (362_227_216, 643_139_600, 1_445_218_832),
}
"""Trainable parameters of the class-conditional models at widths 768, 1024 and 1536, as they were logged."""
PHI2 = DataShape(channels=4, side=32, num_classes=1, text=TextShape(tokens=256, features=2560, vocabulary=0))
"""Of the models from text: 256 px latents, and the features of the published text encoder."""


def sized(variant: str, size: str, **values: Any) -> ModelConfig:
    resolved: dict[str, Any] = {"model": {"size": size, **values}}
    for path, value in VARIANTS[variant].items():
        resolved = set_path(resolved, path, value)
    return ModelConfig.model_validate(resolved["model"])


def built(config: ModelConfig, data: DataShape) -> Lina:
    with torch.device("meta"):
        return Lina(config, data)


@pytest.mark.slow
@pytest.mark.parametrize("variant", PUBLISHED)
def test_trainable_parameters_are_the_published_ones_to_the_last_digit(variant):
    """In closed form at every width, and of the model itself at one."""
    for size, count in zip("BLH", PUBLISHED[variant], strict=True):
        assert cost.parameters(sized(variant, size, context_tokens=64), PUBLISHED_DATA).trainable == count, size
    model = built(sized(variant, "B", context_tokens=64), PUBLISHED_DATA)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == PUBLISHED[variant][0]


@pytest.mark.parametrize("variant", sorted(set(VARIANTS) - set(PUBLISHED) - {"hybrid1"}))
def test_every_other_variant_was_published_from_text(variant):
    """tri: a convolution and two gates along 256 + 64 tokens in each block of the context stack as well."""
    assert variant == "tri"
    model = sized(variant, "H", context_tokens=64, patch=2)
    assert cost.parameters(model, PHI2).trainable == 1_448_580_624
    assert sum(p.numel() for p in built(model, PHI2).parameters() if p.requires_grad) == 1_448_580_624


def test_a_hybrid_has_what_the_published_one_has_but_for_the_length_of_its_gates():
    """14 blocks with a convolution and gates; the published one has gates for 1,024 positions, of which it uses 320."""
    D, H, base, hybrid = 1536, 16, 1_446_974_992, 1_447_992_848
    assert base + 14 * (26 * D + 2 * 1024 * H) == hybrid
    model = sized("hybrid1", "H", context_tokens=64, patch=2)
    assert cost.parameters(model, PHI2).trainable == base + 14 * (26 * D + 2 * 320 * H)


def test_the_softmax_blocks_of_a_hybrid_are_the_published_ones():
    """Blocks 7, 15, 23 and 31 of encoder and decoder, counted as one stack, and 7 and 15 of the context stack."""
    model = built(sized("hybrid1", "B", context_tokens=64), PUBLISHED_DATA)
    stacks = ("context", model.context), ("image", [*model.encoder, *model.decoder])
    found = {name: [i for i, b in enumerate(blocks) if b.attention.config == SOFTMAX] for name, blocks in stacks}
    assert found == {"context": [7, 15], "image": [7, 15, 23, 31]}
    for block in (model.decoder[7], model.decoder[15]):
        assert not block.attention.gates
        assert block.attention.conv is None
    assert len(model.decoder[6].attention.gates) == 2


@pytest.mark.parametrize(("size", "width"), [("B", 768), ("L", 1024), ("H", 1536)])
def test_rotary_positions_lack_the_frozen_time_embedding_alone(size, width):
    table, rotary = (cost.parameters(sized(v, size, context_tokens=64), PUBLISHED_DATA) for v in ("linear6", "linear3"))
    assert table.total - rotary.total == table.frozen - rotary.frozen == width**2 + 260 * width
    model = built(sized("linear3", size, context_tokens=64), PUBLISHED_DATA)
    assert sum(p.numel() for p in model.parameters()) == rotary.total


def fresh(variant: str) -> Lina:
    return Lina(sized(variant, "nano", patch=2, context_tokens=6), DATA, 0)


def awake(variant: str) -> Lina:
    """A small model of a variant, in which nothing that starts at 0 is 0."""
    made = fresh(variant)
    generator = stream(0, "awake")
    for parameter in made.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, 0, 0.3, generator=generator)
    return made


NANO = [*sorted(set(VARIANTS) - {"hybrid1"}), "hybrid"]


@pytest.fixture(autouse=True)
def hybrid(monkeypatch):
    """Every third block: of two and four, one of encoder and decoder, and none of the context stack."""
    monkeypatch.setitem(VARIANTS, "hybrid", VARIANTS["hybrid1"] | {"model.softmax_every": 3})


@pytest.mark.slow
@pytest.mark.parametrize("variant", NANO)
def test_a_variant_trains_every_parameter(variant):
    made = awake(variant)
    made.loss(batch(), TRAINING, step_streams(0, 3)).backward()
    still = {name for name, p in made.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())}
    # What the last block makes of context tokens is dropped: there a convolution of them alone is for nothing, as
    # published.
    unread = {f"decoder.1.attention.sequence_conv.{part}" for part in ("weight", "bias")}
    assert still == (unread if variant in {"decouple8", "decouple9"} else set())
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in made.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("variant", NANO)
def test_a_variant_samples_the_same_with_static_shapes(variant, monkeypatch):
    """Its last block computes the wanted tokens alone, and more of them where all sets are as wide as the widest."""
    made, labels = awake(variant), torch.arange(3)
    values = {"sampling.autoregressive_steps": 5, "sampling.flow_steps": 4, "sampling.guidance_scale": 2.0}
    few = {"sampling.flow_steps_last": 2} if variant == "disa" else {}
    resolved: dict[str, Any] = {"name": "x", "model": {"size": "nano", "patch": 2}}
    resolved["training"] = TRAINING.model_dump()
    for path, value in (values | few).items():
        resolved = set_path(resolved, path, value)
    sampling = Experiment.model_validate(resolved).sampling
    draws = sampling_draws(generators(3), made.tokens, made.values)
    graphs = cuda_stand_in.install(monkeypatch)
    static = sample_of_draws(made, labels, sampling, *draws, static=True, graph=True)
    torch.testing.assert_close(static, sample_of_draws(made, labels, sampling, *draws), rtol=1e-4, atol=1e-5)
    assert len(graphs) == (3 if few else 1)  # 4, 3, 3, 2, 2 Euler steps: one for each number


@pytest.mark.parametrize("variant", ["linear3", "linear4"])
def test_with_rotary_positions_the_order_of_visible_tokens_means_nothing_but_their_place_does(variant):
    made, (latent, labels) = awake(variant), batch()
    visible = torch.rand(5, made.tokens, generator=stream(0, "v")).argsort(1)[:, :9]
    tokens, context = made.patch(made.patchify(latent)), made.context_tokens(labels)
    here = made.condition(tokens, context, visible)
    torch.testing.assert_close(here, made.condition(tokens, context, visible.flip(1)), rtol=1e-4, atol=1e-5)
    moved = made.encode(tokens.roll(1, 1), context, (visible + 1) % made.tokens)  # the same tokens, one place further
    assert (made.encode(tokens, context, visible)[:, :6] - moved[:, :6]).abs().max() > 1e-3


def test_each_visible_token_turns_by_its_own_place_and_context_in_front_by_none():
    """With all tokens visible, in any order, the encoder's sequence is the grid that the decoder has."""
    made = awake("linear3")
    tokens, context = (torch.randn(2, n, 32, generator=stream(0, n)) for n in (25, 6))
    order = torch.rand(2, 25, generator=stream(0, "order")).argsort(1)
    expected = made.encoder(torch.cat([context, tokens], dim=1), turns=made.turns)
    torch.testing.assert_close(made.encode(tokens, context, order), expected, rtol=1e-4, atol=1e-5)
    cosine, sine = made.turns
    assert torch.equal(cosine[:7], torch.ones(7, 8))  # the context, and the grid's first token at (0, 0)
    assert not sine[:7].any()
    assert sine[7].any()


def test_rotary_tells_context_tokens_apart_and_without_positions_they_would_be_one():
    made = awake("linear3")
    context = made.context_tokens(torch.arange(2))
    assert (context[:, 0] - context[:, 1]).abs().max() > 1e-3
    assert torch.equal(made.queries()[0], made.queries()[5])
    made.context_turns = None
    context = made.context_tokens(torch.arange(2))
    torch.testing.assert_close(context[:, 0], context[:, 5])


def test_gates_and_the_weight_of_the_output_norm_decay_and_layer_norms_do_not():
    for variant, names in (
        ("linear4", ["output_gate.weight", "output_gate.gate.weight", "output_gate.gate.bias"]),
        ("mem1", ["groups.logits"]),
        ("kvscale6", ["gates.key.weight", "gates.value.bias"]),
        ("decouple5", ["conv.generator.fc2.bias"]),
    ):
        made = awake(variant)
        decayed = {id(p) for p in parameter_groups(made, TRAINING)[0]["params"]}
        attention = dict(made.decoder[1].attention.named_parameters())
        assert all(id(attention[name]) in decayed for name in names)


def test_a_fresh_model_starts_its_gates_where_they_change_nothing():
    mem1, linear4, decouple5, decouple8 = (
        fresh(v).decoder[0].attention for v in ("mem1", "linear4", "decouple5", "decouple8")
    )
    assert not mem1.groups.logits.any()
    assert torch.equal(linear4.output_gate.weight, torch.ones(32))
    bounds = {
        linear4.output_gate.gate.weight: 32,
        decouple5.conv.generator.fc1.weight: 16,  # of a head
        decouple5.conv.generator.fc2.bias: 16,
        decouple8.sequence_conv.weight: 5,
        decouple8.sequence_conv.bias: 5,
    }
    for parameter, fan_in in bounds.items():
        assert 0.7 * fan_in**-0.5 < parameter.abs().max() <= fan_in**-0.5


@pytest.mark.slow
@pytest.mark.parametrize("variant", NANO)
def test_the_initial_weights_of_a_variant_are_the_seeds_alone(variant):
    made = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        made.append(fresh(variant).state_dict())
    assert all(torch.equal(tensor, made[1][name]) for name, tensor in made[0].items())


@pytest.mark.slow
def test_variants_share_the_initial_weights_of_what_they_share():
    plain = dict(fresh("linear6").named_parameters())
    for variant in NANO:
        other = dict(fresh(variant).named_parameters())
        shared = plain.keys() & other.keys()
        assert len(shared) >= len(plain) - 6  # rotary has no time embedding
        assert all(torch.equal(plain[name], other[name]) for name in shared)

"""Prompts in the place of labels: published counts, the fixed rows, and what a word reaches."""

import pytest
import torch

from lina_lab import cost
from lina_lab.config.data import DataShape, TextShape
from lina_lab.config.model import ModelConfig
from lina_lab.model.lina import Lina
from lina_lab.model.prompts import TextEmbedding
from lina_lab.model.random_streams import step_streams, training_draws
from lina_lab.model.sampler import sample
from tests.model.test_lina import SAMPLING, TRAINING, generators

WORDS = TextShape(tokens=4, features=5, vocabulary=11)
FEATURES = WORDS._replace(vocabulary=0)


def model(text: TextShape, **attention: object) -> Lina:
    config = ModelConfig.model_validate({"size": "nano", "patch": 2, "context_tokens": 6, "attention": attention})
    made = Lina(config, DataShape(3, 10, 7, text), 0)
    for parameter in made.parameters():
        if parameter.requires_grad and not parameter.any():
            torch.nn.init.normal_(parameter, 0, 0.3, generator=torch.Generator().manual_seed(1))
    return made


PROMPTS = {
    WORDS: torch.tensor([[3, 1, 0, 0], [11, 2, 2, 5], [0, 0, 0, 0]]),
    FEATURES: torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(2))
    * torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]]).unsqueeze(-1),
}


# Trainable parameters of the published text-to-image models of width 1536 with 256 tokens of 2560 features.
@pytest.mark.parametrize(
    ("attention", "side", "context", "trainable"),
    [
        ({"normalization": "softmax"}, 32, 64, 1_446_974_992),
        ({"conv_kernel": 5, "kv_gate": "key_value"}, 32, 64, 1_447_777_808),
        ({"conv_kernel": 5, "kv_gate": "key_value"}, 64, 256, 1_448_269_328),
        ({"conv_kernel": 5, "kv_gate": "key_value"}, 128, 1024, 1_450_235_408),
    ],
)
def test_parameters_are_those_of_the_published_text_models(attention, side, context, trainable):
    config = ModelConfig.model_validate({"size": "H", "patch": 2, "context_tokens": context, "attention": attention})
    data = DataShape(4, side, 1000, TextShape(256, 2560, 0))
    assert cost.parameters(config, data).trainable == trainable


@pytest.mark.parametrize("text", [WORDS, FEATURES])
def test_the_built_model_has_the_counted_parameters(text):
    made = model(text)
    count = cost.parameters(made.config, made.data)
    assert count.total == sum(p.numel() for p in made.parameters())
    assert count.parts["text"] == sum(p.numel() for p in made.text.parameters())
    assert count.trainable == sum(p.numel() for p in made.parameters() if p.requires_grad)


@pytest.mark.parametrize("text", [WORDS, FEATURES])
def test_tokens_are_projected_features_or_the_fixed_row_of_their_place(text):
    made, prompts = model(text).text, PROMPTS[text]
    found = made(prompts)
    for image, place in ((0, 0), (0, 2), (1, 3), (2, 1)):
        given = prompts[image, place]
        own = given if made.words is None else made.words.weight[given - 1]
        feature = own if given.any() else made.null[place]
        projected = feature @ made.proj.weight.T + made.proj.bias
        expected = (projected - projected.mean()) / (projected.var(unbiased=False) + 1e-5).sqrt()
        torch.testing.assert_close(found[image, place], expected)


@pytest.mark.parametrize("text", [WORDS, FEATURES])
def test_a_dropped_prompt_is_no_prompt(text):
    made, prompts = model(text), PROMPTS[text]
    latent = torch.randn(3, 3, 10, 10, generator=torch.Generator().manual_seed(3))
    draws = training_draws(TRAINING, 3, made.tokens, made.values, step_streams(0, 3))
    dropped = draws._replace(keep_label=torch.tensor([True, False, True]))
    empty = prompts.clone()
    empty[1] = 0
    kept = draws._replace(keep_label=torch.ones(3, dtype=torch.bool))
    assert torch.equal(made.loss_of_draws(latent, prompts, dropped), made.loss_of_draws(latent, empty, kept))
    assert not torch.equal(made.loss_of_draws(latent, prompts, dropped), made.loss_of_draws(latent, prompts, kept))


def test_the_fixed_rows_are_no_parameters_but_are_kept_with_the_weights():
    made = model(WORDS)
    assert "text.null" in made.state_dict()
    assert "text.null" not in dict(made.named_parameters())
    assert made.text.null.std().item() == pytest.approx(0.02, rel=0.5)
    again = Lina(made.config, made.data)
    again.load_state_dict(made.state_dict())
    torch.testing.assert_close(again.text(PROMPTS[WORDS]), made.text(PROMPTS[WORDS]))


def test_a_gradient_reaches_every_word_of_a_prompt_and_no_other():
    made = TextEmbedding(WORDS, 8)
    made(torch.tensor([[3, 1, 0, 0]])).square().sum().backward()
    assert made.words is not None
    reached = made.words.weight.grad.abs().sum(-1).nonzero().flatten() + 1
    assert reached.tolist() == [1, 3]


@pytest.mark.slow
@pytest.mark.parametrize("text", [WORDS, FEATURES])
def test_a_guided_sample_follows_its_prompt(text):
    made, prompts = model(text, conv_kernel=3, kv_gate="key_value"), PROMPTS[text]
    guided = SAMPLING.model_copy(update={"guidance_scale": 3.0})
    found = sample(made, prompts, guided, generators(3))
    other = sample(made, prompts.flip(0), guided, generators(3))
    assert (found - other)[0].abs().max() > 1e-3
    torch.testing.assert_close(found[1], other[1], rtol=1e-3, atol=1e-4)
    plain = sample(made, torch.zeros_like(prompts), SAMPLING, generators(3))
    torch.testing.assert_close(found[2], plain[2], rtol=1e-3, atol=1e-3)

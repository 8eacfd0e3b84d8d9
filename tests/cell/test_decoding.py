"""Samples of a model of latents become images by its decoder, and never without one."""

import pytest
import torch

from lina_lab.config.data import DataShape
from lina_lab.config.model import ModelConfig
from lina_lab.config.settings import SamplingConfig
from lina_lab.model.lina import Lina
from lina_lab.model.random_streams import stream
from lina_lab.model.sampler import sample
from lina_lab.sampling.generate import generate

SAMPLING = SamplingConfig(autoregressive_steps=2, flow_steps=2)
LABELS = torch.tensor([0, 1, 2])


def model(channels: int) -> Lina:
    config = ModelConfig.model_validate({"size": "nano", "patch": 1, "context_tokens": 2})
    return Lina(config, DataShape(channels, side=4, num_classes=3, stride=4), seed=0).eval()


def test_images_are_what_the_decoder_makes_of_the_samples():
    def enlarged(latents: torch.Tensor) -> torch.Tensor:
        return latents[:, :3].repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)

    painter = model(channels=5)
    images = generate(painter, LABELS, SAMPLING, seed=3, decode=enlarged)
    latents = sample(painter, LABELS, SAMPLING, [stream(3, "sample", number) for number in range(3)])
    expected = (127.5 * latents[:, :3].double() + 127.5).round().clamp(0, 255)
    assert images.shape == (3, 3, 16, 16)
    assert (images[:, :, 1::4, 2::4].double() - expected).abs().max() <= 1  # a float32 on the edge may fall either way


def test_three_channels_of_latents_are_not_taken_for_colours():
    with pytest.raises(ValueError, match="images must have side 16, not 4: latents want a decoder"):
        generate(model(channels=3), LABELS, SAMPLING, seed=0)

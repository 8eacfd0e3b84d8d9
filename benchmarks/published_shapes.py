"""The shapes that step.py and sample.py measure: a small one for processors, and the published ones."""

from typing import Any, NamedTuple

import torch

from lina_lab.config.data import PUBLISHED_DATA, DataShape
from lina_lab.config.model import ModelConfig
from lina_lab.config.settings import ExecutionConfig
from lina_lab.model.execution import accelerate
from lina_lab.model.lina import Lina
from lina_lab.model.random_streams import stream

LATENTS_1024 = DataShape(channels=4, side=128, num_classes=1000)
"""SDXL's latents at 1024 px; with patch 2 they are 4,096 tokens. A label stands for the prompt."""
SMALL = {"width": 192, "num_heads": 3, "context_depth": 4, "encoder_depth": 4, "decoder_depth": 4}
DESIGNS: dict[str, dict[str, Any]] = {
    "LINA": {"conv_kernel": 5, "kv_gate": "key_value"},
    "softmax": {"normalization": "softmax"},
}


class Shape(NamedTuple):
    """A model without its attention, its data, and the batch of a step."""

    model: dict[str, Any]
    data: DataShape
    batch: int


SHAPES = {
    "small": Shape(SMALL | {"head_depth": 3, "head_width": 192, "context_tokens": 64}, PUBLISHED_DATA, 16),
    "B": Shape({"size": "B", "context_tokens": 64}, PUBLISHED_DATA, 64),
    "L": Shape({"size": "L", "context_tokens": 64}, PUBLISHED_DATA, 48),
    "H": Shape({"size": "H", "context_tokens": 64}, PUBLISHED_DATA, 24),
    "H-1024": Shape({"size": "H", "context_tokens": 1024, "patch": 2}, LATENTS_1024, 1),
}
"""small is 6.5 million parameters at 320 tokens; batches are those of a GPU in the published runs."""


def build(shape: Shape, design: str, execution: ExecutionConfig, device: torch.device) -> Lina:
    """A model with random weights, those that start at 0 too: a velocity of 0 would be no work for the sampler."""
    config = ModelConfig.model_validate(shape.model | {"attention": DESIGNS[design]})
    model = Lina(config, shape.data, seed=0)
    for name, parameter in model.named_parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, 0, 0.02, generator=stream(0, "awake", name))
    accelerate(model, execution)
    return model.to(device)


def interleaved(calls: dict[str, Any], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of every call in every round, all calls of a round one after the other, after one to warm up."""
    for call in calls.values():
        call()
    seen: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            seen[name].append(call())
    return seen

"""Images of a trained model: drawn, each from a generator of its own, and kept."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lina_lab.config.settings import SamplingConfig
from lina_lab.data.datasets import to_uint8
from lina_lab.model.draws import stream
from lina_lab.model.lina import Lina
from lina_lab.model.sampler import sample

SAMPLING_BATCH = 250


def generate(
    model: Lina,
    labels: Tensor,
    sampling: SamplingConfig,
    seed: int,
    progress: Callable[[float], None] = lambda share: None,
) -> Tensor:
    """Images (n, 3, H, W) uint8 of labels (n,). Image i has a generator of its own, so batches do not matter."""
    device = next(model.parameters()).device
    images = []
    for first in range(0, len(labels), SAMPLING_BATCH):
        chunk = labels[first : first + SAMPLING_BATCH]
        generators = [stream(seed, "sample", first + i) for i in range(len(chunk))]

        def step_done(step: int, steps: int, first: int = first, size: int = len(chunk)) -> None:
            progress((first + size * step / steps) / len(labels))

        images.append(to_uint8(sample(model, chunk.to(device), sampling, generators, step_done).float().cpu()))
    return torch.cat(images)


def save_images(path: Path, images: Tensor, labels: Tensor) -> None:
    """An npz that ADM's evaluator reads: `arr_0` (n, H, W, 3) uint8; `labels` beside it."""
    part = path.with_suffix(".part.npz")
    np.savez_compressed(part, arr_0=images.permute(0, 2, 3, 1).numpy(), labels=labels.numpy())
    part.replace(path)

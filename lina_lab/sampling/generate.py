"""Draw images from a trained model, each with a generator of its own."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lina_lab.config.settings import SamplingConfig
from lina_lab.data.autoencoder import Decode, pixels
from lina_lab.data.datasets import to_uint8
from lina_lab.model.lina import Lina
from lina_lab.model.random_streams import stream
from lina_lab.model.sampler import StepDone, sample

SAMPLING_BATCH = 250
"""Most images of one batch."""
SAMPLING_TOKENS = SAMPLING_BATCH * 320
"""Most tokens in the decoder for one batch: 250 images of 256 px, 15 of 1024 px."""


def generate(
    model: Lina,
    condition: Tensor,
    sampling: SamplingConfig,
    seed: int,
    progress: Callable[[float], None] = lambda share: None,
    numbers: Sequence[int] | None = None,
    watch: StepDone = lambda step, steps, latent: None,
    decode: Decode = pixels,
) -> Tensor:
    """Images (n, 3, H, W) uint8 for n labels or prompts.

    Image k has the generator of `numbers[k]` (k by default), so it does not depend on the other images or on batching.
    `progress` is told the share done, `watch` the latents after every step of every batch. `decode` turns latents into
    images: see `data.autoencoder.decoder`.

    Raises:
        NotFinite: if images hold NaN or infinite values.
        ValueError: if the images do not have the side of the data set, as when `decode` is missing for latents.
    """
    numbers = range(len(condition)) if numbers is None else numbers
    device = next(model.parameters()).device
    batch = max(1, min(SAMPLING_BATCH, SAMPLING_TOKENS // (model.config.context_tokens + model.tokens)))
    images = []
    # Latents are decoded batch by batch too, so that memory does not grow with n.
    for first in range(0, len(condition), batch):
        chunk = condition[first : first + batch]
        generators = [stream(seed, "sample", number) for number in numbers[first : first + batch]]

        def step_done(step: int, steps: int, latent: Tensor, first: int = first, size: int = len(chunk)) -> None:
            progress((first + size * step / steps) / len(condition))
            watch(step, steps, latent)

        latents = sample(model, chunk.to(device), sampling, generators, step_done).float()
        images.append(to_uint8(decode(latents).cpu()))
    whole, side = torch.cat(images), model.data.side * model.data.stride
    if whole.shape[-1] != side:
        raise ValueError(f"images must have side {side}, not {whole.shape[-1]}: latents want a decoder")
    return whole


def save_images(path: Path, images: Tensor, labels: Tensor | None, prompts: Sequence[str] = ()) -> None:
    """Write an npz that ADM's evaluator reads: `arr_0` (n, H, W, 3) uint8, with `labels` and `prompts` if given."""
    part = path.with_suffix(".part.npz")
    beside = {"labels": None if labels is None else labels.numpy(), "prompts": np.array(prompts) if prompts else None}
    known: dict[str, Any] = {name: array for name, array in beside.items() if array is not None}
    np.savez_compressed(part, arr_0=images.permute(0, 2, 3, 1).numpy(), **known)
    part.replace(path)

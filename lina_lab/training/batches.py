"""Training batches. Their order is a function of (seed, step), so a resumed run has no loader state to restore."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from lina_lab.data.datasets import Dataset, Examples
from lina_lab.data.examples import Latents
from lina_lab.data.prefetch import prefetch
from lina_lab.model.random_streams import BLOCK, WHOLE, BatchShard, draw_block_rows, stream, to_device

SEED_STRIDE = 2**40
"""Distance between the first indices of two seeds in an endless data set: more examples than any training sees, so
that two seeds share none. Indices wrap at 2^62, so seeds that are 2^22 apart start at the same one."""

AHEAD = 2
"""Batches that are prefetched while a step computes, where examples come from a disk."""


BLOCK_VALUES = BLOCK * 16**3
"""Most values of one block of posterior noise: 64 images of the published 256 px latents, 4 of 1024 px."""


class BatchPosition(NamedTuple):
    """What identifies one process's `share` of one batch of one training: all its draws follow from this."""

    seed: int
    step: int
    share: BatchShard


Pick = Callable[[Tensor, BatchPosition], tuple[Tensor, Tensor]]


class Batches:
    """Endless batches (images, labels or prompts) from step `start` on; `pick` gives the examples of indices (n,).

    With `count` examples each epoch is a new permutation, and batches run on across epochs. Without a count (an endless
    data set) no index occurs twice.
    """

    def __init__(
        self,
        pick: Pick,
        count: int | None,
        batch_size: int,
        seed: int,
        start: int = 0,
        shares: Sequence[BatchShard] = (WHOLE,),
        depth: int = 0,
    ) -> None:
        """`batch_size` counts the images of all processes. Of each batch the `shares` come; `depth` are prefetched."""
        self.pick, self.count, self.batch_size = pick, count, batch_size
        self.seed, self.start, self.shares, self.depth = seed, start, shares, depth

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        positions = (
            BatchPosition(self.seed, step, share) for step in itertools.count(self.start) for share in self.shares
        )
        return prefetch(self._of, positions, self.depth) if self.depth else map(self._of, positions)

    def _of(self, position: BatchPosition) -> tuple[Tensor, Tensor]:
        indices = batch_indices(self.count, self.batch_size, self.seed, position.step)
        return self.pick(position.share.of(indices), position)


def picker(dataset: Dataset, condition: Callable[[Examples], Tensor], device: torch.device) -> tuple[Pick, int | None]:
    """The function that gives training examples by index, and their number; None for an endless data set.

    A finite data set is moved to the device once; latents stay on the disk and are read batch by batch.
    """
    draw = dataset.draw
    if dataset.latents is not None:
        return _posterior(dataset.latents, device), dataset.latents.num_train
    if draw is None:
        images, labels = dataset.train.images.to(device), condition(dataset.train).to(device)

        def kept(index: Tensor, _: BatchPosition) -> tuple[Tensor, Tensor]:
            index = to_device(index, device)
            return images[index], labels[index]

        return kept, len(images)

    def endless(index: Tensor, _: BatchPosition) -> tuple[Tensor, Tensor]:
        examples = draw(index)
        return to_device(examples.images, device), to_device(condition(examples), device)

    return endless, None


def _posterior(latents: Latents, device: torch.device) -> Pick:
    """Posterior samples. Noise belongs to places in the whole batch, so it does not depend on how that is shared."""
    size = max(1, min(BLOCK, BLOCK_VALUES // math.prod(latents.shape)))

    def sampled(index: Tensor, position: BatchPosition) -> tuple[Tensor, Tensor]:
        if device.type == "cuda":
            torch.cuda.set_device(device)  # a new thread starts on GPU 0, whatever its process uses
        seed, step, share = position
        batch = len(index) * share.num_shares

        def noise(block: int, rows: int) -> Tensor:
            return torch.randn(rows, *latents.shape, generator=stream(seed, "posterior", step, block))

        def choice(block: int, rows: int) -> Tensor:
            return torch.rand(rows, generator=stream(seed, "text", step, block))

        images, labels = latents.take(
            index, draw_block_rows(batch, share, noise, size=size), draw_block_rows(batch, share, choice)
        )
        return to_device(images, device), to_device(labels, device)

    return sampled


def batch_indices(count: int | None, batch_size: int, seed: int, step: int) -> Tensor:
    """Indices (batch_size,) of the examples of a step, of `count`; without a count, of an endless data set."""
    first = step * batch_size
    if count is None:
        return torch.arange(first, first + batch_size) + seed * SEED_STRIDE % 2**62
    epochs = range(first // count, (first + batch_size - 1) // count + 1)
    order = torch.cat([_permutation(count, seed, epoch) for epoch in epochs])
    offset = first - epochs[0] * count
    return order[offset : offset + batch_size]


@lru_cache(maxsize=4)
def _permutation(count: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(count, generator=stream(seed, "data_order", epoch))

"""The order of the training data: a function of (seed, step), so that a resumed run needs no state of it."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from lina_lab.data.datasets import Dataset, Examples
from lina_lab.data.examples import Latents
from lina_lab.data.prefetch import ahead
from lina_lab.model.random_streams import BLOCK, WHOLE, BatchShard, draw_block_rows, stream, to_device

ENDLESS = 2**40
"""Between the first indices of two seeds in a set without end: more than a training can see. Indices are of 63 bits, so
seeds that are 2^22 apart begin at the same."""

AHEAD = 2
"""Batches that a thread reads and draws while a step computes, where they come from a disk."""


BLOCK_VALUES = BLOCK * 16**3
"""Of a block of posterior draws at most: 64 images of the published 256 px latents, 4 of 1024 px."""


class Place(NamedTuple):
    """Where in which training a batch stands; this is a `share` of it."""

    seed: int
    step: int
    share: BatchShard


Pick = Callable[[Tensor, Place], tuple[Tensor, Tensor]]


class Batches:
    """Endless batches (images, labels or prompts) from a step on, by what `pick` gives for indices (n,).

    Of `count` examples every epoch is a fresh permutation, without gaps between; without a count every index is new.
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
        """`batch_size` counts the images of all processes; of every batch come the `shares`, `depth` of them ahead."""
        self.pick, self.count, self.batch_size = pick, count, batch_size
        self.seed, self.start, self.shares, self.depth = seed, start, shares, depth

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        places = (Place(self.seed, step, share) for step in itertools.count(self.start) for share in self.shares)
        return ahead(self._of, places, self.depth) if self.depth else map(self._of, places)

    def _of(self, place: Place) -> tuple[Tensor, Tensor]:
        indices = batch_indices(self.count, self.batch_size, self.seed, place.step)
        return self.pick(place.share.of(indices), place)


def picker(dataset: Dataset, condition: Callable[[Examples], Tensor], device: torch.device) -> tuple[Pick, int | None]:
    """What gives training examples by index, and how many there are; a set with an end stays on the device.

    Latents stay on the disk.
    """
    draw = dataset.draw
    if dataset.latents is not None:
        return _posterior(dataset.latents, device), dataset.latents.num_train
    if draw is None:
        images, labels = dataset.train.images.to(device), condition(dataset.train).to(device)

        def kept(index: Tensor, _: Place) -> tuple[Tensor, Tensor]:
            index = to_device(index, device)
            return images[index], labels[index]

        return kept, len(images)

    def endless(index: Tensor, _: Place) -> tuple[Tensor, Tensor]:
        examples = draw(index)
        return to_device(examples.images, device), to_device(condition(examples), device)

    return endless, None


def _posterior(latents: Latents, device: torch.device) -> Pick:
    """Samples of the posterior, whose draws are a function of seed and step, however many shares there are."""
    size = max(1, min(BLOCK, BLOCK_VALUES // math.prod(latents.shape)))

    def sampled(index: Tensor, place: Place) -> tuple[Tensor, Tensor]:
        if device.type == "cuda":
            torch.cuda.set_device(device)  # a thread begins on the first one
        seed, step, share = place
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
    """Which of `count` examples step `step` sees: (batch_size,); without a count every seed has new ones."""
    first = step * batch_size
    if count is None:
        return torch.arange(first, first + batch_size) + seed * ENDLESS % 2**62
    epochs = range(first // count, (first + batch_size - 1) // count + 1)
    order = torch.cat([_permutation(count, seed, epoch) for epoch in epochs])
    offset = first - epochs[0] * count
    return order[offset : offset + batch_size]


@lru_cache(maxsize=4)
def _permutation(count: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(count, generator=stream(seed, "data_order", epoch))

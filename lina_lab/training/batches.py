"""The order of the training data: a function of (seed, step), so that a resumed run needs no state of it."""

from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import Tensor

from lina_lab.model.draws import WHOLE, Share, sent, stream


class Batches:
    """Endless batches (images, labels) from a step on; every epoch is a fresh permutation, without gaps between."""

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        batch_size: int,
        seed: int,
        start: int = 0,
        share: Share = WHOLE,
    ) -> None:
        """`batch_size` counts the images of all shares; this one gets its part of every batch, where the images are."""
        self.images, self.labels = images, labels
        self.batch_size, self.seed, self.start, self.share = batch_size, seed, start, share

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        step = self.start
        while True:
            index = self.share.of(batch_indices(len(self.images), self.batch_size, self.seed, step))
            index = sent(index, self.images.device)
            yield self.images[index], self.labels[index]
            step += 1


def batch_indices(count: int, batch_size: int, seed: int, step: int) -> Tensor:
    """Which of `count` images step `step` sees: (batch_size,)."""
    first = step * batch_size
    epochs = range(first // count, (first + batch_size - 1) // count + 1)
    order = torch.cat([_permutation(count, seed, epoch) for epoch in epochs])
    offset = first - epochs[0] * count
    return order[offset : offset + batch_size]


@lru_cache(maxsize=4)
def _permutation(count: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(count, generator=stream(seed, "data_order", epoch))

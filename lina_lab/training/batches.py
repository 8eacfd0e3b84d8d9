"""The order of the training data: a function of (seed, step), so that a resumed run needs no state of it."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from lina_lab.data.datasets import Dataset, Examples
from lina_lab.model.draws import WHOLE, Share, sent, stream

ENDLESS = 2**40
"""Between the first indices of two seeds in a set without end: more than a training can see. Indices are of 63 bits, so
seeds that are 2^22 apart begin at the same."""

Pick = Callable[[Tensor], tuple[Tensor, Tensor]]


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
        shares: Sequence[Share] = (WHOLE,),
    ) -> None:
        """`batch_size` counts the images of all processes; of every batch come the `shares`, one after the other."""
        self.pick, self.count, self.batch_size = pick, count, batch_size
        self.seed, self.start, self.shares = seed, start, shares

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        step = self.start
        while True:
            index = batch_indices(self.count, self.batch_size, self.seed, step)
            yield from (self.pick(share.of(index)) for share in self.shares)
            step += 1


def picker(dataset: Dataset, condition: Callable[[Examples], Tensor], device: torch.device) -> tuple[Pick, int | None]:
    """What gives training examples by index, and how many there are; a set with an end stays on the device."""
    draw = dataset.draw
    if draw is None:
        images, labels = dataset.train.images.to(device), condition(dataset.train).to(device)

        def kept(index: Tensor) -> tuple[Tensor, Tensor]:
            index = sent(index, device)
            return images[index], labels[index]

        return kept, len(images)

    def drawn(index: Tensor) -> tuple[Tensor, Tensor]:
        examples = draw(index)
        return sent(examples.images, device), sent(condition(examples), device)

    return drawn, None


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

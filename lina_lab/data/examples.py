"""What a data set is: examples, in a training split and a held-out one.

Shapes: n images, C channels, h x w pixels.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor

from lina_lab.config.data import Sizes
from lina_lab.escape import shown


class Examples(NamedTuple):
    """Images (n, C, h, w), labels (n,) int64 and, where the set has them, n captions.

    Images are float32 in [-1, 1]; beside latents, where only evaluation looks at them, uint8.
    """

    images: Tensor
    labels: Tensor
    captions: Sequence[str] = ()

    def where(self, mask: Tensor) -> Self:
        """The examples that a mask (n,) keeps, in their order."""
        captions = [caption for caption, kept in zip(self.captions, mask.tolist(), strict=False) if kept]
        return self._replace(images=self.images[mask], labels=self.labels[mask], captions=captions or ())


class Latents(NamedTuple):
    """What a model is trained on in place of pixels: latents (n, C, h, w) as it sees them, with labels or prompts."""

    num_train: int
    """Training examples."""
    shape: tuple[int, int, int]
    take: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
    """Of indices (n,), noise (n, C, h, w) and uniform numbers (n,): samples of the posterior, and conditions with one
    of the texts of each."""
    heldout: Callable[[int], tuple[Tensor, Tensor]]
    """At most so many, evenly spaced over the held-out split: means of the posterior, conditions of the first text."""
    sha256: str
    """Of the whole cache."""


class Repeats(NamedTuple):
    """Held-out images that training has too, pixel for pixel as a model sees them."""

    images: int
    of: int
    """Held-out images."""
    example: tuple[str, str] | None = None
    """The names of a held-out image and of one in training that is the same."""


class Dataset(NamedTuple):
    """A training split and a held-out one.

    Of a set without end, `draw` gives the training examples of any indices (n,), each always the same, and `train` is
    a sample of them for what needs one. Of a set with `latents` both splits are samples of its images, for what
    compares images.
    """

    train: Examples
    heldout: Examples
    draw: Callable[[Tensor], Examples] | None = None
    name: str = ""
    """What its classes are classes of."""
    latents: Latents | None = None
    num_classes: int = 0
    """As its config says; 0 where nothing does."""
    repeats: Repeats | None = None
    """None where images are not compared, as of a set without end."""

    @property
    def sizes(self) -> Sizes:
        endless = None if self.draw is not None else len(self.train.labels)
        trained_on = endless if self.latents is None else self.latents.num_train
        return Sizes(len(self.train.labels), len(self.heldout.labels), trained_on)


def from_uint8(pixels: Tensor) -> Tensor:
    """(n, h, w, C) uint8 to (n, C, h, w) float32 in [-1, 1]: x / 127.5 - 1, which 8 bits give back exactly."""
    return pixels.permute(0, 3, 1, 2).float().div_(127.5).sub_(1).contiguous()


def repeats(contents: Sequence[str], names: Sequence[str], heldout: Sequence[bool]) -> Repeats:
    """How many held-out images are in training too, told by the digests of the content of all n images."""
    known = {content: name for content, name, out in zip(contents, names, heldout, strict=True) if not out}
    both = [
        (shown(name), shown(known[content]))
        for content, name, out in zip(contents, names, heldout, strict=True)
        if out and content in known
    ]
    return Repeats(len(both), sum(heldout), both[0] if both else None)


def fingerprint(dataset: Dataset) -> str:
    """SHA-256 of all images, labels and captions of both splits, as hex; of latents that of their cache."""
    if dataset.latents is not None:
        return dataset.latents.sha256
    found = hashlib.sha256()
    for part in (dataset.train, dataset.heldout):
        found.update(json.dumps([*part.images.shape, *part.captions]).encode())
        found.update(part.images.contiguous().numpy().data)
        found.update(part.labels.numpy().data)
    return found.hexdigest()


def labels_as(reference: Tensor, count: int) -> Tensor:
    """(count,) labels, sorted, in the class proportions of the reference (n,), rounded by largest remainders.

    Of equal remainders the lower class goes first.
    """
    sizes = reference.bincount() * count
    quotas, remainders = sizes // len(reference), sizes % len(reference)
    order = remainders.argsort(descending=True, stable=True)
    quotas[order[: count - int(quotas.sum())]] += 1
    return torch.arange(len(quotas)).repeat_interleave(quotas)

"""The types of a data set: examples in a training split and a held-out split.

Shapes: n images, C channels, h x w pixels.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor

from lina_lab.design.data_sets import Sizes
from lina_lab.escape import shown


class Examples(NamedTuple):
    """Images (n, C, h, w), labels (n,) int64 and, if the data set has them, n captions.

    Images are float32 in [-1, 1], or uint8 in a data set with latents, where only evaluation needs them.
    """

    images: Tensor
    labels: Tensor
    captions: Sequence[str] = ()

    def where(self, mask: Tensor) -> Self:
        """The examples selected by a mask (n,), in order."""
        captions = [caption for caption, kept in zip(self.captions, mask.tolist(), strict=False) if kept]
        return self._replace(images=self.images[mask], labels=self.labels[mask], captions=captions or ())


class Latents(NamedTuple):
    """Training data in place of pixels: latents (n, C, h, w), scaled for the model, with labels or prompts."""

    num_train: int
    """Training examples."""
    shape: tuple[int, int, int]
    take: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
    """(indices (n,), noise (n, C, h, w), uniforms (n,)) to posterior samples and conditions; the uniforms choose one of
    the texts of each image."""
    heldout: Callable[[int], tuple[Tensor, Tensor]]
    """At most so many examples, evenly spaced over the held-out split: posterior means, and the first texts."""
    sha256: str
    """SHA-256 of the whole cache."""


class Repeats(NamedTuple):
    """How many held-out images also occur in training, pixel for pixel as the model sees them."""

    images: int
    of: int
    """All held-out images."""
    example: tuple[str, str] | None = None
    """Names of one held-out image and of its duplicate in training."""


class Dataset(NamedTuple):
    """A training split and a held-out split.

    An endless data set has `draw`, which gives the training examples of any indices (n,), always the same for an index;
    `train` is then a sample of them. In a data set with `latents` both splits are samples of its images, for metrics
    that compare images.
    """

    train: Examples
    heldout: Examples
    draw: Callable[[Tensor], Examples] | None = None
    name: str = ""
    """Name of the data set."""
    classes_of: str = ""
    """The data set whose classes the labels are, as extractors name it; empty if no other has them."""
    latents: Latents | None = None
    num_classes: int = 0
    """From the config; 0 without one."""
    classes: Sequence[str] = ()
    """The classes' names, by label; empty where their numbers are their names."""
    repeats: Repeats | None = None
    """None where duplicates are not looked for, as in an endless data set."""

    @property
    def sizes(self) -> Sizes:
        endless = None if self.draw is not None else len(self.train.labels)
        trained_on = endless if self.latents is None else self.latents.num_train
        return Sizes(len(self.train.labels), len(self.heldout.labels), trained_on)


def evenly_spaced(images: Tensor, most: int) -> Tensor:
    """At most so many of n images, or of their numbers, evenly spaced over them, in order."""
    count = min(most, len(images))
    return images if count == len(images) else images[torch.linspace(0, len(images) - 1, count).round().long()]


def from_uint8(pixels: Tensor) -> Tensor:
    """(n, h, w, C) uint8 to (n, C, h, w) float32 in [-1, 1]: x / 127.5 - 1, which `to_uint8` inverts exactly."""
    return pixels.permute(0, 3, 1, 2).float().div_(127.5).sub_(1).contiguous()


def repeats(contents: Sequence[str], names: Sequence[str], heldout: Sequence[bool]) -> Repeats:
    """Count held-out images that also occur in training, by the digests `contents` of all n images."""
    known = {content: name for content, name, out in zip(contents, names, heldout, strict=True) if not out}
    both = [
        (shown(name), shown(known[content]))
        for content, name, out in zip(contents, names, heldout, strict=True)
        if out and content in known
    ]
    return Repeats(len(both), sum(heldout), both[0] if both else None)


def fingerprint(dataset: Dataset) -> str:
    """SHA-256 of images, labels and captions of both splits, as hex; with latents, that of their cache."""
    if dataset.latents is not None:
        return dataset.latents.sha256
    total = hashlib.sha256()
    for part in (dataset.train, dataset.heldout):
        total.update(json.dumps([*part.images.shape, *part.captions]).encode())
        total.update(part.images.contiguous().numpy().data)
        total.update(part.labels.numpy().data)
    return total.hexdigest()


def labels_as(reference: Tensor, count: int) -> Tensor:
    """(count,) sorted labels in the class proportions of a reference (n,), rounded by largest remainders.

    If remainders tie, lower classes come first.
    """
    sizes = reference.bincount() * count
    quotas, remainders = sizes // len(reference), sizes % len(reference)
    order = remainders.argsort(descending=True, stable=True)
    quotas[order[: count - int(quotas.sum())]] += 1
    return torch.arange(len(quotas)).repeat_interleave(quotas)

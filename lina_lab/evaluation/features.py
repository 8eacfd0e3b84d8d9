"""What an extractor is and gives.

Shapes: n images of 3 x h x w uint8, d features.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

BATCH = 250


class Features(NamedTuple):
    """Features (n, d) float32 of n images, and what only some extractors give."""

    features: Tensor
    classes: Tensor | None = None
    """(n,) int64, predicted by a class head."""
    spatial: Tensor | None = None
    """(n, 2023), of sFID."""
    logits: Tensor | None = None
    """(n, classes), of IS."""

    @classmethod
    def cat(cls, parts: "Sequence[Features]") -> "Features":
        """The features of several sets of images as those of one."""
        fields = {name: [kept for part in parts if (kept := getattr(part, name)) is not None] for name in cls._fields}
        return cls(**{name: torch.cat(own) for name, own in fields.items() if own})

    def cpu(self) -> "Features":
        return Features(**{name: part.cpu() for name, part in self._asdict().items() if part is not None})


class Extractor(NamedTuple):
    """Maps images (n, 3, h, w) uint8 to features of `dim`; `id` changes with the weights."""

    name: str
    id: str
    dim: int
    extract: Callable[[Tensor], Features]
    data: str = ""
    """The data set whose classes it predicts; empty without a class head."""

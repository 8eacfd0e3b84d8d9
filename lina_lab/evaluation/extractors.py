"""Feature extractors: small embedded CNNs for the data sets of the package; published ones have a file of their own.

Shapes: n images of 3 x h x w uint8, d features.
"""

from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load
from torch import Tensor, nn

from lina_lab.config.settings import EXTRACTORS, PUBLISHED
from lina_lab.design.data_sets import SOURCES
from lina_lab.design.extractors import FEATURES, LOADERS
from lina_lab.evaluation.features import BATCH, Extractor, Features
from lina_lab.files import read_named

WEIGHTS = Path(__file__).parent / "weights"
SELF_SUPERVISED = [name for name in EXTRACTORS if "vicreg" in name]


class Normalised(nn.Module):
    """A network of C channels whose d features, before any activation, are centred and scaled to length √d."""

    centre: Tensor

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.channels, self.dim = channels, dim
        self.register_buffer("centre", torch.zeros(dim))

    def normalised(self, raw: Tensor) -> Tensor:
        return F.normalize(raw - self.centre, dim=-1) * self.dim**0.5

    def measured(self, images: Tensor) -> Features:
        """Of images (n, C, h, w) in [-1, 1]."""
        raise NotImplementedError


class Embedded(Normalised):
    """A CNN that learnt the classes.

    It is trained through two heads: one predicts the class, the other the noise and blur of corrupted images. The
    second makes the features sensitive to image quality, which classes alone do not need.
    """

    def __init__(self, channels: int, convolutions: nn.Sequential, flat: int, dim: int, num_classes: int) -> None:
        super().__init__(channels, dim)
        self.convolutions = convolutions
        self.features = nn.Linear(flat, dim)
        self.classes = nn.Linear(dim, num_classes)
        self.quality = nn.Linear(dim, 2)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images (n, C, h, w) in [-1, 1] to raw features (n, d), class logits (n, classes) and quality (n, 2)."""
        raw = self.features(self.convolutions(images).flatten(1))
        active = F.relu(raw)
        return raw, self.classes(active), self.quality(active)

    def measured(self, images: Tensor) -> Features:
        raw, logits, _ = self(images)
        return Features(self.normalised(raw), logits.argmax(-1))


class SelfSupervised(Normalised):
    """A CNN that learnt without labels (VICReg). The side must be 8, 28 or a multiple of 16."""

    def __init__(self, channels: int, side: int, dim: int) -> None:
        super().__init__(channels, dim)
        step = max(1, round(side / 16))
        grid = (-(-side // step) + 3) // 4  # after the convolutions: 2 of a side of 8, else 4
        self.convolutions = nn.Sequential(
            nn.Conv2d(channels, 32, 2 * step + 1, step, padding=step),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, 2, padding=1),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, 2, padding=1),
            nn.ReLU(),
        )
        self.features = nn.Linear(64 * grid**2, dim)

    def forward(self, images: Tensor) -> Tensor:
        """Images (n, C, h, w) in [-1, 1] to raw features (n, d)."""
        features: Tensor = self.features(self.convolutions(images).flatten(1))
        return features

    def measured(self, images: Tensor) -> Features:
        return Features(self.normalised(self(images)))


class DigitsCNN(Embedded):
    """Three convolutions and 32 features of grey images of 8 x 8: 60,000 parameters."""

    def __init__(self) -> None:
        convolutions = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 48, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(48, 48, 3, padding=1),
            nn.ReLU(),
        )
        super().__init__(1, convolutions, 48 * 4 * 4, dim=32, num_classes=10)


class ImageCNN(Embedded):
    """Four convolutions and 64 features; the first has a stride near side / 16 and so gives about 16 x 16 for any side.

    The side must be 28 or a multiple of 16.
    """

    def __init__(self, channels: int, side: int, num_classes: int) -> None:
        step = round(side / 16)
        convolutions = nn.Sequential(
            nn.Conv2d(channels, 32, 2 * step, step, padding=step // 2),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, 2, padding=1),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, 2, padding=1),
            nn.ReLU(),
        )
        super().__init__(channels, convolutions, 64 * 4 * 4, dim=64, num_classes=num_classes)


def new_network(name: str) -> Embedded:
    """The untrained network of an embedded extractor that learns classes."""
    reads = EXTRACTORS[name]
    if name == "digits-cnn":
        return DigitsCNN()
    return ImageCNN(reads.channels, reads.side, SOURCES[reads.data].num_classes)


def new_self_supervised(name: str) -> SelfSupervised:
    """The untrained network of an embedded extractor that learns without labels."""
    reads = EXTRACTORS[name]
    return SelfSupervised(reads.channels, reads.side, FEATURES[name])


def embedded_network(name: str) -> Normalised:
    """The untrained network of any embedded extractor."""
    return new_self_supervised(name) if name in SELF_SUPERVISED else new_network(name)


def load_extractor(name: str) -> Extractor:
    """An extractor by its config name.

    Raises:
        LabError: if its weights are missing or damaged. Another extractor is never taken in its place.
    """
    extractor: Extractor = LOADERS[name](name)
    return extractor


def _load_published(name: str) -> Extractor:
    from lina_lab.evaluation.published_extractors import load_published

    return load_published(name)


def _load_embedded(name: str) -> Extractor:
    identity, weights = read_named(WEIGHTS, name, ".safetensors")
    network = embedded_network(name)
    network.load_state_dict(load(weights))
    data = EXTRACTORS[name].data if isinstance(network, Embedded) else ""
    return Extractor(name=name, id=identity, dim=network.dim, extract=partial(_extract, network.eval()), data=data)


@torch.no_grad()
def _extract(network: Normalised, images: Tensor) -> Features:
    # Grey images arrive with three equal channels; their network takes the first.
    batches = [batch[:, : network.channels].float() / 127.5 - 1 for batch in images.split(BATCH)]
    return Features.cat([network.measured(batch) for batch in batches])


LOADERS |= dict.fromkeys(EXTRACTORS, _load_embedded) | dict.fromkeys(PUBLISHED, _load_published)

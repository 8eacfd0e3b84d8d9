"""Feature extractors: small embedded CNNs for the data sets of the package, and Inception through torch-fidelity.

Shapes: n images of 3 x h x w uint8, d features.
"""

import hashlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from safetensors.torch import load
from torch import Tensor, nn

from lina_lab.config.data import SOURCES
from lina_lab.config.settings import EXTRACTORS
from lina_lab.errors import LabError
from lina_lab.files import read_named

WEIGHTS = Path(__file__).parent / "weights"
INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
INCEPTION_SOURCE = "the release v0.2.0 of torch-fidelity on GitHub (toshas/torch-fidelity)"
INCEPTION_VARIABLE = "LAB_INCEPTION_WEIGHTS"
BATCH = 250


class Features(NamedTuple):
    """Features (n, d) float32, and predicted classes (n,) int64 if the extractor has a class head."""

    features: Tensor
    classes: Tensor | None


class Extractor(NamedTuple):
    """Maps images (n, 3, h, w) uint8 to features of `dim`; `id` changes with the weights."""

    name: str
    id: str
    dim: int
    extract: Callable[[Tensor], Features]
    data: str = ""
    """The data set whose classes it predicts; empty without a class head."""


class Embedded(nn.Module):
    """A CNN whose d features, before any activation, are centred and scaled to length √d.

    It is trained through two heads: one predicts the class, the other the noise and blur of corrupted images. The
    second makes the features sensitive to image quality, which classes alone do not need.
    """

    channels: int
    centre: Tensor

    def __init__(self, convolutions: nn.Sequential, flat: int, dim: int, num_classes: int) -> None:
        super().__init__()
        self.dim, self.convolutions = dim, convolutions
        self.features = nn.Linear(flat, dim)
        self.classes = nn.Linear(dim, num_classes)
        self.quality = nn.Linear(dim, 2)
        self.register_buffer("centre", torch.zeros(dim))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images (n, C, h, w) in [-1, 1] to raw features (n, d), class logits (n, classes) and quality (n, 2)."""
        raw = self.features(self.convolutions(images).flatten(1))
        active = F.relu(raw)
        return raw, self.classes(active), self.quality(active)

    def normalised(self, raw: Tensor) -> Tensor:
        return F.normalize(raw - self.centre, dim=-1) * self.dim**0.5


class DigitsCNN(Embedded):
    """Three convolutions and 32 features of grey images of 8 x 8: 60,000 parameters."""

    channels = 1

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
        super().__init__(convolutions, 48 * 4 * 4, dim=32, num_classes=10)


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
        super().__init__(convolutions, 64 * 4 * 4, dim=64, num_classes=num_classes)
        self.channels = channels


def new_network(name: str) -> Embedded:
    """The untrained network of an embedded extractor."""
    reads = EXTRACTORS[name]
    if name == "digits-cnn":
        return DigitsCNN()
    return ImageCNN(reads.channels, reads.side, SOURCES[reads.data].num_classes)


def load_extractor(name: str, inception_weights: Path | None = None) -> Extractor:
    """An extractor by its config name.

    Raises:
        LabError: if its weights are missing or damaged. Another extractor is never taken in its place.
    """
    if name == "inception":
        return _inception(inception_weights)
    identity, weights = read_named(WEIGHTS, name, ".safetensors")
    model = new_network(name)
    model.load_state_dict(load(weights))
    return Extractor(
        name=name, id=identity, dim=model.dim, extract=partial(_extract, model.eval()), data=EXTRACTORS[name].data
    )


@torch.no_grad()
def _extract(model: Embedded, images: Tensor) -> Features:
    features, classes = [], []
    for batch in images.split(BATCH):
        # Grey images arrive with three equal channels; their network takes the first.
        raw, logits, _ = model(batch[:, : model.channels].float() / 127.5 - 1)
        features.append(model.normalised(raw))
        classes.append(logits.argmax(-1))
    return Features(torch.cat(features), torch.cat(classes))


def find_inception_weights(given: Path | None = None) -> Path | None:
    """Inception's weights: the given file, that of LAB_INCEPTION_WEIGHTS, or that in torch hub's checkpoint folder."""
    named = given or os.environ.get(INCEPTION_VARIABLE)
    path = Path(named) if named else Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION_FILE
    return path if path.is_file() else None


def inception_file(given: Path | None = None) -> tuple[Path, str]:
    """The file with Inception's weights, and its SHA-256.

    Raises:
        LabError: if it is missing, or its SHA-256 does not match its name.
    """
    path = find_inception_weights(given)
    if path is None:
        raise LabError(
            f"inception needs {INCEPTION_FILE}, from {INCEPTION_SOURCE}: put it into "
            f"{Path(torch.hub.get_dir()) / 'checkpoints'}, or name its path in {INCEPTION_VARIABLE}"
        )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    expected = INCEPTION_FILE.removesuffix(".pth").rpartition("-")[2]
    if not digest.startswith(expected):
        raise LabError(f"{path}: is not {INCEPTION_FILE}: its SHA-256 begins with {digest[:8]}, not {expected}")
    return path, digest


def _inception(given: Path | None) -> Extractor:
    path, digest = inception_file(given)
    from torch_fidelity.utils import create_feature_extractor

    cuda = torch.cuda.is_available()
    model = create_feature_extractor(
        "inception-v3-compat", ["2048"], cuda=cuda, verbose=False, feature_extractor_weights_path=str(path)
    )
    return Extractor(
        name="inception", id=f"inception-v3-compat-{digest[:8]}", dim=2048, extract=partial(_extract_inception, model)
    )


@torch.no_grad()
def _extract_inception(model: nn.Module, images: Tensor) -> Features:
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    return Features(torch.cat([model(batch.to(device))[0].cpu() for batch in images.split(BATCH)]), None)

"""Feature extractors: the embedded one for digits, and Inception through torch-fidelity.

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

from lina_lab.errors import LabError

WEIGHTS = Path(__file__).parent / "weights"
INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
INCEPTION_SOURCE = "the release v0.2.0 of torch-fidelity on GitHub (toshas/torch-fidelity)"
INCEPTION_VARIABLE = "LAB_INCEPTION_WEIGHTS"
BATCH = 250


class Features(NamedTuple):
    """Features (n, d) float32, and the class (n,) that a class head sees, where there is one."""

    features: Tensor
    classes: Tensor | None


class Extractor(NamedTuple):
    """A named way from images (n, 3, h, w) uint8 to features; `id` changes when its weights change."""

    name: str
    id: str
    dim: int
    extract: Callable[[Tensor], Features]


class DigitsCNN(nn.Module):
    """Three convolutions and a linear layer of 32 features, centred and brought to length √32.

    The features are taken before any activation. Of the two heads one names the class; the other estimates the noise
    and blur of a corrupted image, which makes the features answer to low quality and not to classes alone.
    """

    dim = 32
    centre: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 48, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(48, 48, 3, padding=1),
            nn.ReLU(),
        )
        self.features = nn.Linear(48 * 4 * 4, self.dim)
        self.classes = nn.Linear(self.dim, 10)
        self.quality = nn.Linear(self.dim, 2)
        self.register_buffer("centre", torch.zeros(self.dim))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images (n, 1, 8, 8) in [-1, 1] to raw features (n, 32), class logits (n, 10) and quality (n, 2)."""
        raw = self.features(self.convolutions(images).flatten(1))
        active = F.relu(raw)
        return raw, self.classes(active), self.quality(active)

    def normalised(self, raw: Tensor) -> Tensor:
        return F.normalize(raw - self.centre, dim=-1) * self.dim**0.5


def load_extractor(name: str, inception_weights: Path | None = None) -> Extractor:
    """An extractor by its config name.

    Raises:
        LabError: if its weights are missing or damaged. Another extractor is never taken in its place.
    """
    return _inception(inception_weights) if name == "inception" else _digits_cnn()


def _digits_cnn() -> Extractor:
    path = next(iter(sorted(WEIGHTS.glob("digits-cnn-*.safetensors"))), None)
    if path is None:
        raise LabError(f"{WEIGHTS}: has no digits-cnn-*.safetensors; install LINA Lab again")
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest()[:8] != path.stem.removeprefix("digits-cnn-"):
        raise LabError(f"{path}: damaged: its content is not what its name says; install LINA Lab again")
    model = DigitsCNN()
    model.load_state_dict(load(data))
    return Extractor("digits-cnn", path.stem, model.dim, partial(_extract_digits, model.eval()))


@torch.no_grad()
def _extract_digits(model: DigitsCNN, images: Tensor) -> Features:
    features, classes = [], []
    for batch in images.split(BATCH):
        # Grey images have three equal channels.
        raw, logits, _ = model(batch[:, :1].float() / 127.5 - 1)
        features.append(model.normalised(raw))
        classes.append(logits.argmax(-1))
    return Features(torch.cat(features), torch.cat(classes))


def find_inception_weights(given: Path | None = None) -> Path | None:
    """The file with Inception's weights: given, from the environment, or in torch hub's checkpoint folder."""
    named = given or os.environ.get(INCEPTION_VARIABLE)
    path = Path(named) if named else Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION_FILE
    return path if path.is_file() else None


def _inception(given: Path | None) -> Extractor:
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
    from torch_fidelity.utils import create_feature_extractor

    cuda = torch.cuda.is_available()
    model = create_feature_extractor(
        "inception-v3-compat", ["2048"], cuda=cuda, verbose=False, feature_extractor_weights_path=str(path)
    )
    return Extractor("inception", f"inception-v3-compat-{digest[:8]}", 2048, partial(_extract_inception, model))


@torch.no_grad()
def _extract_inception(model: nn.Module, images: Tensor) -> Features:
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    return Features(torch.cat([model(batch.to(device))[0].cpu() for batch in images.split(BATCH)]), None)

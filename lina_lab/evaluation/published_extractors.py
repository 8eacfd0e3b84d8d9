"""Extractors whose published weights the user brings: Inception, DINOv2 and CLIP.

The real weights were never seen where this was written: it is tested with small networks of the same layout. A file is
therefore checked when it is loaded: its SHA-256 where one is published, and the features of two pictures.
Shapes: n images of 3 x h x w uint8, d features.
"""

import os
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch import Tensor, nn

from lina_lab.config.settings import PUBLISHED
from lina_lab.errors import LabError
from lina_lab.evaluation.features import BATCH, Extractor, Features
from lina_lab.files import sha256_of

SPATIAL_CHANNELS = 7
"""Of a map of 17 x 17 in Inception: the 2,023 features of sFID, as ADM's evaluator has them."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the channels in [0, 1], as DINOv2 was trained with."""


class Published(NamedTuple):
    identity: str
    """What the id begins with."""
    file: str
    """As it is called where it comes from, below torch hub's checkpoint folder."""
    sha256: str
    """Its published start; empty if none is published."""
    source: str
    variable: str
    """The environment variable that names another path."""
    load: Callable[[Path], Callable[[Tensor], Features]]


def find_weights(name: str) -> Path | None:
    """The file that the extractor's variable names, or that in torch hub's checkpoint folder; None if there is none."""
    entry = WEIGHTS[name]
    named = os.environ.get(entry.variable)
    path = Path(named) if named else _hub() / entry.file
    return path if path.is_file() else None


def not_here(name: str) -> str:
    """What is said where an extractor's weights are missing."""
    return f"{name} needs weights that are not here: {how_to_get(name)}"


def how_to_get(name: str) -> str:
    """Which file an extractor needs, from where, and where it belongs."""
    entry = WEIGHTS[name]
    return f"get {entry.file} from {entry.source}: put it into {_hub()}, or name its path in {entry.variable}"


def weights_file(name: str) -> tuple[Path, str]:
    """The file with an extractor's weights, and its SHA-256.

    Raises:
        LabError: if it is missing, or its SHA-256 is not the published one.
    """
    path, entry = find_weights(name), WEIGHTS[name]
    if path is None:
        raise LabError(not_here(name))
    digest = sha256_of(path)
    if not digest.startswith(entry.sha256):
        found, expected = digest[:8], entry.sha256[:8]
        raise LabError(f"{path}: is not {entry.file}: its SHA-256 begins with {found}, not {expected}")
    return path, digest


def load_published(name: str) -> Extractor:
    """An extractor of `PUBLISHED`, checked on two pictures.

    Raises:
        LabError: if its weights are missing, of another network, or give features that cannot be right.
    """
    (path, digest), entry, dim = weights_file(name), WEIGHTS[name], PUBLISHED[name]
    try:
        extract = entry.load(path)
        _check(extract, dim)
    except (OSError, RuntimeError, ValueError, KeyError, AttributeError, SafetensorError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise LabError(f"{path}: holds no weights of {entry.identity}: {reason}") from error
    return Extractor(name=name, id=f"{entry.identity}-{digest[:8]}", dim=dim, extract=extract)


def _check(extract: Callable[[Tensor], Features], dim: int) -> None:
    noise = torch.randint(256, (1, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    features = extract(torch.cat([noise, torch.full_like(noise, 128)]).to(torch.uint8)).features
    if features.shape != (2, dim):
        raise ValueError(f"two pictures must have {dim} features each, not shape {tuple(features.shape)}")
    if not features.isfinite().all():
        raise ValueError("features of a picture are not finite")
    if torch.equal(*features):
        raise ValueError("noise and grey have the same features")


def _hub() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints"


@torch.no_grad()
def _batches(model: nn.Module, features_of: Callable[[Tensor], Features], images: Tensor) -> Features:
    """The features of images, batch by batch on the device of the model."""
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    parts = [features_of(batch.to(device)) for batch in images.split(BATCH)]
    return Features.cat([part.cpu() for part in parts])


def _inception(path: Path) -> Callable[[Tensor], Features]:
    """The last features, the class logits without their bias for IS, and a part of a map for sFID."""
    model = _fidelity("inception-v3-compat", ["2048", "logits_unbiased"], path)
    maps: list[Tensor] = []
    # The map that ADM's evaluator calls mixed_6/conv.
    model.Mixed_6d.branch1x1.register_forward_hook(lambda _, __, out: maps.append(out[:, :SPATIAL_CHANNELS]))

    def features_of(images: Tensor) -> Features:
        maps.clear()
        features, logits = model(images)
        return Features(features, spatial=maps[0].flatten(1), logits=logits)

    return partial(_batches, model, features_of)


def _clip(path: Path) -> Callable[[Tensor], Features]:
    model = _fidelity("clip-vit-l-14-336px", ["clip"], path)

    def features_of(images: Tensor) -> Features:
        resized = _resized(images, model.resolution).round().to(torch.uint8)  # else torch-fidelity does it bilinearly
        return Features(model(resized)[0])

    return partial(_batches, model, features_of)


def _dinov2(path: Path) -> Callable[[Tensor], Features]:
    """The class token after the last norm; torch-fidelity's own reads no weights but from the hub."""
    try:
        from transformers import Dinov2Model
    except ImportError as error:
        raise LabError("dinov2 needs transformers: pip install 'lina-lab[text]'") from error
    model = Dinov2Model.from_pretrained(path.parent, local_files_only=True).eval().requires_grad_(False)
    model = model.to("cuda" if torch.cuda.is_available() else "cpu")
    mean, deviation = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, DEVIATION))

    def features_of(images: Tensor) -> Features:
        pixels = (_resized(images, 224) / 255 - mean.to(images.device)) / deviation.to(images.device)
        return Features(model(pixel_values=pixels).pooler_output)

    return partial(_batches, model, features_of)


def _fidelity(name: str, features: list[str], path: Path) -> Any:
    from torch_fidelity.utils import create_feature_extractor

    options = {"cuda": torch.cuda.is_available(), "verbose": False, "feature_extractor_weights_path": str(path)}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit.load` is deprecated")  # CLIP is published as such an archive
        return create_feature_extractor(name, features, **options)


def _resized(images: Tensor, side: int) -> Tensor:
    """Images (n, 3, h, w) uint8 to (n, 3, side, side) float32 in [0, 255], as both were published: bicubic."""
    size = (side, side)
    return F.interpolate(images.float(), size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 255)


WEIGHTS = {
    "inception": Published(
        identity="inception-v3-compat",
        file="weights-inception-2015-12-05-6726825d.pth",
        sha256="6726825d",
        source="the release v0.2.0 of torch-fidelity on GitHub (toshas/torch-fidelity)",
        variable="LAB_INCEPTION_WEIGHTS",
        load=_inception,
    ),
    "dinov2": Published(
        identity="dinov2-vit-l-14",
        file="dinov2-large/model.safetensors",
        sha256="",
        source="facebook/dinov2-large on Hugging Face, with its config.json beside it",
        variable="LAB_DINOV2_WEIGHTS",
        load=_dinov2,
    ),
    "clip": Published(
        identity="clip-vit-l-14-336px",
        file="ViT-L-14-336px.pt",
        sha256="3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02",
        source="the models that openai/CLIP lists in clip/clip.py on GitHub",
        variable="LAB_CLIP_WEIGHTS",
        load=_clip,
    ),
}

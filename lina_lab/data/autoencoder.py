"""KL autoencoders through diffusers: encode images to posterior moments, decode latents to images.

Shapes: n images of H x W pixels, C channels of latents of h x w.
"""

import hashlib
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lina_lab.config.data import AutoencoderConfig, DataConfig
from lina_lab.data.cache import MANIFEST, place, read_json
from lina_lab.errors import LabError

PIXELS_AT_ONCE = 2**20
"""Most pixels of one batch: 16 images of 256 x 256, or one of 1024 x 1024. With SDXL's autoencoder that takes about
4 GB: measured on a processor, 4.0 KB a pixel to decode and 2.6 KB to encode."""
TILED_ABOVE = 1024
"""Images with a larger side are decoded in overlapping tiles with blended seams (by diffusers). Tiling changes pixels,
so smaller images, which fit in memory, are decoded whole."""
Decode = Callable[[Tensor], Tensor]
"""Maps what the model generates, (n, C, h, w), to images (n, 3, H, W) in [-1, 1]."""


def pixels(latents: Tensor) -> Tensor:
    """The decoder of a model of pixels: the identity."""
    return latents


def decoder(config: DataConfig, device: torch.device) -> Decode:
    """The function that turns a model's samples into images; the identity without an autoencoder.

    Raises:
        LabError: if the autoencoder cannot be loaded, does not match the config, or is not the one that encoded this
            machine's cache of latents.
    """
    if config.autoencoder is None:
        return pixels
    loaded, manifest = load_autoencoder(config.autoencoder, device), read_json(place(config) / MANIFEST)
    if manifest is not None and manifest["autoencoder_sha256"] != loaded.sha256:
        raise LabError(
            f"data.autoencoder.path {config.autoencoder.path}: has other weights than latents were encoded with: must "
            f"be {manifest['autoencoder_sha256'][:12]}, not {loaded.sha256[:12]}; lab cache encodes them again"
        )
    return loaded.decode


class Autoencoder:
    """A loaded autoencoder, in float32, because SDXL's overflows in float16."""

    def __init__(self, config: AutoencoderConfig, model: Any) -> None:
        self.config, self.model = config, model
        self.sha256 = _digest(model)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Moments (n, 2C, h, w) of images (n, 3, H, W) in [-1, 1]: mean, and log-variance cut to -30 ... 20."""
        posteriors = [self.model.encode(batch).latent_dist for batch in self._batches(images, images.shape[-1])]
        return torch.cat([torch.cat([each.mean, each.logvar], dim=1) for each in posteriors])

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Images (n, 3, H, W) of latents as the model sees them: decoder(x / scaling_factor + shift_factor)."""
        side = latents.shape[-1] * self.config.stride
        self.model.use_tiling = side > TILED_ABOVE
        raw = latents.float() / self.config.scaling_factor + self.config.shift_factor
        return torch.cat([self.model.decode(batch).sample for batch in self._batches(raw, side)])

    def _batches(self, rows: Tensor, side: int) -> list[Tensor]:
        rows = rows.to(self.model.device)
        return list(rows.split(max(1, PIXELS_AT_ONCE // side**2)))


@cache
def load_autoencoder(config: AutoencoderConfig, device: torch.device) -> Autoencoder:
    """The autoencoder of a config, loaded once a process. A local folder is read without asking any server.

    Raises:
        LabError: if it cannot be loaded, or has other channels, another stride or other weights than the config says.
    """
    try:
        from diffusers import AutoencoderKL
    except ImportError as error:
        raise LabError("data.autoencoder needs diffusers: pip install 'lina-lab[latents]'") from error
    path = config.path
    try:
        with warnings.catch_warnings(action="ignore"):  # deprecations within diffusers' own libraries
            local = Path(path).is_dir()
            model: Any = AutoencoderKL.from_pretrained(path, local_files_only=local, low_cpu_mem_usage=False)
    except (OSError, ValueError, RuntimeError) as error:
        raise LabError(f"data.autoencoder.path {path}: cannot be loaded: {str(error).splitlines()[0]}") from error
    stride = 2 ** (len(model.config.block_out_channels) - 1)
    actual = {"channels": model.config.latent_channels, "stride": stride}
    for field, value in actual.items():
        if getattr(config, field) != value:
            raise LabError(f"data.autoencoder.{field} must be {value} for {path}, not {getattr(config, field)}")
    loaded = Autoencoder(config, model.float().eval().requires_grad_(requires_grad=False).to(device))
    if config.digest is not None and not loaded.sha256.startswith(config.digest):
        raise LabError(
            f"data.autoencoder.path {path}: has other weights than data.autoencoder.digest says: must be "
            f"{loaded.sha256[:12]}, not {config.digest}"
        )
    return loaded


def _digest(model: torch.nn.Module) -> str:
    """SHA-256 over names, shapes and values of all weights, as hex; independent of where they came from."""
    total = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        total.update(f"{name} {tuple(tensor.shape)}".encode())
        total.update(tensor.cpu().contiguous().numpy().data)
    return total.hexdigest()

"""KL autoencoders through diffusers: images to the moments of a posterior, latents to images.

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
"""Of a batch, encoded or decoded: 16 images of 256 x 256, one of 1024 x 1024. Of SDXL's shape that takes 4 GB: on a
processor 4.0 KB a pixel were measured to decode and 2.6 KB to encode."""
TILED_ABOVE = 1024
"""Larger sides are decoded in overlapping tiles (diffusers' own), whose seams are blended. That changes pixels, and is
done only where memory asks for it."""
Decode = Callable[[Tensor], Tensor]
"""From what the model sees to images in [-1, 1], (n, C, h, w) to (n, 3, H, W)."""


def pixels(latents: Tensor) -> Tensor:
    """What a model without an autoencoder sees are the images."""
    return latents


def decoder(config: DataConfig, device: torch.device) -> Decode:
    """What turns a model's samples into images: nothing to do for a model of pixels.

    Raises:
        LabError: if the autoencoder cannot be had, is not the one that the config describes, or not the one that the
            cache of this config on this machine was made with.
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
    """A loaded autoencoder, in float32: SDXL's overflows in float16."""

    def __init__(self, config: AutoencoderConfig, model: Any) -> None:
        self.config, self.model = config, model
        self.sha256 = _digest(model)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Moments (n, 2C, h, w) of images (n, 3, H, W) in [-1, 1]: mean, and log-variance cut to -30 ... 20."""
        found = [self.model.encode(part).latent_dist for part in self._batches(images, images.shape[-1])]
        return torch.cat([torch.cat([each.mean, each.logvar], dim=1) for each in found])

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Images (n, 3, H, W) of latents as the model sees them: decoder(x / scaling_factor + shift_factor)."""
        side = latents.shape[-1] * self.config.stride
        self.model.use_tiling = side > TILED_ABOVE
        raw = latents.float() / self.config.scaling_factor + self.config.shift_factor
        return torch.cat([self.model.decode(part).sample for part in self._batches(raw, side)])

    def _batches(self, rows: Tensor, side: int) -> list[Tensor]:
        rows = rows.to(self.model.device)
        return list(rows.split(max(1, PIXELS_AT_ONCE // side**2)))


@cache
def load_autoencoder(config: AutoencoderConfig, device: torch.device) -> Autoencoder:
    """The autoencoder of a config, once a process; of a local folder nothing is asked of any server.

    Raises:
        LabError: if it cannot be loaded, or has other channels, another stride or other weights than the config says.
    """
    try:
        from diffusers import AutoencoderKL
    except ImportError as error:
        raise LabError("data.autoencoder needs diffusers: pip install 'lina-lab[latents]'") from error
    path = config.path
    try:
        with warnings.catch_warnings(action="ignore"):  # of what its own libraries deprecate
            local = Path(path).is_dir()
            model: Any = AutoencoderKL.from_pretrained(path, local_files_only=local, low_cpu_mem_usage=False)
    except (OSError, ValueError, RuntimeError) as error:
        raise LabError(f"data.autoencoder.path {path}: cannot be loaded: {str(error).splitlines()[0]}") from error
    stride = 2 ** (len(model.config.block_out_channels) - 1)
    found = {"channels": model.config.latent_channels, "stride": stride}
    for field, value in found.items():
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
    """SHA-256 of all weights by name, as hex: the same wherever they were loaded from."""
    found = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        found.update(f"{name} {tuple(tensor.shape)}".encode())
        found.update(tensor.cpu().contiguous().numpy().data)
    return found.hexdigest()

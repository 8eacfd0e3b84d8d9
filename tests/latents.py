"""A tiny autoencoder with random weights, and data that stand behind it, for tests of latents."""

import multiprocessing
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from lina_lab.config.data import DataConfig
from lina_lab.data.encoding import PRELOADED
from lina_lab.data.text import CACHE_VARIABLE

CHANNELS = 16
SMALL = 7 * 2 * 2 * CHANNELS * 4 * 4
"""Bytes of a shard of seven images of side 16 behind `coder`."""
SCRIPT = f"""
import os
from lina_lab.config.data import DataConfig
from lina_lab.data import cache, encoding
os.environ["{CACHE_VARIABLE}"] = where
cache.SHARD_BYTES = {SMALL}
encoding.make_cache(DataConfig.model_validate_json(said))
"""


def save_autoencoder(path: Path, channels: int = CHANNELS, stride: int = 4, seed: int = 0) -> Path:
    """A KL autoencoder of about 20,000 parameters as diffusers keeps it."""
    from diffusers import AutoencoderKL

    depth = stride.bit_length()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * depth,
            up_block_types=("UpDecoderBlock2D",) * depth,
            block_out_channels=(4,) * depth,
            layers_per_block=1,
            latent_channels=channels,
            norm_num_groups=2,
            sample_size=16,
        )
    model.save_pretrained(path)
    return path


def coder(path: Path, **more: object) -> dict:
    return {"path": str(path), "channels": CHANNELS, "stride": 4, "scaling_factor": 0.5, "shift_factor": 0.25} | more


def folder_data(path: Path, autoencoder: dict, **more: object) -> DataConfig:
    values = {"name": "images", "path": str(path), "num_classes": 2, "side": 16, "autoencoder": autoencoder}
    return DataConfig.model_validate(values | more)


def draw_folder(path: Path, each: int = 30, side: int = 20) -> Path:
    """Two classes of images of noise."""
    generator = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (path / name).mkdir(parents=True)
        for number in range(each):
            pixels = generator.integers(0, 256, (side, side, 3), np.uint8)
            Image.fromarray(pixels).save(path / name / f"{number:03}.png", compress_level=0)
    return path


def maker(config: DataConfig, where: Path) -> multiprocessing.Process:
    """Another process that makes a cache in small shards, started; all of a session come from one that has imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    # A script, because the other process may know no package of this name.
    process = context.Process(target=exec, args=(SCRIPT, {"said": config.model_dump_json(), "where": str(where)}))
    process.start()
    return process

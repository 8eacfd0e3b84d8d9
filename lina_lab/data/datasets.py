"""Data sets by name: images in [-1, 1] with labels, in a fixed split into training and held-out.

Shapes: n images, C channels, h x w pixels.
"""

from importlib import metadata

import numpy as np
import torch
from torch import Tensor

from lina_lab.config.data import DataConfig
from lina_lab.data.emoji import emoji
from lina_lab.data.examples import Dataset, Examples
from lina_lab.data.folder import images
from lina_lab.data.mnist import mnist
from lina_lab.data.shapes import load_shapes
from lina_lab.data.torchvision_sets import load_torchvision
from lina_lab.design.data_sets import LOADERS
from lina_lab.errors import NotFinite

__all__ = ["EIGHT_BIT_RULE", "LOADERS", "Dataset", "Examples", "load_dataset", "to_uint8"]

EIGHT_BIT_RULE = "round(127.5 x + 127.5), cut to 0 ... 255"
HELD_OUT_A_CLASS = 50


def load_dataset(config: DataConfig, *, pixels: bool = True) -> Dataset:
    """The data set of a config: always the same images in the same split.

    With an autoencoder it has latents for training; the images themselves are for evaluation, and are loaded only with
    `pixels`.
    """
    if config.autoencoder is not None:
        from lina_lab.data.latents import load_latents

        dataset = load_latents(config, pixels=pixels)
    else:
        dataset = LOADERS[config.name](config)
    return dataset._replace(name=config.name, classes_of=config.classes_of, num_classes=config.shape.num_classes)


def digits(config: DataConfig) -> Dataset:  # noqa: ARG001, one size and no path
    """1,797 handwritten digits of 8 x 8 pixels and 17 grey levels, from scikit-learn's wheel.

    Held out are 50 of every class, 500 in all, so that the FID reference is exactly balanced.
    """
    # Read without importing scikit-learn, which takes a second of every worker for pandas and pyarrow.
    file = metadata.distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")
    table = torch.from_numpy(np.loadtxt(str(file), dtype=np.float32, delimiter=","))  # (1797, 65): pixels, label
    images = table[:, :64].reshape(-1, 1, 8, 8) / 8 - 1
    labels = table[:, 64].long()
    held_out = _stratified(labels, HELD_OUT_A_CLASS)
    return Dataset(Examples(images[~held_out], labels[~held_out]), Examples(images[held_out], labels[held_out]))


def _stratified(labels: Tensor, each: int) -> Tensor:
    """A mask (n,) of `each` images of every class, drawn once from a fixed generator."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        mask[order[labels[order] == label][:each]] = True
    return mask


LOADERS |= {
    "digits": digits,
    "emoji": emoji,
    "fashion-mnist": mnist,
    "images": images,
    "mnist": mnist,
    "shapes": load_shapes,
    "torchvision": load_torchvision,
}


def to_uint8(images: Tensor) -> Tensor:
    """(n, C, h, w) in [-1, 1] to (n, 3, h, w) uint8 by the `EIGHT_BIT_RULE`; a single channel is repeated.

    Images that are already uint8 are returned unchanged.

    Raises:
        NotFinite: naming how many images hold NaN or infinite values, which would become black or white pixels.
    """
    if images.dtype == torch.uint8:
        return images
    bad = (~images.isfinite()).flatten(1).any(1).nonzero().flatten()
    if len(bad):
        raise NotFinite(
            f"samples not finite: {len(bad):,} of {len(images):,} images hold NaN or infinite values (the first is "
            f"image {int(bad[0])})"
        )
    return (127.5 * images + 127.5).round().clamp(0, 255).to(torch.uint8).expand(-1, 3, -1, -1)

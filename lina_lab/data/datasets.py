"""Data sets by name: images in [-1, 1] with labels, in a fixed split into training and held-out.

Shapes: n images, C channels, h x w pixels.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from lina_lab.config.data import DataConfig
from lina_lab.data.emoji import emoji
from lina_lab.data.examples import Dataset, Examples
from lina_lab.data.folder import images
from lina_lab.data.mnist import mnist
from lina_lab.data.shapes import load_shapes
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
    return dataset._replace(name=config.name, num_classes=config.shape.num_classes)


def digits(config: DataConfig) -> Dataset:  # noqa: ARG001, one size and no path
    """1,797 handwritten digits of 8 x 8 pixels and 17 grey levels, from scikit-learn's wheel.

    Held out are 50 of every class, 500 in all, so that the FID reference is exactly balanced.
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    images = torch.tensor(data.images, dtype=torch.float32).unsqueeze(1) / 8 - 1  # (1797, 1, 8, 8)
    labels = torch.tensor(data.target, dtype=torch.int64)
    held_out = _stratified(labels, HELD_OUT_A_CLASS)
    return Dataset(Examples(images[~held_out], labels[~held_out]), Examples(images[held_out], labels[held_out]))


def _stratified(labels: Tensor, each: int) -> Tensor:
    """A mask (n,) of `each` images of every class, drawn once from a fixed generator."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        mask[order[labels[order] == label][:each]] = True
    return mask


LOADERS: dict[str, Callable[[DataConfig], Dataset]] = {
    "digits": digits,
    "emoji": emoji,
    "fashion-mnist": mnist,
    "images": images,
    "mnist": mnist,
    "shapes": load_shapes,
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

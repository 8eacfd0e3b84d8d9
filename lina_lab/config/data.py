"""The data sets by name, and what a model must know of them."""

from typing import Literal, NamedTuple

from lina_lab.config.base import Config


class DataShape(NamedTuple):
    """What a model must know of its data: latents of shape (channels, side, side) and a label."""

    channels: int
    side: int
    num_classes: int


DATASETS = {"digits": DataShape(channels=1, side=8, num_classes=10)}
PUBLISHED_DATA = DataShape(channels=16, side=16, num_classes=1000)
"""ImageNet at 256 px through the MAR autoencoder, as the published class-conditional models see it."""


class DataConfig(Config):
    name: Literal["digits"] = "digits"

    @property
    def shape(self) -> DataShape:
        return DATASETS[self.name]

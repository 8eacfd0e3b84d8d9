"""What a plugin's loader gives, checked, as a data set.

Shapes: n images, C channels, s pixels of a side.
"""

from typing import Any

import torch
from torch import Tensor

from lina_lab.config.data import DataConfig
from lina_lab.data.examples import Dataset, Examples, from_uint8
from lina_lab.errors import LabError
from lina_lab.escape import shown
from lina_lab.plugins.data import DataSet


def loaded(own: DataSet, config: DataConfig) -> Dataset:
    """The data set of a plugin.

    Raises:
        LabError: if its loader fails, or gives something other than it says.
    """
    try:
        train, heldout = own.load(config.path)
        (train_images, train_labels), (heldout_images, heldout_labels) = train, heldout
    except Exception as error:
        raise LabError(f"data set {own.word}: load: {shown(f'{type(error).__name__}: {error}')}") from error
    return Dataset(
        _examples(own, "trained on", own.train, train_images, train_labels),
        _examples(own, "held out", own.heldout, heldout_images, heldout_labels),
    )


def _examples(own: DataSet, split: str, count: int, images: Any, labels: Any) -> Examples:
    """One split, its images as floats in [-1, 1] and its labels as int64."""

    def refuse(what: str, wrong: object) -> LabError:
        return LabError(f"data set {own.word}: load: images {split} must {what}, not {wrong}")

    images, labels = torch.as_tensor(images), torch.as_tensor(labels)
    shape = (count, own.channels, own.side, own.side)
    if images.shape != shape or labels.shape != (count,):
        raise refuse(
            f"be {shape} with labels {(count,)}, as it says", f"{tuple(images.shape)} and {tuple(labels.shape)}"
        )
    if labels.is_floating_point() or labels.min() < 0 or labels.max() >= own.num_classes:
        raise refuse(f"have whole labels from 0 to {own.num_classes - 1}", f"{labels.min()} to {labels.max()}")
    return Examples(_in_range(images, refuse), labels.long())


def _in_range(images: Tensor, refuse: Any) -> Tensor:
    if images.dtype == torch.uint8:
        return from_uint8(images.permute(0, 2, 3, 1))
    if not images.is_floating_point() or not (images.abs() <= 1).all():
        raise refuse("be uint8, or floats in [-1, 1]", f"{images.dtype} from {images.min()} to {images.max()}")
    return images.float()

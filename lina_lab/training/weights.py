"""Weights of a Lightning checkpoint as arrays, for rooms that know nothing of torch."""

from pathlib import Path

import numpy as np
import torch

from lina_lab.errors import LabError
from lina_lab.training.average import AveragedWeights


def checkpoint_weights(path: Path) -> dict[str, np.ndarray]:
    """The averaged weights in a checkpoint of a cell, by the names of `Lina`.

    Raises:
        LabError: if the file is no such checkpoint, or damaged.
    """
    if not path.exists():
        raise LabError(f"{path}: no such file")
    try:
        # Only tensors and plain values: nothing in a checkpoint is executed.
        callbacks = torch.load(path, map_location="cpu", weights_only=True)["callbacks"]
        tensors = callbacks[AveragedWeights.__qualname__]["average"]
        return {name.removeprefix("model."): tensor.float().numpy() for name, tensor in tensors.items()}
    except Exception as error:
        # A damaged archive fails in many ways, and each has the same remedy.
        raise LabError(f"{path}: is no checkpoint of a cell, or damaged: {str(error).splitlines()[0]}") from error

"""Weights of a Lightning checkpoint as NumPy arrays, for rooms that may not import torch."""

from pathlib import Path

import numpy as np

from lina_lab.checkpoints.sharded_files import Rows, read_sharded
from lina_lab.errors import LabError
from lina_lab.training.ema import AveragedWeights


def checkpoint_weights(path: Path) -> dict[str, np.ndarray]:
    """The EMA weights in a checkpoint of a cell, by parameter name of `Lina`, float32.

    Raises:
        LabError: if the file is no such checkpoint, or damaged.
    """
    if not path.exists():
        raise LabError(f"{path}: no such file")
    try:
        average = read_sharded(path)["callbacks"][AveragedWeights.__qualname__]["average"]
        tensors = {name: saved.whole() if isinstance(saved, Rows) else saved for name, saved in average.items()}
        return {name.removeprefix("model."): tensor.float().numpy() for name, tensor in tensors.items()}
    except Exception as error:
        # A damaged archive fails in many ways, and each has the same remedy.
        raise LabError(f"{path}: is no checkpoint of a cell, or damaged: {str(error).splitlines()[0]}") from error

"""MNIST and Fashion-MNIST, 28 x 28 pixels in one channel, 10 classes; `pack_mnist` packed them.

MNIST (LeCun, Cortes and Burges; CC BY-SA 3.0) is whole. Of Fashion-MNIST (Zalando; MIT) there is the part that the
package has room for, equally many of every class. The licences are in packed/mnist-LICENSE.txt.
"""

import io
import lzma

import numpy as np
import torch

from lina_lab.config.data import DataConfig
from lina_lab.data.emoji import PACKED
from lina_lab.data.examples import Dataset, Examples, from_uint8
from lina_lab.files import read_named


def mnist(config: DataConfig) -> Dataset:
    """MNIST or Fashion-MNIST, by the name in the config.

    Held out are MNIST's own test images, 10,000, and 400 of every class of Fashion-MNIST.

    Raises:
        LabError: if the packed file is missing or damaged.
    """
    with np.load(io.BytesIO(lzma.decompress(read_named(PACKED, config.name, ".xz")[1]))) as arrays:
        train, heldout = (
            Examples(
                from_uint8(torch.from_numpy(arrays[f"{part}_images"]).unsqueeze(-1)),  # (n, 1, 28, 28)
                torch.from_numpy(arrays[f"{part}_labels"]).long(),
            )
            for part in ("train", "heldout")
        )
    return Dataset(train, heldout)

"""The images that a report shows of each cell: a few of every class, as they were drawn."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from lina_lab.arrays import names_in, read_array

PER_CLASS, CLASSES = 5, 10


class Samples(NamedTuple):
    """Up to `PER_CLASS` images of each of the first `CLASSES` classes."""

    images: np.ndarray
    """(n, height, width, 3), uint8."""
    labels: np.ndarray
    """(n,)"""


def first_of_each_class(images: np.ndarray, labels: np.ndarray) -> Samples:
    """The first images of each of the first classes, in their order."""
    places = [np.flatnonzero(labels == label)[:PER_CLASS] for label in np.unique(labels)[:CLASSES]]
    kept = np.concatenate(places)
    return Samples(images[kept], labels[kept])


def samples_of_ledger(runs: Path, table: pd.DataFrame) -> dict[str, Samples]:
    """Of every cell of the first seed that has images, by its key."""
    samples = {}
    for key in table.loc[table["seed"] == table["seed"].min(), "key"]:
        path = runs / key / "samples" / "generated.npz"
        if path.exists():
            samples[key] = first_of_each_class(read_array(path, "arr_0"), read_array(path, "labels"))
    return samples


def samples_bytes(samples: Mapping[str, Samples]) -> bytes:
    """An npz file that `read_samples` reads."""
    file = io.BytesIO()
    arrays = {f"{key}.{name}": array for key, one in samples.items() for name, array in one._asdict().items()}
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def read_samples(path: Path) -> dict[str, Samples]:
    """The samples of a file, by the key of their cell; none if it is not there.

    Raises:
        LabError: if it is damaged.
    """
    if not path.exists():
        return {}
    keys = dict.fromkeys(name.partition(".")[0] for name in names_in(path))
    return {key: Samples(read_array(path, f"{key}.images"), read_array(path, f"{key}.labels")) for key in keys}

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
    """Up to `PER_CLASS` images of each of the first `CLASSES` classes; equal numbers have equal noise in every cell."""

    images: np.ndarray
    """(n, height, width, 3), uint8."""
    labels: np.ndarray
    """(n,)"""
    numbers: np.ndarray
    """(n,): the numbers of the images in their set, from which their noise follows."""
    titles: np.ndarray
    """(n,): what was asked for, in words: a prompt or the name of a class."""


def first_of_each_class(drawn: Samples) -> Samples:
    """The first images of each of the first classes, in their order."""
    labels = drawn.labels
    places = [np.flatnonzero(labels == label)[:PER_CLASS] for label in np.unique(labels)[:CLASSES]]
    return Samples(*(array[np.concatenate(places)] for array in drawn))


def samples_of_ledger(runs: Path, table: pd.DataFrame) -> dict[str, Samples]:
    """Of every cell of the first seed that has images, by its key."""
    samples = {}
    for key in table.loc[table["seed"] == table["seed"].min(), "key"]:
        path = runs / key / "samples" / "generated.npz"
        if path.exists():
            samples[key] = first_of_each_class(_drawn(path))
    return samples


def _drawn(path: Path) -> Samples:
    """All images of a cell; older sets lack numbers and the names of classes."""
    there, labels = names_in(path), read_array(path, "labels")
    title = next((name for name in ("prompts", "classes") if name in there), "labels")
    return Samples(
        images=read_array(path, "arr_0"),
        labels=labels,
        numbers=read_array(path, "numbers") if "numbers" in there else np.arange(len(labels)),
        titles=read_array(path, title).astype(str),
    )


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
    return {key: Samples(*(read_array(path, f"{key}.{name}") for name in Samples._fields)) for key in keys}

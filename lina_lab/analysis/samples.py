"""The images that a report shows of each cell: a few of every class, as they were drawn."""

import io
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd
from safetensors import SafetensorError
from safetensors.numpy import load, save

from lina_lab.arrays import names_in, read_array
from lina_lab.errors import LabError
from lina_lab.ledger.merged import FEW

PER_CLASS, CLASSES = 5, 10
Arrays = TypeVar("Arrays", bound=NamedTuple)


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
        shown = samples_of_cell(runs / key)
        if shown is not None:
            samples[key] = shown
    return samples


def samples_of_cell(folder: Path) -> Samples | None:
    """Of all its images, or those that were merged with it; None if there are none."""
    drawn, few = folder / "samples" / "generated.npz", folder / FEW
    if drawn.exists():
        return first_of_each_class(_drawn(drawn))
    return parse_few(few.read_bytes(), few) if few.exists() else None


def few_bytes(samples: Samples) -> bytes:
    """What `parse_few` reads: safetensors, which are no larger than their file; titles by their code points (n, k)."""
    titles = np.ascontiguousarray(samples.titles)
    return save(samples._replace(titles=titles.view(np.uint32).reshape(len(titles), -1))._asdict())


def parse_few(data: bytes, path: Path) -> Samples:
    """The samples that were merged with a cell; `path` is named in errors.

    Raises:
        LabError: if they are damaged.
    """
    try:
        found = Samples(**load(data))
    except (SafetensorError, TypeError) as error:
        raise LabError(f"{path}: damaged: {error}") from error
    images, titles = found.images, found.titles
    pictures = images.dtype == np.uint8 and images.ndim == 4 and images.shape[3] == 3
    words = titles.dtype == np.uint32 and titles.ndim == 2 and titles.size and titles.max() <= sys.maxunicode
    if not (pictures and words and found.labels.shape == found.numbers.shape == (len(images),) == (len(titles),)):
        raise LabError(f"{path}: must be images (n, height, width, 3), and labels, numbers and titles of each")
    return found._replace(titles=np.ascontiguousarray(titles).view(f"<U{titles.shape[1]}")[:, 0])


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


def npz_bytes(by_key: Mapping[str, NamedTuple]) -> bytes:
    """An npz file that `read_npz` reads: tuples of arrays, each by the key of its cell."""
    file = io.BytesIO()
    arrays = {f"{key}.{name}": array for key, one in by_key.items() for name, array in one._asdict().items()}
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def read_npz(path: Path, kind: type[Arrays]) -> dict[str, Arrays]:
    """The tuples of a file, by the key of their cell; none if it is not there.

    Raises:
        LabError: if it is damaged.
    """
    if not path.exists():
        return {}
    keys = dict.fromkeys(name.partition(".")[0] for name in names_in(path))
    return {key: kind._make(read_array(path, f"{key}.{name}") for name in kind._fields) for key in keys}

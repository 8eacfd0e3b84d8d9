"""Whole data sets that torchvision reads: its files below a root folder, downloaded where they are missing.

Shapes: n images of side x side pixels and C channels.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lina_lab.config.data import DataConfig
from lina_lab.config.torchvision_sets import TORCHVISION_SETS, TorchvisionSet
from lina_lab.data.examples import Dataset, Examples, evenly_spaced, from_uint8, repeats
from lina_lab.data.pictures import content
from lina_lab.design.data_sets import Sizes
from lina_lab.errors import LabError
from lina_lab.escape import shown

MOST_HELD_OUT = 10_000
"""Most held-out pictures: precision and recall compare each with each."""
PATIENCE = 20.0
"""Seconds without an answer after which a download is given up."""


def load_torchvision(config: DataConfig) -> Dataset:
    """A set of torchvision in its own size and channels: its training part, and of its test part at most
    `MOST_HELD_OUT`, evenly spaced. Letters and digits of EMNIST, which lie on their side in its files, stand upright.

    Raises:
        LabError: naming every file that is missing, or the first that torchvision cannot read.
    """
    known, parts = _known(config), [_part(config, train=train) for train in (True, False)]
    (train, train_labels), (test, test_labels) = (_arrays(config, part) for part in parts)
    rows = evenly_spaced(torch.arange(len(test)), MOST_HELD_OUT)
    test, test_labels = test[rows], test_labels[rows]
    names = [*(f"train {row}" for row in range(len(train))), *(f"test {row}" for row in rows.tolist())]
    contents = [content(image) for part in (train, test) for image in part.numpy()]
    classes = getattr(parts[0], "classes", ())[known.first_label :]  # not every set names them
    heldout = [False] * len(train) + [True] * len(test)
    return Dataset(
        Examples(from_uint8(train), train_labels),
        Examples(from_uint8(test), test_labels),
        repeats=repeats(contents, names, heldout),
        classes=classes if len(classes) == known.num_classes else (),
    )


def sizes_of(config: DataConfig) -> Sizes | None:
    """Sizes of a set without its pixels; None if its files are not all there.

    Raises:
        LabError: if torchvision cannot read them.
    """
    if missing(config):
        return None
    train, test = (len(_part(config, train=train)) for train in (True, False))
    return Sizes(train, min(test, MOST_HELD_OUT), train)


def missing(config: DataConfig) -> list[str]:
    """The files of a set that are not below its root."""
    return [name for name in _known(config).files if not (Path(config.root or "") / name).is_file()]


def download(config: DataConfig) -> None:
    """Have torchvision download what is missing of a set.

    Raises:
        LabError: with all that is missing, why it did not come, and how else it can be had.
    """
    if not missing(config):
        return
    why = ""
    try:
        with _patience():
            for train in (True, False):
                _class(config)(config.root, download=True, **_known(config).part(train=train))
    except (OSError, RuntimeError, HTTPException) as error:
        why = " ".join(str(error).split()) or type(error).__name__
    if missing(config):
        raise LabError(f"{not_there(config)}; downloading failed: {shown(why) or 'the files did not come'}")


def not_there(config: DataConfig) -> str:
    """What is missing of a set and where, and how it can be had without a network."""
    known, root = _known(config), Path(config.root or "")
    by_folder: dict[str, list[str]] = {}
    for name in missing(config):
        by_folder.setdefault(shown((root / name).parent), []).append(Path(name).name)
    files = "; ".join(f"in {folder}: {', '.join(names)}" for folder, names in by_folder.items())
    words = [
        f"d.{known.reader}('{shown(root)}', download=True, {_said(known, train=train)})" for train in (True, False)
    ]
    code = f"from torchvision import datasets as d; {'; '.join(words)}"
    return (
        f"{config.dataset} is not all there: missing {files}; where there is a network, a run downloads it; otherwise "
        f'run python -c "{code}" where there is one, and copy what it writes'
    )


def _said(known: TorchvisionSet, *, train: bool) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in known.part(train=train).items())


@contextmanager
def _patience() -> Iterator[None]:
    """Sockets that give up after `PATIENCE`: torchvision sets no limit, and some networks never answer."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _known(config: DataConfig) -> TorchvisionSet:
    return TORCHVISION_SETS[config.dataset or ""]


def _class(config: DataConfig) -> Any:
    from torchvision import datasets  # it takes a second

    return getattr(datasets, _known(config).reader)


def _part(config: DataConfig, *, train: bool) -> Any:
    """One part as torchvision has it: a sequence of pairs (Pillow image, class)."""
    if missing(config):
        raise LabError(not_there(config))
    try:
        return _class(config)(config.root, **_known(config).part(train=train))
    except Exception as error:  # torchvision lets every error of its formats through
        raise LabError(
            f"{shown(Path(config.root or ''))}: torchvision cannot read its {config.dataset} ({type(error).__name__}: "
            f"{shown(str(error))}): a file is damaged; without its files it is downloaded again"
        ) from error


def _arrays(config: DataConfig, part: Any) -> tuple[Tensor, Tensor]:
    """The images (n, side, side, C) uint8 and labels (n,) of a part.

    They are taken from the arrays of torchvision's classes: its Pillow images, one by one, take thirty times as long.
    """
    known = _known(config)
    pixels = torch.as_tensor(part.data)
    if known.channels == 1:
        pixels = pixels.unsqueeze(-1)
    elif pixels.shape[-1] != known.channels:
        pixels = pixels.movedim(1, -1)
    labels = torch.as_tensor(part.targets if hasattr(part, "targets") else part.labels, dtype=torch.int64)
    if labels.dim() == 2:
        labels = labels[:, 0]  # of QMNIST, which says more of a digit than its class
    labels = labels - known.first_label
    shape, least, most = (known.side, known.side, known.channels), int(labels.min()), int(labels.max())
    if pixels.shape[1:] != shape or least < 0 or most >= known.num_classes:
        raise LabError(
            f"{shown(Path(config.root or ''))}: {config.dataset} must have pictures of shape {shape} in "
            f"{known.num_classes} classes, not of {tuple(pixels.shape[1:])} in classes {least} to {most}"
        )
    return (pixels.transpose(1, 2) if known.transposed else pixels), labels

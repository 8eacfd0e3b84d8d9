"""Data sets by name: tables that `lina_lab.config` and `lina_lab.data` fill, and plugins add to."""

from collections.abc import Callable
from typing import Any, NamedTuple

from lina_lab.design.value import Source as Origin


class Source(NamedTuple):
    """Facts of a data set that a config needs."""

    channels: int
    num_classes: int
    """0 if it depends on the files: then the config must give it."""
    sides: tuple[int, ...]
    """Supported resolutions, default first; empty: any from 16 on."""
    vocabulary: int
    """Words of its closed vocabulary; 0 for none."""
    balanced: bool = False
    """Whether its held-out split has equally many images of every class."""
    needs_path: bool = False
    """Whether it reads a folder that the config names, and says nothing else of it."""
    origin: Origin | None = None
    """The user's file that it comes from; None for a shipped set."""


class Sizes(NamedTuple):
    """Images of both splits for evaluation, and examples for training (None: endless)."""

    train: int
    heldout: int
    trained_on: int | None


SOURCES: dict[str, Source] = {}
SIZES: dict[str, Sizes] = {}
"""Sizes of the data sets whose files do not decide them."""
LOADERS: dict[str, Callable[[Any], Any]] = {}
"""From a `DataConfig` to a `Dataset`."""

"""A data set that a plugin file may define: `PROVIDES = [DataSet("mine", load=..., ...)]`.

Here is no torch, so tensors have no type. Shapes: n images, C channels, s pixels of a side.
"""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from importlib import import_module
from typing import Any

from lina_lab.design.data_sets import LOADERS, SIZES, SOURCES, Sizes, Source
from lina_lab.design.value import Source as Origin
from lina_lab.plugins.checks import Entry, check_fields, check_whole

DATA = "data.name"
READING = "lina_lab.data.plugin_sets"
"""Imports torch, and so is imported by name, when a set is loaded."""


@dataclass(frozen=True)
class DataSet:
    """A value of `data.name`: images with labels in a fixed split.

    Raises:
        ValueError: if a field is not what it must be.
    """

    word: str
    """What YAML calls it: letters, digits, _ and -."""
    _: KW_ONLY
    channels: int
    """1 for grey, 3 for colour."""
    side: int
    """Pixels of a side."""
    num_classes: int
    train: int
    """Images to train on."""
    heldout: int
    """Images held out: the FID reference, and those of the held-out loss."""
    load: Callable[[str | None], Any]
    """From `data.path` to ((images, labels), (images, labels)), trained on and held out, the same each time.

    Images (n, C, s, s) are uint8, or floats in [-1, 1]; labels (n,) are whole numbers from 0.
    """
    needs_path: bool = False
    """Whether `data.path` must name a folder. What lies there is then part of the key."""
    balanced: bool = False
    """Whether equally many images of every class are held out."""

    axis = DATA

    def __post_init__(self) -> None:
        check_fields(self, {"load": 1})
        for name in ("channels", "side", "num_classes", "train", "heldout"):
            check_whole(self, name)
        if self.channels not in {1, 3}:
            raise ValueError(f"{self.word}: channels must be 1 or 3, not {self.channels}")

    def entries(self, origin: Origin) -> list[Entry]:
        """What the tables of data sets get."""
        facts = Source(
            channels=self.channels,
            num_classes=self.num_classes,
            sides=(self.side,),
            vocabulary=0,
            balanced=self.balanced,
            needs_path=self.needs_path,
            origin=origin,
        )
        sizes = Sizes(self.train, self.heldout, self.train)
        return [Entry(SOURCES, facts), Entry(SIZES, sizes), Entry(LOADERS, self._loaded)]

    def _loaded(self, config: Any) -> Any:
        return import_module(READING).loaded(self, config)

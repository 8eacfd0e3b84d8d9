"""A feature network that a plugin file may define: `PROVIDES = [FeatureNetwork("mine", features=64, load=...)]`.

Here is no torch, so tensors have no type.
"""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from importlib import import_module
from typing import Any

from lina_lab.design.extractors import FEATURES, LOADERS
from lina_lab.design.value import Source
from lina_lab.plugins.checks import Entry, check_fields, check_whole

EXTRACTOR = "evaluation.extractor"
READING = "lina_lab.evaluation.plugin_extractors"
"""Imports torch, and so is imported by name, when a network is loaded."""


@dataclass(frozen=True)
class FeatureNetwork:
    """A value of `evaluation.extractor` and `evaluation.also`: the Fréchet distance of its features is eval/fid/<word>.

    Raises:
        ValueError: if a field is not what it must be.
    """

    word: str
    """What YAML calls it: letters, digits, _ and -."""
    _: KW_ONLY
    features: int
    """Features d an image; a distance needs more images than that."""
    load: Callable[[], Any]
    """To a function of images (n, 3, h, w), uint8, grey ones with three equal channels, that gives features (n, d)."""

    axis = EXTRACTOR

    def __post_init__(self) -> None:
        check_fields(self, {"load": 0})
        check_whole(self, "features")

    def entries(self, source: Source) -> list[Entry]:
        """What the tables of extractors get."""
        identity = f"{self.word}-{source.digest}"

        def loaded(name: str) -> Any:  # noqa: ARG001
            return import_module(READING).loaded(self, identity)

        return [Entry(FEATURES, self.features), Entry(LOADERS, loaded)]

"""Feature extractors by name: tables that `lina_lab.config` and `lina_lab.evaluation` fill, and plugins add to."""

from collections.abc import Callable
from typing import Any

FEATURES: dict[str, int] = {}
"""Features an image."""
LOADERS: dict[str, Callable[[str], Any]] = {}
"""From its name to an `Extractor`."""

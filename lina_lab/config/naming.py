"""Names of sweeps that `--set` has changed."""

import json
import re
from collections.abc import Mapping
from typing import Any

from lina_lab.config.experiment import digest

LONGEST = 100
"""Most characters of a name: files are named after it, with suffixes of their own."""


def set_name(name: str, short: Mapping[str, str], settings: Mapping[str, Any]) -> str:
    """The name of a sweep with its settings, safe as a file name: 'gates-steps-600'.

    `short` maps short names to the paths of the settings. A name that had to be shortened or cleaned ends in a digest,
    so that different settings have different names.
    """
    words = [f"{word}-{_text(settings[path])}" for word, path in sorted(short.items())]
    full = "-".join([name, *words])
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", full)[:LONGEST]
    return safe if safe == full else f"{safe}-{digest(json.dumps(dict(settings), sort_keys=True, default=str))[:8]}"


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "-".join(map(_text, value))
    return value if isinstance(value, str) else json.dumps(value, default=str)

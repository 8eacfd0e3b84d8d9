"""A cell that `lab merge` added: its result without its weights, and what a report needs of these.

runs/<key>/merged.json         from which bundle, and where that was made
           gates.safetensors   the learnt gates of its weights
           samples/few.safetensors   the images that a report shows
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lina_lab.files import write_atomic

MERGED, GATES, FEW = "merged.json", "gates.safetensors", "samples/few.safetensors"


def write_merged(folder: Path, facts: Mapping[str, Any]) -> None:
    write_atomic(folder / MERGED, json.dumps(facts, indent=1))


def without_weights(folder: Path) -> str:
    """Why a merged cell has no weights here, and where they are; '' for any other cell."""
    if (folder / "ema.safetensors").exists() or not (folder / MERGED).exists():
        return ""
    try:
        host = json.loads((folder / MERGED).read_text(encoding="utf-8"))["host"]
    except (ValueError, KeyError, TypeError):
        host = "another machine"
    return (
        f"cell {folder.resolve().name} was merged from a bundle, which has no weights: they are on {host}. To train it "
        f"again here: lab clean --cell {folder.resolve().name}, then lab sweep"
    )

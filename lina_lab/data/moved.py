"""Reuse a cache of latents whose images or autoencoder have moved, instead of encoding again.

The folder of a cache is named after the paths it was made from, so a new path means a new folder, although the content
is the same.
"""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lina_lab.data import cache
from lina_lab.data.shard import Job
from lina_lab.files import write_atomic

MADE_WITH = ("format", "data", "autoencoder", "text", "autoencoder_sha256", "encoder_sha256")


def take_over(job: Job, made_with: dict[str, Any], tell: Callable[[str], None]) -> None:
    """Fill an empty cache with the shards of a finished one of the same images, texts and weights, if there is one."""
    if any(job.root.glob(f"*/{cache.RECORD}")):
        return
    for path in sorted(job.root.parent.glob(f"*/{cache.MANIFEST}")):
        manifest = cache.read_json(path) or {}
        if _without_paths({name: manifest.get(name) for name in MADE_WITH}) != _without_paths(made_with):
            continue
        folders = [cache.shard_folder(path.parent, number) for number in range(len(job.shards))]
        records = [(cache.read_json(folder / cache.RECORD) or {}) | {"made_with": made_with} for folder in folders]
        if len(manifest["shards"]) == len(folders) and all(
            "stamps" in record and not cache.changes(record, job.pictures, rows, made_with, verify=False)
            for record, rows in zip(records, job.shards, strict=True)
        ):
            tell(f"{path.parent}: is of the same images and weights at another path: its shards are taken over")
            for number, (folder, record) in enumerate(zip(folders, records, strict=True)):
                _copy(folder, cache.shard_folder(job.root, number), record)
            return


def _copy(old: Path, new: Path, record: dict[str, Any]) -> None:
    """Hard-link or copy a file. Shards are never modified, so two caches can share one file."""
    new.mkdir(parents=True, exist_ok=True)
    for name in record["files"]:
        # Linked under a temporary name, because os.link cannot replace an existing file.
        part = new / f"{name}.{os.getpid()}.part"
        try:
            os.link(old / name, part)
        except OSError:
            shutil.copyfile(old / name, part)
        part.replace(new / name)
        part.unlink(missing_ok=True)  # left where both names were already one file
    write_atomic(new / cache.RECORD, json.dumps(record))


def _without_paths(made_with: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {k: v for k, v in value.items() if k != "path"} if isinstance(value, dict) else value
        for name, value in made_with.items()
    }

"""A cache of latents: one folder for each shard, which can be resumed, checked, shared and made again by itself.

    LAB_CACHE/latents/<hash of what it is made from>/
        manifest.json           written last: what the cache is made from, with what, and its checksums
        00000/moments.bin       float16 (n, 2C, h, w): mean and log-variance of the posterior
              text.bin          float16 (tokens, F): features of all texts of an encoder, one after the other
              shard.json        written last: names, labels and texts of the images, checksums
              refused.json      instead of shard.json: images that cannot be used
              attempts/         leases of the processes that make it: see ledger/leases.py
        00001/ ...

The files hold raw numbers and are memory-mapped: any process can open them, and copying them to a node's disk is a
plain copy. One big file would be read 1.3 times as fast, safetensors 0.9 times (benchmarks/latents.py). Neither
matters, since a GPU needs less than a fortieth of that rate, while a file for each shard is either whole or absent and
needs one writer only. On object storage, copy the folder to a disk of the node before training (`aws s3 sync`, rclone,
gsutil) and let LAB_CACHE name it: random reads over a network would leave a GPU waiting.

Shapes: n images of a shard, C channels of latents of h x w, F features of a token.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lina_lab.config.data import DataConfig
from lina_lab.config.experiment import digest
from lina_lab.data import emoji, folder
from lina_lab.data.pictures import Pictures
from lina_lab.data.pixels import PAD_RULE, RULE
from lina_lab.errors import LabError
from lina_lab.escape import shown
from lina_lab.files import cache_folder, sha256_of

FORMAT = 1
SHARD_BYTES = 64 * 2**20
"""Most bytes of a shard's moments: 4,096 images of the published 16 x 16 x 16 latents."""
MANIFEST, RECORD, REFUSED = "manifest.json", "shard.json", "refused.json"
MOMENTS, TEXT = "moments.bin", "text.bin"
COMMAND = "lab cache EXPERIMENT, with the same --set; of a cell that is there lab cache CELL"
PICTURES: dict[str, Callable[[DataConfig], Pictures]] = {"emoji": emoji.pictures, "images": folder.pictures}


def source(config: DataConfig) -> dict[str, Any]:
    """What a cache is made from. Split and scaling are not part of it: they are applied when it is read."""
    coder, text, rule = config.autoencoder, config.text, PAD_RULE if config.fit == "pad" else RULE
    if coder is None:
        raise LabError("data.autoencoder is null: a model of pixels needs no cache")
    return {
        "format": FORMAT,
        "data": {"name": config.name, "path": config.path, "side": config.side, "resize_rule": rule},
        "autoencoder": coder.model_dump(include={"path", "channels", "stride"}),
        "text": None if text is None or text.encoder != "hf" else text.model_dump(),
    }


def place(config: DataConfig) -> Path:
    """The folder of a config's cache. Its location enters no key."""
    return cache_folder() / "latents" / digest(source(config))[:16]


def shard_size(config: DataConfig) -> int:
    """Images of every shard but the last."""
    float16_bytes, moments = 2, 2
    return max(1, SHARD_BYTES // (float16_bytes * moments * config.shape.channels * config.shape.side**2))


def shards(count: int, size: int) -> list[range]:
    """The rows (image numbers) of every shard."""
    return [range(first, min(first + size, count)) for first in range(0, count, size)]


def shard_folder(root: Path, number: int) -> Path:
    return root / f"{number:05d}"


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None if it is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def is_whole(shard: Path, record: dict[str, Any]) -> bool:
    """Whether the files of a shard match the checksums in its record."""
    try:
        return all(sha256_of(shard / name) == known for name, known in record["files"].items())
    except (OSError, KeyError, AttributeError):
        return False


def described(pictures: Pictures, rows: range) -> dict[str, Any]:
    """The part of a shard's record that describes its images without reading them."""
    texts = [list(pictures.texts[row]) for row in rows] if pictures.texts else []
    return {
        "names": [pictures.names[row] for row in rows],
        "labels": pictures.labels[rows.start : rows.stop].tolist(),
        "texts": texts,
    }


def changes(record: dict[str, Any], pictures: Pictures, rows: range, made_with: dict[str, Any], *, verify: bool) -> str:
    """Why a shard is out of date; '' if it is not.

    Checksums are compared for images whose file size or time has changed; with `verify`, for all images.
    """
    if record.get("made_with") != made_with:
        return "made with other weights"
    if any(record.get(key) != value for key, value in described(pictures, rows).items()):
        return "other images, labels or texts"
    for row, before, known in zip(rows, record["stamps"], record["sha256"], strict=True):
        if (verify or list(pictures.size_and_time(row)) != before) and pictures.checksum(row) != known:
            return f"{shown(pictures.names[row])} has changed"
    return ""


def manifest_of(records: list[dict[str, Any]], made_with: dict[str, Any]) -> dict[str, Any]:
    """The manifest of a complete cache: what it was made from, and two checksums.

    `source_sha256` covers name, size and SHA-256 of every image. `sha256` covers all that a cell can see: moments,
    text features, names, labels, texts, and the weights that decode.
    """
    lines = (
        f"{name}\t{size}\t{known}\n"
        for record in records
        for name, (size, _), known in zip(record["names"], record["stamps"], record["sha256"], strict=True)
    )
    total = hashlib.sha256()
    for line in lines:
        total.update(line.encode("utf-8", "surrogateescape"))
    files = [record["files"] for record in records]
    seen: list[Any] = [[record[key] for key in ("files", "names", "labels", "texts")] for record in records]
    return made_with | {
        "count": sum(len(record["names"]) for record in records),
        "source_sha256": total.hexdigest(),
        "shards": files,
        "sha256": digest([made_with["autoencoder_sha256"], *seen]),
    }


def read_manifest(config: DataConfig, command: str = COMMAND) -> dict[str, Any]:
    """The manifest of a finished cache; the error names `command`, which would make it.

    Raises:
        LabError: if there is none.
    """
    manifest = read_json(place(config) / MANIFEST)
    if manifest is None:
        what = config.path or config.name
        raise LabError(f"{place(config)}: has no finished cache of the latents of {what}: run {command}")
    return manifest

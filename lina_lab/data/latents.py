"""Training data from a cache of latents: memory-mapped rows, posterior samples, and one text for each image.

Shapes: n images, C channels of latents of h x w, T tokens of a prompt, F features of a token.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lina_lab.config.data import DataConfig
from lina_lab.data import cache, emoji, folder
from lina_lab.data.examples import Dataset, Examples, Latents, repeats
from lina_lab.data.pictures import Pictures, Pixels, read_all
from lina_lab.data.text import conditions
from lina_lab.errors import LabError
from lina_lab.escape import shown

Half = NDArray[np.float16]
REFERENCE_IMAGES = 10_000
REFERENCE_BYTES = 8 * 2**30
"""Most bytes of a split's images: 2,730 of 1024 x 1024, which is more than Inception's 2,048 features."""


def load_latents(config: DataConfig, *, pixels: bool) -> Dataset:
    """The latents of a config's cache, and images of both splits for evaluation.

    The images are uint8, evenly spaced over each split, at most `REFERENCE_IMAGES` and `REFERENCE_BYTES` of them.
    Without `pixels` none is read.

    Raises:
        LabError: if the cache is not finished or damaged, its classes are not `num_classes`, the content is not what
            `digest` says, or an image has changed since it was encoded.
    """
    manifest, root = cache.read_manifest(config), cache.place(config)
    shards = cache.shards(manifest["count"], cache.shard_size(config))
    records = [_record(root, number) for number in range(len(shards))]
    labels = torch.tensor([label for record in records for label in record["labels"]])
    _check(config, root, manifest, int(labels.max()) + 1)
    names = [name for record in records for name in record["names"]]
    texts = [own for record in records for own in record["texts"]]
    pictures = _pictures(config, names, labels, texts)
    stored = Stored(config, root, records, labels, texts)
    train, heldout = (~pictures.heldout).nonzero().flatten(), pictures.heldout.nonzero().flatten()
    latents = Latents(
        num_train=len(train),
        shape=stored.shape,
        take=lambda index, noise, choice: stored.take(train[index], noise, choice),
        heldout=lambda most: stored.take(spaced(heldout, most), None, None),
        sha256=manifest["sha256"],
    )
    most = max(1, min(REFERENCE_IMAGES, REFERENCE_BYTES // (3 * config.side**2)))
    checksums = [known for record in records for known in record["sha256"]] if pixels else None
    shown = [_shown(config, pictures, spaced(part, most), checksums) for part in (train, heldout)]
    # Caches made before records had "contents" can be compared by file checksums only.
    contents = [known for record in records for known in record.get("contents", record["sha256"])]
    return Dataset(
        shown[0],
        shown[1],
        latents=latents,
        repeats=repeats(contents, names, pictures.heldout.tolist()),
        classes=pictures.classes,
    )


def spaced(rows: Tensor, most: int) -> Tensor:
    """At most so many of the rows, evenly spaced."""
    return rows[:: max(1, -(-len(rows) // most))]


def _record(root: Path, number: int) -> dict[str, Any]:
    record = cache.read_json(cache.shard_folder(root, number) / cache.RECORD)
    if record is None:
        raise LabError(f"{cache.shard_folder(root, number)}: damaged or not there: lab cache makes it again")
    return record


def _check(config: DataConfig, root: Path, manifest: dict[str, Any], classes: int) -> None:
    if classes != config.shape.num_classes:
        raise LabError(f"{root}: data.num_classes must be {classes}, its classes, not {config.shape.num_classes}")
    if config.digest is not None and not manifest["sha256"].startswith(config.digest):
        actual = manifest["sha256"][:12]
        raise LabError(f"{root}: holds other latents than data.digest says: must be {actual}, not {config.digest}")
    coder = config.autoencoder
    if coder is not None and not manifest["autoencoder_sha256"].startswith(coder.digest or ""):
        actual = manifest["autoencoder_sha256"][:12]
        raise LabError(f"{root}: was made with weights {actual}, not with data.autoencoder.digest {coder.digest}")


def _pictures(config: DataConfig, names: list[str], labels: Tensor, texts: list[list[str]]) -> Pictures:
    if config.name != "emoji":
        return folder.named(config, names, labels, texts)
    pictures = emoji.pictures(config)
    if pictures.names != names:
        raise LabError("emoji: this version has others than those that were encoded: lab cache encodes them again")
    return pictures


def _shown(config: DataConfig, pictures: Pictures, rows: Tensor, checksums: Sequence[str] | None) -> Examples:
    """Labels, captions and, with `checksums` to verify them, images (n, 3, side, side) uint8; else no images."""

    def read(row: int) -> Pixels:
        if checksums is not None and pictures.checksum(row) != checksums[row]:
            raise LabError(f"{shown(pictures.names[row])} has changed since it was encoded: lab cache encodes it again")
        return pictures.read(row)

    # Labels and captions come from the cache; only evaluation needs the images, and then they are verified.
    wanted = [] if checksums is None else rows.tolist()
    images = read_all(read, wanted, config.side, os.cpu_count() or 1).permute(0, 3, 1, 2)
    captions = [pictures.texts[row][0] for row in rows.tolist()] if pictures.texts else ()
    return Examples(images, pictures.labels[rows], captions)


class Stored:
    """The content of a cache's files, by row (image number)."""

    def __init__(
        self, config: DataConfig, root: Path, records: list[dict[str, Any]], labels: Tensor, texts: list[list[str]]
    ) -> None:
        self.coder, self.labels, self.texts = config.autoencoder, labels, texts
        self.shape = (config.shape.channels, config.shape.side, config.shape.side)
        channels, *grid = self.shape
        self.size = cache.shard_size(config)
        folders = [cache.shard_folder(root, number) for number in range(len(records))]
        self.moments = [
            _mapped(shard / cache.MOMENTS, (len(record["names"]), 2 * channels, *grid))
            for shard, record in zip(folders, records, strict=True)
        ]
        self.condition = None
        text = config.text
        if text is None or text.encoder != "hf":
            self.condition = conditions(config)
            return
        self.tokens, self.places = text.tokens, [_places(record["tokens"]) for record in records]
        totals = [sum(map(sum, record["tokens"])) for record in records]
        self.features = [
            _mapped(shard / cache.TEXT, (total, text.features)) for shard, total in zip(folders, totals, strict=True)
        ]

    def take(self, rows: Tensor, noise: Tensor | None, choice: Tensor | None) -> tuple[Tensor, Tensor]:
        """mean + exp(log-variance / 2) noise for rows (n,), scaled for the model, and their conditions.

        Without noise, the mean. `choice` (n,), uniform in [0, 1), picks a text; without it, the first text.
        """
        where = [divmod(row, self.size) for row in rows.tolist()]
        moments = torch.from_numpy(np.stack([self.moments[shard][row] for shard, row in where])).float()
        mean, logvar = moments.chunk(2, dim=1)
        latents = mean if noise is None else mean + torch.exp(logvar / 2) * noise
        if self.coder is not None:
            latents = (latents - self.coder.shift_factor) * self.coder.scaling_factor
        chosen = [0.0] * len(rows) if choice is None else choice.tolist()
        if self.condition is None:
            return latents, self._features(where, chosen)
        texts = [self.texts[row] for row in rows.tolist()] if self.texts else []
        captions = [own[int(at * len(own))] for own, at in zip(texts, chosen, strict=False)]
        return latents, self.condition(Examples(latents, self.labels[rows], captions))

    def _features(self, where: list[tuple[int, int]], chosen: list[float]) -> Tensor:
        """Features (n, T, F) float16, 0 where there is no token."""
        width = self.features[0].shape[1]
        padded = np.zeros((len(where), self.tokens, width), np.float16)
        for place, (shard, row), at in zip(padded, where, chosen, strict=True):
            texts = self.places[shard][row]
            first, count = texts[int(at * len(texts))]
            place[:count] = self.features[shard][first : first + count]
        return torch.from_numpy(padded)


def _mapped(path: Path, shape: tuple[int, ...]) -> Half:
    """A memory-mapped file as an array of a shape.

    Raises:
        LabError: if its size does not match.
    """
    size, actual = 2 * int(np.prod(shape)), path.stat().st_size if path.exists() else 0
    if actual != size:
        raise LabError(f"{path}: damaged: must have {size:,} bytes, not {actual:,}; lab cache makes its shard again")
    return np.memmap(path, np.float16, "r", shape=shape) if size else np.empty(shape, np.float16)


def _places(tokens: list[list[int]]) -> list[list[tuple[int, int]]]:
    """For every text of every image, its first token and its number of tokens."""
    first = 0
    places: list[list[tuple[int, int]]] = []
    for own in tokens:
        places.append([])
        for count in own:
            places[-1].append((first, count))
            first += count
    return places

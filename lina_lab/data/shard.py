"""Make one shard of a cache of latents: moments of its images, features of their texts, and their record.

Its bits depend on its images only, not on who makes it: the first image of a shard always begins a batch.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lina_lab.config.data import DataConfig
from lina_lab.data import cache
from lina_lab.data.autoencoder import PIXELS_AT_ONCE, Autoencoder, load_autoencoder
from lina_lab.data.examples import from_uint8
from lina_lab.data.pictures import Pictures, Pixels, content
from lina_lab.data.prefetch import prefetch
from lina_lab.data.text import encoder_digest, frozen_features
from lina_lab.errors import LabError
from lina_lab.escape import shown
from lina_lab.files import write_atomic


class Job(NamedTuple):
    """A cache in the making: what is made, and what this process makes it with."""

    config: DataConfig
    root: Path
    pictures: Pictures
    device: torch.device
    threads: int
    """Threads that read images."""

    @property
    def shards(self) -> list[range]:
        return cache.shards(len(self.pictures.names), cache.shard_size(self.config))

    def is_made(self, number: int) -> bool:
        shard = cache.shard_folder(self.root, number)
        return (shard / cache.RECORD).exists() or (shard / cache.REFUSED).exists()

    @property
    def coder(self) -> Autoencoder:
        if self.config.autoencoder is None:
            raise LabError("data.autoencoder is null: a model of pixels needs no cache")
        return load_autoencoder(self.config.autoencoder, self.device)

    @property
    def reads_text(self) -> bool:
        return self.config.text is not None and self.config.text.encoder == "hf"

    def made_with(self) -> dict[str, Any]:
        """Everything except the images that a shard depends on."""
        text = self.config.text
        encoder = encoder_digest(str(text.path)) if text is not None and self.reads_text else None
        return cache.source(self.config) | {"autoencoder_sha256": self.coder.sha256, "encoder_sha256": encoder}


class Made:
    """What a shard's record says of its images, collected while they are read, and their problems."""

    def __init__(self) -> None:
        self.stamps: list[list[int]] = []
        self.sha256: list[str] = []
        self.contents: list[str] = []
        self.tokens: list[list[int]] = []
        self.problems: list[str] = []

    def refuse_infinite(self, half: Tensor, names: Sequence[str]) -> None:
        """Note images whose rows of (n, ...) overflowed float16 or hold NaN."""
        bad = ~half.isfinite().flatten(1).all(1)
        for name, wrong in zip(names, bad.tolist(), strict=True):
            if wrong:
                self.problems.append(f"{shown(name)}: float16 cannot hold what it is encoded to")


def make_shard(job: Job, number: int, made_with: dict[str, Any], tick: Callable[[], None]) -> None:
    """Write a shard, or, if images cannot be used, the list of their problems; `tick` is called after every batch."""
    shard, rows, made = cache.shard_folder(job.root, number), job.shards[number], Made()
    files = {cache.MOMENTS: _write(shard / cache.MOMENTS, _moments(job, rows, made, tick))}
    if job.reads_text and not made.problems:
        files[cache.TEXT] = _write(shard / cache.TEXT, _features(job, rows, made))
    if made.problems:
        write_atomic(shard / cache.REFUSED, json.dumps({"problems": made.problems}))
        return
    of_images = {"stamps": made.stamps, "sha256": made.sha256, "contents": made.contents, "tokens": made.tokens}
    record = cache.described(job.pictures, rows) | of_images | {"files": files, "made_with": made_with}
    write_atomic(shard / cache.RECORD, json.dumps(record))


def _write(path: Path, pieces: Iterable[bytes]) -> str:
    """Write a file atomically and return its SHA-256."""
    total, part = hashlib.sha256(), path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        for data in pieces:
            file.write(data)
            total.update(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    return total.hexdigest()


def _moments(job: Job, rows: range, made: Made, tick: Callable[[], None]) -> Iterator[bytes]:
    size = max(1, PIXELS_AT_ONCE // job.config.side**2)

    def read(row: int) -> tuple[Pixels | LabError, list[int], str]:
        try:
            stamp, checksum = list(job.pictures.stamp(row)), job.pictures.checksum(row)
            return job.pictures.read(row), stamp, checksum
        except LabError as error:
            return error, [], ""

    # Two batches ahead: while one is encoded, the next is being read.
    images = prefetch(read, rows, depth=2 * size, threads=job.threads)
    for own in (rows[at : at + size] for at in range(0, len(rows), size)):
        batch, stamps, checksums = zip(*islice(images, len(own)), strict=True)
        made.stamps += stamps
        made.sha256 += checksums
        made.problems += [str(image) for image in batch if isinstance(image, LabError)]
        if not made.problems:
            made.contents += map(content, batch)
            pixels = from_uint8(torch.from_numpy(np.stack(batch)))
            half = job.coder.encode(pixels).cpu().half()
            made.refuse_infinite(half, job.pictures.names[own.start : own.stop])
            yield half.numpy().tobytes()
        tick()


def _features(job: Job, rows: range, made: Made) -> Iterator[bytes]:
    """Features of every text of every image; notes how many tokens each text has."""
    if job.config.text is None:
        return
    texts = [job.pictures.texts[row] for row in rows]
    computed = frozen_features(job.config.text, job.device)([text for own in texts for text in own])
    try:
        for row, own in zip(rows, texts, strict=True):
            features = [next(computed) for _ in own]
            made.tokens.append([len(each) for each in features])
            half = torch.cat(features).half()
            made.refuse_infinite(half.flatten().unsqueeze(0), [job.pictures.names[row]])
            yield half.numpy().tobytes()
    except LabError as error:
        made.problems.append(str(error))

"""Checkpoint files: one file, or, of a sharded training, a folder with one file for each process.

Each process saves its local shards and a full copy of everything else; nothing is gathered. A process that continues
reads the rows it needs, however many processes wrote them. The format is that of torch.save, a zip archive with a
checksum for every tensor, read with `weights_only`. torch.distributed.checkpoint writes no checksums, and unpickles
its metadata when it reads.
"""

import logging
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

logger = logging.getLogger(__name__)

ROWS = "rows of a process"
"""Key of the one-entry dict that replaces a sharded tensor in a process's file."""
READERS = 8
"""Threads that verify files."""


class Rows(NamedTuple):
    """A tensor saved by several processes, as their shards in row order. Shards are memory maps, read on access."""

    shards: list[Tensor]

    def between(self, start: int, stop: int) -> Tensor:
        """A copy of rows start ... stop - 1."""
        pieces, at = [], 0
        for shard in self.shards:
            pieces.append(shard[max(0, start - at) : max(0, stop - at)])
            at += len(shard)
        return torch.cat(pieces)

    def whole(self) -> Tensor:
        return torch.cat(self.shards)


def write_shards(folder: Path, checkpoint: dict[str, Any], rank: int, num_processes: int) -> None:
    """Write one process's file of a checkpoint: its shards, and everything that is not sharded."""
    folder.mkdir(exist_ok=True)
    torch.save(_local_shards(checkpoint), folder / f"{rank}-of-{num_processes}.pt")


def _local_shards(value: Any) -> Any:
    if isinstance(value, DTensor):
        return {ROWS: value.to_local().cpu()}
    if isinstance(value, dict):
        return {key: _local_shards(inner) for key, inner in value.items()}
    return [_local_shards(inner) for inner in value] if isinstance(value, list) else value


def read_sharded(path: Path) -> dict[str, Any]:
    """A checkpoint of either kind, with `Rows` for sharded tensors; nothing is read before it is used."""
    return _joined([_load(file, mmap=True) for file in _files(path)], Rows)


def read_whole(path: Path) -> dict[str, Any]:
    """A checkpoint of either kind with whole tensors, as a single process would have written it."""
    return _load(path) if path.is_file() else _joined([_load(file, mmap=True) for file in _files(path)], torch.cat)


def _joined(values: list[Any], join: Callable[[list[Tensor]], Any]) -> Any:
    """Join the same value from all files, in rank order: shards by `join`; anything else is taken from the first."""
    first = values[0]
    if isinstance(first, dict):
        if first.keys() == {ROWS}:
            return join([value[ROWS] for value in values])
        return {key: _joined([value[key] for value in values], join) for key in first}
    return [_joined(list(inner), join) for inner in zip(*values, strict=True)] if isinstance(first, list) else first


def undamaged_step(path: Path) -> int | None:
    """The step of a checkpoint whose checksums all hold; None if it is damaged or incomplete."""
    try:
        files = _files(path)
        with ThreadPoolExecutor(READERS) as readers:
            if not all(readers.map(_is_undamaged, files)):
                return None
        (step,) = {int(_load(file, mmap=True)["global_step"]) for file in files}
    except Exception as error:  # noqa: BLE001, a damaged archive fails in many ways, and each has the same remedy
        logger.info("%s: damaged: %s", path, error)
        return None
    return step


def _files(path: Path) -> list[Path]:
    """The files of a checkpoint in rank order.

    Raises:
        ValueError: if one is missing.
    """
    if not path.is_dir():
        return [path]
    by_name = {file.name: file for file in path.iterdir()}
    num_processes = next((name.removesuffix(".pt").rpartition("-")[2] for name in by_name), "0")
    wanted = [f"{rank}-of-{num_processes}.pt" for rank in range(int(num_processes))]
    if not wanted or by_name.keys() != set(wanted):
        raise ValueError(f"{path}: must hold a file of every process, not {sorted(by_name)}")
    return [by_name[name] for name in wanted]


def _is_undamaged(file: Path) -> bool:
    """Whether every checksum holds; torch.load itself ignores them."""
    with zipfile.ZipFile(file) as archive:
        return archive.testzip() is None


def _load(file: Path, *, mmap: bool = False) -> dict[str, Any]:
    """`weights_only` admits tensors and plain values: nothing in a checkpoint is executed."""
    return torch.load(file, map_location="cpu", weights_only=True, mmap=mmap)

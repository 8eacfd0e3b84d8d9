"""The form of a checkpoint: one file, or, of a sharded training, a folder with a file of every process.

A process writes the rows that it has of every sharded tensor, and all else as it is; nothing is gathered. Each process
that continues reads the rows that it needs, however many wrote them. The files are those of torch.save: archives with a
checksum for every tensor, from which nothing is executed. (What torch.distributed.checkpoint writes has no checksums,
and executes a pickle when it is read.)
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
"""The only key of what stands for a sharded tensor in the file of a process."""
READERS = 8
"""Files that are checked at once."""


class Rows(NamedTuple):
    """A tensor whose rows several processes wrote, in the order of its rows; each read when it is asked for."""

    parts: list[Tensor]

    def between(self, start: int, stop: int) -> Tensor:
        """A copy of the rows from `start` to before `stop`."""
        pieces, at = [], 0
        for part in self.parts:
            pieces.append(part[max(0, start - at) : max(0, stop - at)])
            at += len(part)
        return torch.cat(pieces)

    def whole(self) -> Tensor:
        return torch.cat(self.parts)


def write_part(folder: Path, checkpoint: dict[str, Any], rank: int, num_processes: int) -> None:
    """Write what one of several processes has of a checkpoint."""
    folder.mkdir(exist_ok=True)
    torch.save(_own(checkpoint), folder / f"{rank}-of-{num_processes}.pt")


def _own(value: Any) -> Any:
    if isinstance(value, DTensor):
        return {ROWS: value.to_local().cpu()}
    if isinstance(value, dict):
        return {key: _own(inner) for key, inner in value.items()}
    return [_own(inner) for inner in value] if isinstance(value, list) else value


def read_parts(path: Path) -> dict[str, Any]:
    """A checkpoint with `Rows` for its sharded tensors; tensors are read from the disk when they are used."""
    return _joined([_load(file, mmap=True) for file in _files(path)], Rows)


def read_whole(path: Path) -> dict[str, Any]:
    """A checkpoint as one process would have written it."""
    return _load(path) if path.is_file() else _joined([_load(file, mmap=True) for file in _files(path)], torch.cat)


def _joined(values: list[Any], join: Callable[[list[Tensor]], Any]) -> Any:
    """What the processes wrote of a value, from the first to the last; of what all have, the first one's."""
    first = values[0]
    if isinstance(first, dict):
        if first.keys() == {ROWS}:
            return join([value[ROWS] for value in values])
        return {key: _joined([value[key] for value in values], join) for key in first}
    return [_joined(list(inner), join) for inner in zip(*values, strict=True)] if isinstance(first, list) else first


def undamaged_step(path: Path) -> int | None:
    """The step of a checkpoint of which every byte is there; None of a damaged one."""
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
    """The files of a checkpoint, in the order of the processes.

    Raises:
        ValueError: if one is missing.
    """
    if not path.is_dir():
        return [path]
    found = {file.name: file for file in path.iterdir()}
    num_processes = next((name.removesuffix(".pt").rpartition("-")[2] for name in found), "0")
    wanted = [f"{rank}-of-{num_processes}.pt" for rank in range(int(num_processes))]
    if not wanted or found.keys() != set(wanted):
        raise ValueError(f"{path}: must hold a file of every process, not {sorted(found)}")
    return [found[name] for name in wanted]


def _is_undamaged(file: Path) -> bool:
    """torch.load would take a tensor with a flipped bit as it is."""
    with zipfile.ZipFile(file) as archive:
        return archive.testzip() is None


def _load(file: Path, *, mmap: bool = False) -> dict[str, Any]:
    """Only tensors and plain values: nothing in a checkpoint is executed."""
    return torch.load(file, map_location="cpu", weights_only=True, mmap=mmap)

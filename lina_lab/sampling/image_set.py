"""A set of generated images in chunks on disk, drawn by any number of processes, killed and continued.

    <set>/000250-9f86d081884c7d65.npy   images 250 to 499 (n, h, w, 3) uint8; the name has the start of their SHA-256
          000250.seconds                how long they took
          000250.begun                  some process has started on them; only a hint, so that others start elsewhere

Every image has a generator of its own: whoever draws a chunk draws the same images, so drawing one twice wastes time
and harms nothing. That is why there is no lock. The folder's name identifies the weights and settings.
"""

import hashlib
import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lina_lab.arrays import write_npz
from lina_lab.errors import LabError
from lina_lab.files import write_atomic, write_new
from lina_lab.model.random_streams import stream
from lina_lab.sampling.generate import SAMPLING_BATCH

Draw = Callable[[int, int, Callable[[float], None]], Tensor]
"""Images first ... last - 1 as (n, 3, h, w) uint8; the callback is told which share of them is done."""
TELL_SECONDS = 1.0


class DrawingProgress(NamedTuple):
    """How many images of a set exist, and the seconds until all do; None where there is nothing to extrapolate from."""

    images: int
    num_images: int
    seconds_left: float | None

    def __str__(self) -> str:
        left = "" if self.seconds_left is None else f", about {self.seconds_left:.0f} s left"
        return f"{self.images:,} of {self.num_images:,} images{left}"


Tell = Callable[[DrawingProgress], None]


class DrawnSet(NamedTuple):
    """The folder of a set, and how many images it will hold."""

    folder: Path
    num_images: int

    def size(self, first: int) -> int:
        """Number of images in the chunk that starts with image `first`."""
        return min(SAMPLING_BATCH, self.num_images - first)

    def chunk_paths(self) -> dict[int, Path]:
        """Existing chunks by their first image; if other hardware left a second version of one, the first by name."""
        paths = sorted(self.folder.glob("[0-9]*-*.npy"), reverse=True)
        return {int(path.name.partition("-")[0]): path for path in paths}

    def missing(self) -> list[int]:
        """First images of the chunks that do not exist yet."""
        there = self.chunk_paths()
        return [first for first in range(0, self.num_images, SAMPLING_BATCH) if first not in there]

    def chunks(self) -> Iterator[Tensor]:
        """All images (k, 3, h, w) uint8, k = `SAMPLING_BATCH` at a time, in the order of their numbers."""
        for _, path in sorted(self.chunk_paths().items()):
            # Contiguous, because the memory order decides the order of an extractor's sums, and so its last bits.
            yield torch.tensor(np.load(path)).permute(0, 3, 1, 2).contiguous()

    def images(self) -> Iterator[NDArray[np.uint8]]:
        """All images (h, w, 3) in the `shuffled` order, read from disk one by one."""
        chunks = [np.load(path, mmap_mode="r") for _, path in sorted(self.chunk_paths().items())]
        for number in shuffled(self.num_images):
            yield chunks[number // SAMPLING_BATCH][number % SAMPLING_BATCH]

    def seconds(self) -> float:
        """Seconds of drawing, summed over all processes."""
        return sum(float(path.read_text(encoding="ascii")) for path in self.folder.glob("*.seconds"))


def shuffled(count: int) -> NDArray[np.int64]:
    """A fixed permutation of image numbers: evaluators that split a set assume that its order is random."""
    return torch.randperm(count, generator=stream(0, "shuffle")).numpy()


def drop_damaged(drawn: DrawnSet) -> None:
    """Remove chunks whose content does not match the digest in their name; they will be drawn again."""
    for path in drawn.folder.glob("[0-9]*-*.npy"):
        if path.stem.partition("-")[2] != _digest(path.read_bytes()):
            path.unlink()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def draw_missing(
    drawn: DrawnSet, draw: Draw, tell: Tell, first: float = 0.0, over: Callable[[], bool] = lambda: False
) -> None:
    """Draw missing chunks until none is left or `over()` holds, starting `first` (0 to 1) of the way through them.

    Chunks that another process has started on come last. That process may be gone, so in the end they are drawn too.
    """
    show = _pace(drawn, tell)
    # Two passes: first what nobody has started on, then what others have started on and not finished.
    for begun_too in (False, True):
        todo = drawn.missing()
        start = int(first * len(todo))
        for chunk in todo[start:] + todo[:start]:
            if over():
                return
            if chunk in drawn.chunk_paths() or not (write_new(drawn.folder / f"{chunk:06d}.begun", "") or begun_too):
                continue
            size, started = drawn.size(chunk), time.monotonic()
            images = draw(chunk, chunk + size, lambda share, size=size: show(share * size))  # type: ignore[misc]
            _write_chunk(drawn.folder, chunk, images, time.monotonic() - started)


def _write_chunk(folder: Path, first: int, images: Tensor, seconds: float) -> None:
    file = io.BytesIO()
    np.save(file, images.permute(0, 2, 3, 1).contiguous().numpy())
    content = file.getvalue()
    write_atomic(folder / f"{first:06d}.seconds", repr(seconds))
    write_atomic(folder / f"{first:06d}-{_digest(content)}.npy", content)


def _pace(drawn: DrawnSet, tell: Tell) -> Callable[[float], None]:
    """A callback for the images done in the current chunk; it reports the whole set about once a second."""
    started = told = time.monotonic()
    before: float = drawn.num_images - sum(map(drawn.size, drawn.missing()))

    def show(at_work: float) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told < TELL_SECONDS:
            return
        told = now
        images = drawn.num_images - sum(map(drawn.size, drawn.missing())) + at_work
        left = None if images <= before else (now - started) / (images - before) * max(0.0, drawn.num_images - images)
        tell(DrawingProgress(min(drawn.num_images, int(images)), drawn.num_images, left))

    return show


def write_set(drawn: DrawnSet, path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Write an npz that ADM's evaluator reads: `arr_0` (n, h, w, 3) uint8, and `arrays`, in the `shuffled` order.

    `numbers` (n,) are the images' numbers, from which their seeds follow.
    """
    order = shuffled(drawn.num_images)
    image = next(drawn.images()).shape
    others = {"numbers": order} | {name: array[order] for name, array in arrays.items()}
    write_npz(path, "arr_0", (drawn.num_images, *image), drawn.images(), others)


def write_pngs(drawn: DrawnSet, folder: Path) -> None:
    """Write every image as a PNG, named by its number.

    Raises:
        LabError: if the folder has other files: an evaluator would take them for images of the set.
    """
    from PIL import Image

    names = [f"{number:06d}.png" for number in range(drawn.num_images)]
    others = sorted({path.name for path in folder.iterdir()} - set(names)) if folder.exists() else []
    if others:
        raise LabError(f"{folder}: must hold images of this set alone, not {others[0]} ({len(others)} files)")
    numbers = iter(names)
    for chunk in drawn.chunks():
        for image in chunk.permute(0, 2, 3, 1).numpy():
            file = io.BytesIO()
            Image.fromarray(image).save(file, "PNG")
            write_atomic(folder / next(numbers), file.getvalue())

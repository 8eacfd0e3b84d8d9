"""Large .npz archives, written and read in pieces: 50,000 images of 256 px are 10 GB."""

import contextlib
import math
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lina_lab.errors import LabError
from lina_lab.files import replacing

LEVEL = 1
"""Compression level of zlib; noise does not compress further."""


def write_npz(
    path: Path, name: str, shape: tuple[int, ...], rows: Iterable[NDArray[Any]], beside: Mapping[str, NDArray[Any]]
) -> None:
    """Write an array `name` of shape (n, ...) uint8 row by row, then other small arrays, as one atomic file.

    Raises:
        ValueError: if the rows do not match the shape.
    """
    with replacing(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as archive:
        with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
            count = _write_rows(file, shape, rows)
        if count != shape[0]:
            raise ValueError(f"{name} must have {shape[0]} rows, not {count}")
        for other, array in beside.items():
            with archive.open(f"{other}.npy", "w") as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def _write_rows(file: IO[bytes], shape: tuple[int, ...], rows: Iterable[NDArray[Any]]) -> int:
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    count = 0
    for row in rows:
        if row.shape != shape[1:] or row.dtype != np.uint8:
            raise ValueError(f"a row must be {shape[1:]} uint8, not {row.shape} {row.dtype}")
        file.write(row.tobytes())
        count += 1
    return count


def names_in(path: Path) -> list[str]:
    """The names of the arrays of an .npz.

    Raises:
        LabError: if it is missing, or no such archive.
    """
    with _opened(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


class Header(NamedTuple):
    """Shape and type of an array, as its file's header states."""

    shape: tuple[int, ...]
    fortran: bool
    """Whether it is stored in Fortran order."""
    dtype: np.dtype[Any]


def headers(path: Path) -> dict[str, Header]:
    """Headers of the arrays of an .npz by name, after verifying the checksums of the whole archive.

    Raises:
        LabError: if it is missing, not an .npz, or damaged.
    """
    with _opened(path) as archive:
        if damaged := archive.testzip():
            raise LabError(f"{path}: must be a whole .npz: {damaged} is damaged")
        by_name = {}
        for name in names_in(path):
            with archive.open(f"{name}.npy") as file:
                by_name[name] = _header(file)
        return by_name


def read_array(path: Path, name: str) -> NDArray[Any]:
    """One whole array of an .npz, without unpickling: nothing in it is executed.

    Raises:
        LabError: if it is not there, or damaged.
    """
    with _opened(path) as archive, archive.open(f"{name}.npy") as file:
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))


def _header(file: IO[bytes]) -> Header:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return Header(*read(file))


def read_blocks(path: Path, name: str, size: int) -> Iterator[NDArray[np.uint8]]:
    """The rows of an array (n, ...) uint8 of an .npz, `size` at a time.

    Raises:
        LabError: if the array has another type, or is damaged.
    """
    with _opened(path) as archive, archive.open(f"{name}.npy") as file:
        shape, fortran, dtype = _header(file)
        if fortran or dtype != np.uint8:
            raise LabError(f"{path}: {name}: must be uint8 in C order, not {dtype}{' in Fortran order' * fortran}")
        for first in range(0, shape[0], size):
            wanted = (min(size, shape[0] - first), *shape[1:])
            yield np.frombuffer(file.read(math.prod(wanted)), np.uint8).reshape(wanted)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except FileNotFoundError as error:
        raise LabError(f"{path}: no such file") from error
    except LabError:
        raise
    except Exception as error:  # zipfile, zlib and numpy raise many kinds of errors for foreign archives
        raise LabError(f"{path}: must be a whole .npz: {error or type(error).__name__}") from error

"""Files that are whole or not there."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lina_lab.errors import LabError

CACHE_VARIABLE = "LAB_CACHE"
"""Environment variable that names the folder of what is cached: features, latents, digests of files."""
DEFAULT_CACHE = Path("~/.cache/lina-lab")


def cache_folder() -> Path:
    """Where features, latents and digests of files are kept: `LAB_CACHE`.

    Raises:
        LabError: if it is not given, and the user has no home for it.
    """
    try:
        return Path(os.environ.get(CACHE_VARIABLE) or DEFAULT_CACHE).expanduser()
    except RuntimeError as error:
        raise LabError(f"{CACHE_VARIABLE} must name a folder: there is no home folder to keep a cache in") from error


def write_atomic(path: Path, data: str | bytes) -> None:
    """Write a file whole, or leave the old one."""
    with replacing(path) as part:
        part.write_bytes(data.encode() if isinstance(data, str) else data)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new path to write to: at the end it is on the disk and takes the place of the old file; not after an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.touch()
        mode = part.stat().st_mode
        yield part
        part.chmod(mode)  # as every new file, whatever made it
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex, without holding them."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_new(path: Path, data: str) -> bool:
    """Make a file that is not there yet; False if it is. Of several processes that try, one succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        return False
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return True


def remove(path: Path) -> None:
    """Remove a file, or a folder and all in it, if it is there."""
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def write_named(folder: Path, stem: str, suffix: str, content: bytes) -> Path:
    """Write `stem-<start of the content's SHA-256><suffix>` in place of any of the same stem and suffix."""
    path = folder / f"{stem}-{hashlib.sha256(content).hexdigest()[:8]}{suffix}"
    folder.mkdir(exist_ok=True)
    for old in _named(folder, stem, suffix):
        old.unlink()
    path.write_bytes(content)
    return path


def read_named(folder: Path, stem: str, suffix: str) -> tuple[str, bytes]:
    """The name without suffix, and the content, of a file that `write_named` wrote and the package ships.

    Raises:
        LabError: if it is missing, or its content is not what its name says.
    """
    path = next(iter(_named(folder, stem, suffix)), None)
    if path is None:
        raise LabError(f"{folder}: has no {stem}-*{suffix}; install LINA Lab again")
    content = path.read_bytes()
    if path.stem != f"{stem}-{hashlib.sha256(content).hexdigest()[:8]}":
        raise LabError(f"{path}: damaged: its content is not what its name says; install LINA Lab again")
    return path.stem, content


def _named(folder: Path, stem: str, suffix: str) -> list[Path]:
    return sorted(folder.glob(f"{stem}-{'[0-9a-f]' * 8}{suffix}"))

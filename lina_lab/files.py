"""Files that are either whole or absent: atomic writes, exclusive creation, names with checksums."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lina_lab.errors import LabError

CACHE_VARIABLE = "LAB_CACHE"
"""Environment variable that names the cache folder: text features, latents, digests of files."""
DEFAULT_CACHE = Path("~/.cache/lina-lab")


def cache_folder() -> Path:
    """The cache folder: `LAB_CACHE`, or ~/.cache/lina-lab.

    Raises:
        LabError: if `LAB_CACHE` is not set and the user has no home folder.
    """
    try:
        return Path(os.environ.get(CACHE_VARIABLE) or DEFAULT_CACHE).expanduser()
    except RuntimeError as error:
        raise LabError(f"{CACHE_VARIABLE} must name a folder: there is no home folder to keep a cache in") from error


def write_atomic(path: Path, data: str | bytes) -> None:
    """Replace a file atomically: at any moment it is the old one or the new one."""
    with replacing(path) as part:
        part.write_bytes(data.encode() if isinstance(data, str) else data)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path to write to; afterwards it is synced and renamed to `path`, unless there was an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder, since a rename is atomic only within a file system; hidden, so that no glob finds it.
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.touch()
        mode = part.stat().st_mode
        yield part
        part.chmod(mode)  # some writers create private files; keep the mode of a normal new file
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, as hex, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_new(path: Path, data: str) -> bool:
    """Create a file; False if it exists. If several processes try, exactly one succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        return False
    # A file that could not be filled, as on a full disk, must not count as created.
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return True


def remove(path: Path) -> None:
    """Remove a file, or a folder with its content, if it exists."""
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def write_named(folder: Path, stem: str, suffix: str, content: bytes) -> Path:
    """Write `stem-<start of the content's SHA-256><suffix>`, replacing any file with the same stem and suffix."""
    path = folder / f"{stem}-{hashlib.sha256(content).hexdigest()[:8]}{suffix}"
    folder.mkdir(exist_ok=True)
    for old in _named(folder, stem, suffix):
        old.unlink()
    path.write_bytes(content)
    return path


def read_named(folder: Path, stem: str, suffix: str) -> tuple[str, bytes]:
    """Name without suffix, and content, of a file that `write_named` wrote and the package ships.

    Raises:
        LabError: if it is missing, or does not match the checksum in its name.
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

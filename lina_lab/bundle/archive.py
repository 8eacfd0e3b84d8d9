"""One file of named members: a gzipped tar whose first member, the manifest, has the SHA-256 and length of all others.

The same members give the same bytes. A reader takes regular members alone, in the manifest's order and of its lengths,
and refuses everything else before it reads it: nothing is ever unpacked by name.
"""

import gzip
import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

from lina_lab.errors import LabError
from lina_lab.files import replacing

MANIFEST = "manifest.json"
SCHEMA = 1
MOST_BYTES = 2**26
"""Of one member: the metrics of a million logged steps have less."""
MOST_BYTES_OF_ALL = 2**33
Member = tuple[str, bytes]


class Manifest(NamedTuple):
    """What a file holds, and where it was made."""

    members: Mapping[str, tuple[str, int]]
    """SHA-256 and length by name, in their order in the file."""
    facts: Mapping[str, Any]


def write_archive(path: Path, members: Callable[[], Iterator[Member]], facts: Mapping[str, Any]) -> int:
    """Write an archive atomically; `members` is called twice and must give the same. Returns the bytes of the file.

    Raises:
        LabError: if a member changed meanwhile, or is too large.
    """
    listed = {name: (_sha256(data), len(data)) for name, data in members()}
    for name, (_, size) in listed.items():
        if size > MOST_BYTES:
            raise LabError(f"{name}: has {size:,} bytes; a member of a bundle has at most {MOST_BYTES:,}")
    body = {"schema": SCHEMA, **facts, "members": {name: list(known) for name, known in listed.items()}}
    with replacing(path) as part:
        # No name and no time of day: the same members give the same bytes.
        with (
            part.open("wb") as raw,
            gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w|", format=tarfile.USTAR_FORMAT) as tar,
        ):
            _add(tar, MANIFEST, json.dumps(body, indent=1).encode())
            for name, data in members():
                if listed.get(name) != (_sha256(data), len(data)):
                    raise LabError(f"{name}: changed while it was packed; the same command packs it again")
                _add(tar, name, data)
        return part.stat().st_size


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def read_manifest(path: Path) -> Manifest:
    """What an archive says that it holds.

    Raises:
        LabError: if it is no archive of ours, or of another version.
    """
    with _opened(path) as tar:
        return _manifest(tar, path)


def read_archive(path: Path, manifest: Manifest | None = None) -> Iterator[Member]:
    """Every member but the manifest, in its order, held against it; `manifest`: what it was when it was checked.

    Raises:
        LabError: if the file is damaged, has changed, or holds anything else than its manifest says.
    """
    with _opened(path) as tar:
        try:
            own = _manifest(tar, path)
            if manifest not in (None, own):
                raise LabError(f"{path}: has changed since it was checked")
            for name, known in own.members.items():
                info = tar.next()
                if info is None:
                    raise LabError(f"{path}: damaged: {name} is missing")
                if info.name != name or info.size != known[1]:
                    raise LabError(f"{path}: damaged: has {info.name} of {info.size} bytes where {name} belongs")
                data = _read(tar, info)
                if _sha256(data) != known[0]:
                    raise LabError(f"{path}: damaged: {name} has another SHA-256 than the manifest says")
                yield name, data
            if (more := tar.next()) is not None:
                raise LabError(f"{path}: has {more.name}, of which its manifest knows nothing")
        except DAMAGE as error:
            raise LabError(f"{path}: damaged: {error}") from error


DAMAGE = (tarfile.TarError, EOFError, OSError, zlib.error)


class _Plain(tarfile.TarInfo):
    """A regular member of bounded length. Anything else is refused as its header is read."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        info = super().frombuf(buf, encoding, errors)
        if info.type != tarfile.REGTYPE:  # links, devices, folders, and headers that describe another member at length
            raise LabError(f"{info.name}: is no plain file: a bundle has no links, folders or devices")
        if not 0 <= info.size <= MOST_BYTES:
            raise LabError(f"{info.name}: has {info.size:,} bytes; a member of a bundle has at most {MOST_BYTES:,}")
        return info


def _opened(path: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(path, "r:gz", tarinfo=_Plain)
    except LabError as error:
        raise LabError(f"{path}: {error}") from error
    except FileNotFoundError as error:
        raise LabError(f"{path}: no such file") from error
    except DAMAGE as error:
        raise LabError(f"{path}: is no bundle: {error}") from error


def _manifest(tar: tarfile.TarFile, path: Path) -> Manifest:
    try:
        info = tar.next()
        body = json.loads(_read(tar, info)) if info is not None and info.name == MANIFEST else {}
        if body.pop("schema", None) != SCHEMA:
            raise LabError(f"{path}: is no bundle of schema {SCHEMA}, which this version reads")
        members = {str(name): (str(sha256), int(size)) for name, (sha256, size) in body.pop("members").items()}
        if any(size < 0 for _, size in members.values()) or sum(s for _, s in members.values()) > MOST_BYTES_OF_ALL:
            raise LabError(f"{path}: holds more than {MOST_BYTES_OF_ALL:,} bytes: bundle a part of it, with --where")
        return Manifest(members, body)
    except (*DAMAGE, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LabError(f"{path}: its manifest is damaged: {error}") from error


def _read(tar: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(info)
    data = b"" if file is None else file.read()
    tar.members = []  # type: ignore[attr-defined]  # it would keep every header
    return data


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()

"""Where a result comes from: the code that ran, commit, uncommitted changes, versions, hardware, command."""

import contextlib
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from lina_lab.record import Record

logger = logging.getLogger(__name__)

PACKAGE = Path(__file__).parent
ROOMS = (
    "kernels",
    "model",
    "data",
    "checkpoints",
    "sampling",
    "training",
    "distributed",
    "published",
    "evaluation",
    "composition",
    "cell",
)
"""Folders of the package whose files decide what a cell's result is."""

PACKAGES = (
    "lina-lab",
    "torch",
    "torchvision",
    "pytorch-lightning",
    "torch-fidelity",
    "numpy",
    "scikit-learn",
    "mlflow",
    "diffusers",
    "transformers",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedCode(Record):
    """The code that a process loaded."""

    path: str | None = None
    """Of the package; only a cell's record has it."""
    rooms: Mapping[str, str] = field(default_factory=dict)
    """A digest of every room of `ROOMS`: see `room_digests`."""
    changed: Sequence[str] = ()
    """Files that were others on the disk by the time of the record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware(Record):
    cpu: str
    cores: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic(Record):
    """What torch chose by itself, and what changes float32 products."""

    sdpa: Mapping[str, str] = field(default_factory=dict)
    """Backends of the softmax attentions, by use: `training`, `sampling`; none without such attentions."""
    matmul_precision: str | None = None
    tf32_matmul: bool | None = None
    tf32_cudnn: bool | None = None
    cpu_capability: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance(Record):
    """Where a result comes from; an older one knows less."""

    commit: str | None = None
    """None outside a git checkout, and where the disk had changed before anyone asked."""
    diff_sha256: str | None = None
    """Of the changes of the checkout, where there are any."""
    code: LoadedCode | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of the packages that can change a result."""
    python: str = ""
    hardware: Hardware | None = None
    command: str = ""
    started: str = ""
    """ISO 8601, in UTC."""
    group: Mapping[str, int | str] | None = None
    """The processes that trained a cell together: see `config.engine.Group`."""
    arithmetic: Arithmetic | None = None


def provenance() -> Provenance:
    """Facts about this process and its code."""
    git = checkout()
    return Provenance(
        commit=git.commit,
        diff_sha256=hashlib.sha256(git.diff).hexdigest() if git.diff else None,
        code=LoadedCode(rooms=room_digests(LOADED), changed=tuple(changed_files())),
        versions=versions(),
        python=platform.python_version(),
        hardware=hardware(),
        command=" ".join(Path(a).name if i == 0 else a for i, a in enumerate(sys.argv)),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def versions() -> dict[str, str]:
    """Versions of the packages that can change a result; those not installed are missing."""
    installed = {}
    for package in PACKAGES:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return installed


@cache
def hardware() -> Hardware:
    """Processor and its cores."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
        cpu = names[0] if names else cpu
    return Hardware(cpu=cpu, cores=os.cpu_count())


class Checkout(NamedTuple):
    """What git says of the code that this process loaded."""

    commit: str | None
    """None outside a git checkout, or if the files had changed since they were loaded."""
    diff: bytes
    """All changes of the checkout against the commit; of files that git does not know, those of the package."""


@cache
def checkout() -> Checkout:
    """What git says of the loaded code; asked once, at the first call."""
    head = _git("rev-parse", "HEAD")
    # In a folder that git ignores, such as site-packages below somebody's project, the commit is of other code.
    if head is None or _git("ls-files", "--error-unmatch", "--", Path(__file__).name) is None:
        return Checkout(None, b"")
    diff = _diff()
    return Checkout(None, b"") if diff is None or changed_files() else Checkout(head.decode().strip(), diff)


def commit() -> str | None:
    """The commit of the loaded code; None outside a git checkout."""
    return checkout().commit


def changed_files() -> list[str]:
    """Files of the package that are others on the disk than when this process loaded the package."""
    disk = _blobs()
    return sorted(name for name in disk.keys() | LOADED.keys() if disk.get(name) != LOADED.get(name))


def loaded() -> str:
    """A digest of the package as this process loaded it."""
    return hashlib.sha256(repr(sorted(LOADED.items())).encode()).hexdigest()


def of_cell(record: Provenance) -> Provenance:
    """A record of `provenance`, with the code's path, and in `changed` also what has changed since it was made."""
    code = record.code or LoadedCode()
    changed = sorted({*code.changed, *changed_files()})
    return replace(record, code=replace(code, path=str(PACKAGE), changed=tuple(changed)))


def room_digests(blobs: Mapping[str, str]) -> dict[str, str]:
    """The start of a SHA-256 over the names and blobs of every room's files, by room; an older package lacks some."""

    def digest(lines: list[str]) -> str:
        return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()[:12]

    files = {
        room: sorted(f"{blob} {name}" for name, blob in blobs.items() if name.startswith(f"{room}/")) for room in ROOMS
    }
    return {room: digest(lines) for room, lines in files.items() if lines}


@cache
def rooms_of_commit(commit: str) -> dict[str, str] | None:
    """`room_digests` of a commit as it stands in the package's own checkout; None if git does not know."""
    listed = _git("ls-tree", "-r", "-z", commit)  # of the package's folder, with names from there
    if not listed or checkout().commit is None:
        return None
    entries = [entry.partition("\t") for entry in listed.decode(errors="surrogateescape").split("\0") if entry]
    return room_digests({name: about.split()[2] for about, _, name in entries if _is_source(Path(name))})


def _blobs() -> dict[str, str]:
    """Git's own digest of every source file of the package, by its path in the package."""
    found = {}
    for path in _sources():
        with contextlib.suppress(FileNotFoundError):  # an editor is just saving it
            found[path.relative_to(PACKAGE).as_posix()] = _blob(path.read_bytes())
    return found


def _blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _sources() -> Iterator[Path]:
    for folder, folders, names in os.walk(PACKAGE):
        folders[:] = [name for name in folders if name != "__pycache__"]
        yield from (path for name in names if _is_source(path := Path(folder, name)) and path.is_file())


def _is_source(path: Path) -> bool:
    """Whether a file is code or words; data and weights have digests in their names. Editors' own files begin with ."""
    return path.suffix in {".py", ".txt", ".j2"} and not path.name.startswith(".")


def _diff() -> bytes | None:
    """The change of the checkout against its commit, with new files of the package; None if git cannot tell."""
    index = _git("rev-parse", "--path-format=absolute", "--git-path", "index")
    if index is None:
        return None
    with contextlib.suppress(OSError), tempfile.TemporaryDirectory() as folder:
        # An index of our own: new files are put into it as empty ones, and the user's is left as it is.
        own, users = Path(folder, "index"), Path(os.fsdecode(index).rstrip("\n"))
        shutil.copy2(users, own)  # its time tells git which files may have changed within one tick of the clock
        variables = {"GIT_INDEX_FILE": str(own)}
        _git("add", "--intent-to-add", "--", ".", **variables)
        return _git("diff", "--no-ext-diff", "--no-textconv", "--no-color", "HEAD", **variables)
    return None


def _git(*arguments: str, **variables: str) -> bytes | None:
    """What git prints of the package's own checkout; None if it fails. Nothing of the user's own shell counts."""
    command = ["git", "--no-optional-locks", "-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-C", str(PACKAGE)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    try:
        return subprocess.run(
            [*command, *arguments], env=environment | variables, capture_output=True, check=True, timeout=60
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        logger.debug("git %s: %s", arguments[0], error)
        return None


LOADED = _blobs()
"""As this module was loaded: the first of the package, in a process of `interpreter.command`."""

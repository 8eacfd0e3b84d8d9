"""Load a user's file of designs: run it once, check what it provides, add that to the tables of the axes.

The word of a value in an experiment is word@digest, the digest that of the file: so the key of a cell holds the source
of what it uses, and two versions of a file stand side by side. The folder of a cell keeps a copy, from which every
later process loads. A plugin runs as the user's own code: only files are loaded that a user named.
"""

import ast
import contextlib
import hashlib
import logging
import sys
import threading
import traceback
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from lina_lab.design.axes import AXES
from lina_lab.design.data_sets import SOURCES
from lina_lab.design.extractors import FEATURES
from lina_lab.design.sizes import SIZES
from lina_lab.design.value import Source
from lina_lab.errors import LabError
from lina_lab.escape import shown
from lina_lab.files import write_atomic
from lina_lab.plugins.data import DATA, DataSet
from lina_lab.plugins.designs import Core, FeatureMap
from lina_lab.plugins.extractors import EXTRACTOR, FeatureNetwork
from lina_lab.plugins.sizes import SIZE, Size

logger = logging.getLogger(__name__)

Kind = Core | FeatureMap | DataSet | FeatureNetwork | Size
TABLES: Mapping[str, Mapping[Any, Any]] = {name: axis.values for name, axis in AXES.items()} | {
    DATA: SOURCES,
    EXTRACTOR: FEATURES,
    SIZE: SIZES,
}
"""What a kind of value is known by."""

GROUP = "lina_lab.designs"
"""The entry points of installed packages."""
FOLDER = "plugins"
"""Of a cell, with a copy of each plugin that it uses: <name>@<digest>/<name>.py and the files that it names."""
SLOW_SECONDS = 10

Words = Mapping[str, Mapping[str, str]]
"""By axis: the word of YAML to the word in an experiment, word@digest."""


class Plugin(NamedTuple):
    """A file that was loaded."""

    source: Source
    files: Mapping[str, bytes]
    """What it holds, and what the files hold that it names, by name; itself first."""
    provides: tuple[Kind, ...]

    @property
    def words(self) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        for kind in self.provides:
            found.setdefault(kind.axis, {})[kind.word] = f"{kind.word}@{self.source.digest}"
        return found


LOADED: dict[str, Plugin] = {}
"""By digest: each source runs once in a process."""


def load(path: Path, digest: str | None = None) -> Plugin:
    """The plugin in a file, its values in the tables of their axes.

    Raises:
        LabError: with file and line, if it cannot be read or run, provides what it must not, or has another digest.
    """
    files = files_of(path)
    found = digest_of({name: hashlib.sha256(data).hexdigest() for name, data in files.items()})
    if digest not in {None, found}:
        raise LabError(f"{path}: was changed: its digest must be {digest}, not {found}; bring the old file back")
    if found not in LOADED:
        source = Source(path.resolve(), found)
        plugin = Plugin(source, files, _provided(_run(path, found, files[path.name]), path, files[path.name]))
        for kind in plugin.provides:
            for table, value in kind.entries(source):
                table[f"{kind.word}@{found}"] = value
        LOADED[found] = plugin
    return LOADED[found]


def digest_of(sums: Mapping[str, str]) -> str:
    """12 hex digits, from SHA-256 sums by name: of a single file's own, or of what `sha256sum` prints of several."""
    lines = [f"{sha256}  {name}\n" for name, sha256 in sums.items()]
    return (lines[0] if len(lines) == 1 else hashlib.sha256("".join(lines).encode()).hexdigest())[:12]


def find(named: str, folder: Path) -> Path:
    """The file of a plugin: of a path that ends in .py, relative to `folder`, or of an installed package's entry point.

    Raises:
        LabError: if there is none.
    """
    if named.endswith(".py"):
        return folder / named
    points = [point for point in entry_points(group=GROUP) if point.dist and point.dist.name == named]
    origin = next((spec.origin for point in points if (spec := find_spec(point.module))), None)
    if origin is None:
        raise LabError(f"{named}: no such plugin: must be a path that ends in .py, or a package with a {GROUP}")
    return Path(origin)


def merged(*several: Words) -> dict[str, dict[str, str]]:
    """The words of several plugins together.

    Raises:
        LabError: if two have the same word on an axis.
    """
    found: dict[str, dict[str, str]] = {}
    for words in several:
        for axis, values in words.items():
            there = found.setdefault(axis, {})
            for word, qualified in values.items():
                if there.setdefault(word, qualified) != qualified:
                    files = " and ".join(str(LOADED[w.partition("@")[2]].source.path) for w in (there[word], qualified))
                    raise LabError(f"two plugins have a {axis} {word}: {files}; give one another word")
    return found


def write_copies(folder: Path, digests: Sequence[str]) -> None:
    """Keep a copy of loaded plugins in a cell's folder, whole, before anything there names them."""
    for digest in digests:
        path, files = LOADED[digest].source.path, LOADED[digest].files
        kept = folder / FOLDER / f"{path.stem}@{digest}"
        for name, data in files.items():
            if not (kept / name).exists():
                (kept / name).parent.mkdir(parents=True, exist_ok=True)
                write_atomic(kept / name, data)


def load_copies(folder: Path) -> None:
    """Load the plugins of a cell from the copies in its folder.

    Raises:
        LabError: if a copy was changed.
    """
    for kept in sorted((folder / FOLDER).glob("*@*")):
        load(file_of(kept), kept.name.rpartition("@")[2])


def load_known(runs: Path, digests: Iterable[str]) -> None:
    """Load what is not loaded of these plugins and has a copy in a cell of the ledger: its user named it before."""
    for digest in sorted(set(digests) - LOADED.keys()):
        for kept in sorted(runs.glob(f"*/{FOLDER}/*@{digest}"))[:1]:
            load(file_of(kept), digest)


def file_of(kept: Path) -> Path:
    """The plugin's file in the folder of a copy."""
    return kept / f"{kept.name.rpartition('@')[0]}.py"


def sources(digests: Sequence[str]) -> list[Source]:
    """Where other processes find loaded plugins."""
    return [LOADED[digest].source for digest in digests]


def files_of(path: Path) -> dict[str, bytes]:
    """What a plugin's file and the files that it names hold, by name; itself first.

    Raises:
        LabError: if one cannot be read.
    """
    try:
        files = {path.name: path.read_bytes()}
        for name in _named(path, files[path.name]):
            files[name] = (path.parent / name).read_bytes()
    except OSError as error:
        raise LabError(f"{error.filename or path}: cannot be read: {error.strerror}") from error
    return files


def _named(path: Path, source: bytes) -> list[str]:
    """Names in its `FILES = [...]`, in alphabetical order."""
    try:
        tree = ast.parse(source, str(path))
    except (SyntaxError, ValueError, RecursionError) as error:
        line, why = getattr(error, "lineno", None) or 1, getattr(error, "msg", None) or error
        raise LabError(f"{path}:{line}: is not Python: {why}") from error
    for node in tree.body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["FILES"]:
            with contextlib.suppress(ValueError, TypeError):
                names = [Path(name) for name in ast.literal_eval(node.value)]
                if not any(name.is_absolute() or ".." in name.parts or name == Path(path.name) for name in names):
                    return sorted({name.as_posix() for name in names})
            raise LabError(
                f"{path}:{node.lineno}: FILES must be a list of names of files in its folder, not "
                f"{ast.unparse(node.value)}"
            )
    return []


def _run(path: Path, digest: str, source: bytes) -> ModuleType:
    """The module of a file. What it prints goes to standard error: a command's own output may be read by a program."""
    module = ModuleType(f"lina_lab_plugin_{digest}")
    module.__file__ = str(path.resolve())
    sys.modules[module.__name__] = module  # dataclasses look there
    slow = threading.Timer(SLOW_SECONDS, logger.warning, ("%s: still loading after %d s", path, SLOW_SECONDS))
    slow.daemon = True
    slow.start()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            exec(compile(source, str(path), "exec"), module.__dict__)  # noqa: S102, the user named it
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        frames = traceback.extract_tb(error.__traceback__)
        line = next((frame.lineno for frame in reversed(frames) if frame.filename == str(path)), 1)
        why = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        raise LabError(f"{path}:{line}: {shown(why)}{_beside(error, path)}") from error
    finally:
        slow.cancel()
    return module


def _beside(error: BaseException, path: Path) -> str:
    name = error.name if isinstance(error, ModuleNotFoundError) else None
    if name and path.with_name(f"{name}.py").exists():
        return "; a plugin is one file: what it imports from beside it would not stand in a key"
    return ""


def _provided(module: ModuleType, path: Path, source: bytes) -> tuple[Kind, ...]:
    provided = getattr(module, "PROVIDES", None)
    if not isinstance(provided, list) or not provided:
        raise LabError(f"{path}:1: has no PROVIDES: must end in a list, as PROVIDES = [Core('mine', ...)]")
    seen: set[tuple[str, str]] = set()
    for kind in provided:
        if not isinstance(kind, Kind):
            message = f"PROVIDES must hold values as Core('mine', ...), not {shown(repr(kind))}"
            raise LabError(f"{path}:{_line(source, 'PROVIDES')}: {message}")
        place = f"{path}:{_line(source, kind.word)}"
        if kind.word in TABLES[kind.axis]:
            raise LabError(f"{place}: {kind.axis} {kind.word} is shipped with LINA Lab: give yours another word")
        if (kind.axis, kind.word) in seen:
            raise LabError(f"{place}: provides {kind.axis} {kind.word} twice: give one another word")
        seen.add((kind.axis, kind.word))
    return tuple(provided)


def _line(source: bytes, word: str) -> int:
    """Where a word is written last, as a text or a name; 1 if it is made by the code."""
    nodes = ast.walk(ast.parse(source))
    return max(
        (
            node.lineno
            for node in nodes
            if (isinstance(node, ast.Constant) and node.value == word)
            or (isinstance(node, ast.Name) and node.id == word)
        ),
        default=1,
    )

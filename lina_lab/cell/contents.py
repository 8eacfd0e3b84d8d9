"""What the files and folders of an experiment hold: known before anything is trained, and held against later."""

import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from hashlib import sha256
from os import fsencode
from pathlib import Path
from time import time_ns

from lina_lab.config.base import KeyProblem
from lina_lab.config.data import DataConfig
from lina_lab.config.experiment import Experiment, named_paths
from lina_lab.config.settings import EXTRACTORS, FEATURES
from lina_lab.config.settled import Settle
from lina_lab.errors import LabError
from lina_lab.evaluation.reference_file import ExtractorNeeds, read_file
from lina_lab.files import cache_folder, sha256_of, write_atomic

logger = logging.getLogger(__name__)

SETTLED_NS = 2 * 10**9
"""A file that changed so shortly before it was read may change again without another time of change."""
THREADS = 8
"""That read the files of a folder."""


def settler(estimate: list[str] | None = None) -> Settle:
    """What fills in the `contents` of experiments; what it has read once it does not read again.

    `estimate` is for a dry run, which tells the cost of a model of latents before there are any: it takes what a run
    would be refused for then, and paths stand for what they hold.
    """
    digest, latents, check = cache(_digest), cache(_latents), cache(_check_reference)

    def settle(experiment: Experiment) -> tuple[Experiment, list[KeyProblem]]:
        contents: dict[str, str] = {}
        problems: list[KeyProblem] = []
        behind = experiment.data.autoencoder is not None
        for field, path in named_paths(experiment).items():
            try:
                found = latents(experiment.data) if behind and field == "data.path" else digest(field, Path(path))
                if field == "evaluation.reference":
                    check(Path(path), experiment.evaluation.extractor)
            except LabError as error:
                problems.append(KeyProblem(field, str(error)))
            else:
                contents |= {path: found} if found else {}
        problems += _not_as_written(experiment, contents)
        if estimate is not None and behind and latents(experiment.data) is None:
            estimate.extend(line for line in map(str, problems) if line not in estimate)
            return experiment, []
        same = contents == experiment.contents
        return experiment if same else experiment.model_copy(update={"contents": contents}), problems

    return settle


def check_contents(experiment: Experiment) -> None:
    """Hold the files of a planned cell against what they held then.

    Raises:
        LabError: if one of them holds something else by now, or is not there.
    """
    for field, path in named_paths(experiment).items():
        known = experiment.contents.get(path)
        if known is None:
            continue
        try:
            behind = field == "data.path" and experiment.data.autoencoder is not None
            found = _latents(experiment.data) if behind else _digest(field, Path(path))
        except LabError as error:
            raise LabError(f"{field}: {error}") from error
        if found != known:
            raise LabError(
                f"{field}: {path}: has changed since this cell was planned: its SHA-256 must begin with {known[:12]}, "
                f"not {(found or 'none')[:12]}; bring the old one back, or start the same command again, which gives "
                "what is there now cells of its own"
            )


def _not_as_written(experiment: Experiment, contents: dict[str, str]) -> list[KeyProblem]:
    wrong = {p: found for p, found in contents.items() if experiment.contents.get(p, found) != found}
    return [
        KeyProblem("contents", f"{path}: must have SHA-256 {experiment.contents[path]}, not {found}")
        for path, found in wrong.items()
    ]


def _digest(field: str, path: Path) -> str | None:
    """The content of a local path; None of an id of the hub."""
    if field == "data.path" and not path.is_dir():
        raise LabError(f"{path}: no such folder")
    if field == "evaluation.reference" and not path.is_file():
        raise LabError(f"{path}: {'is a folder, not an .npz' if path.is_dir() else 'no such file'}")
    if not path.exists():
        if len(path.parts) > 2 or path.parts[0] in {"/", "..", "~"}:
            raise LabError(f"{path}: no such folder, and no id of the hub (owner/name)")
        return None
    try:
        return content_of(path)
    except OSError as error:
        raise LabError(f"{error.filename or path}: cannot be read: {error.strerror}") from error


def _check_reference(path: Path, extractor: str) -> None:
    reads = EXTRACTORS.get(extractor)
    read_file(
        path,
        ExtractorNeeds(extractor=extractor, identity=extractor, dim=FEATURES[extractor], side=reads and reads.side),
    )


def _latents(data: DataConfig) -> str | None:
    """SHA-256 of all that a cell sees of a finished cache of latents; None where there is none."""
    from lina_lab.data.cache import MANIFEST, place, read_json

    manifest = read_json(place(data) / MANIFEST)
    return None if manifest is None else str(manifest["sha256"])


def content_of(path: Path) -> str:
    """SHA-256 of a file; of a folder that of the names and SHA-256 of all its files, hidden ones left out.

    The files of a folder whose size, times and number have stayed are not read again.
    """
    if not path.is_dir():
        return sha256_of(path)
    kept, started = cache_folder() / "contents" / f"{sha256(fsencode(path.resolve())).hexdigest()[:16]}.json", time_ns()
    try:
        known = dict(json.loads(kept.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        known = {}
    files = {file.relative_to(path).as_posix(): file for file in _visible(path)}
    stamps = {name: _stamp(file) for name, file in files.items()}
    found = {name: str(known[name][1]) for name, stamp in stamps.items() if known.get(name, [None])[0] == stamp}
    new = [name for name in files if name not in found]
    with ThreadPoolExecutor(THREADS) as pool:
        found |= dict(zip(new, pool.map(sha256_of, (files[name] for name in new)), strict=True))
    safe = {name: (stamps[name], found[name]) for name in files if max(stamps[name][1:3]) < started - SETTLED_NS}
    if new:
        try:
            write_atomic(kept, json.dumps(safe))
        except OSError as error:  # it costs time alone: the files are read again
            logger.info("digests of %s are not kept: %s", path, error)
    lines = (fsencode(f"{found[name]}  {name}\n") for name in sorted(files))
    return sha256(b"".join(lines)).hexdigest()


def _stamp(file: Path) -> list[int]:
    state = file.stat()
    return [state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino]


def _visible(folder: Path, around: tuple[Path, ...] = ()) -> Iterator[Path]:
    """All files below a folder, hidden ones left out; a link to a folder around it is not followed."""
    here = folder.resolve()
    if here in around:
        return
    for path in sorted(folder.iterdir()):
        if not path.name.startswith("."):
            yield from _visible(path, (*around, here)) if path.is_dir() else (path,)

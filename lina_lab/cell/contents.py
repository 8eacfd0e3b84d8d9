"""Digests of the files and folders that an experiment names: taken when it is planned, checked when it runs."""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from hashlib import sha256
from os import fsencode
from pathlib import Path
from time import time_ns
from typing import TYPE_CHECKING, Any

from lina_lab.config.base import KeyProblem
from lina_lab.config.data import DataConfig
from lina_lab.config.experiment import Experiment, named_paths
from lina_lab.config.settings import EXTRACTORS, PUBLISHED, EvaluationConfig
from lina_lab.config.settled import Settle
from lina_lab.config.torchvision_sets import TORCHVISION_SETS
from lina_lab.design.extractors import FEATURES
from lina_lab.errors import LabError
from lina_lab.evaluation.reference_file import ExtractorNeeds, read_file
from lina_lab.files import cache_folder, sha256_of, write_atomic

if TYPE_CHECKING:
    from lina_lab.data.datasets import Dataset

logger = logging.getLogger(__name__)

SETTLED_NS = 2 * 10**9
"""A file that changed so shortly before it was read may change again within the same time stamp."""
THREADS = 8
"""Threads that read the files of a folder."""


def settler(estimate: list[str] | None = None) -> Settle:
    """A function that fills in the `contents` of experiments, and reads every file only once.

    Of torchvision's sets, what is missing is downloaded first.

    `estimate` is for dry runs, which give the cost of a model before its latents are made or its data are downloaded:
    problems that would refuse a run are appended to it, and paths stay as they are written.
    """
    once = cache(_call)

    def settle(experiment: Experiment) -> tuple[Experiment, list[KeyProblem]]:
        contents: dict[str, str] = {}
        problems: list[KeyProblem] = []
        data = experiment.data
        if data.root is not None and estimate is None and (problem := once(_download, data)):
            return experiment, [KeyProblem("data.root", problem)]
        for field, path in named_paths(experiment).items():
            try:
                found = _known(data, field, path, once)
                if field == "evaluation.reference":
                    once(_check_reference, Path(path), experiment.evaluation.extractor)
            except LabError as error:
                problems.append(KeyProblem(field, str(error)))
            else:
                contents |= {path: found} if found else {}
        problems += _not_as_written(experiment, contents)
        behind = data.autoencoder is not None
        absent = once(_latents, data) is None if behind else data.root is not None and data.root not in contents
        if estimate is not None and absent:
            estimate.extend(line for line in map(str, problems) if line not in estimate)
            return experiment, []
        same = contents == experiment.contents
        return experiment if same else experiment.model_copy(update={"contents": contents}), problems

    return settle


def without_weights(evaluation: EvaluationConfig) -> list[KeyProblem]:
    """A problem for each extractor whose weights are not here."""
    problems = []
    for place, name in enumerate(evaluation.extractors):
        if name in PUBLISHED:
            from lina_lab.evaluation.published_extractors import find_weights, not_here  # imports torch

            if find_weights(name) is None:
                key = "evaluation.also" if place else "evaluation.extractor"
                problems.append(KeyProblem(key, not_here(name)))
    return problems


def check_contents(experiment: Experiment) -> None:
    """Check that the files of a planned cell still hold what they held when it was planned.

    Raises:
        LabError: if one of them has changed or is missing.
    """
    for field, path in named_paths(experiment).items():
        known = experiment.contents.get(path)
        if known is None:
            continue
        try:
            found = _known(experiment.data, field, path)
        except LabError as error:
            raise LabError(f"{field}: {error}") from error
        if found != known:
            raise LabError(
                f"{field}: {path}: has changed since this cell was planned: its SHA-256 must begin with {known[:12]}, "
                f"not {(found or 'none')[:12]}; bring the old one back, or start the same command again, which gives "
                "what is there now cells of its own"
            )


def check_same_data(folder: Path, dataset: "Dataset") -> None:
    """Note what data a cell begins with: a key holds the files of a folder, or in older ones its path, not the pixels.

    Raises:
        LabError: if the cell began with other data.
    """
    from lina_lab.data.examples import fingerprint

    path, found = folder / "data.sha256", fingerprint(dataset)
    if not path.exists():
        write_atomic(path, found)
    elif path.read_text(encoding="utf-8") != found:
        raise LabError(
            f"{path}: the cell began with other images, labels or captions than its data set has now; bring them back, "
            "and the version of LINA Lab that read them so; or start the same command again: other files have cells of "
            "their own"
        )


def _not_as_written(experiment: Experiment, contents: dict[str, str]) -> list[KeyProblem]:
    wrong = {p: found for p, found in contents.items() if experiment.contents.get(p, found) != found}
    return [
        KeyProblem("contents", f"{path}: must have SHA-256 {experiment.contents[path]}, not {found}")
        for path, found in wrong.items()
    ]


def _call(function: Callable[..., Any], *given: Any) -> Any:
    return function(*given)


def _known(data: DataConfig, field: str, path: str, read: Callable[..., Any] = _call) -> str | None:
    """What stands for a path in the key; None for a hub id, and for latents that are not made yet.

    `read` calls the function that reads the files; one that remembers what it read serves many cells.
    """
    if field == "data.root":
        found = read(_torchvision, data)
    elif field == "data.path" and data.autoencoder is not None:
        found = read(_latents, data)
    else:
        found = read(_digest, field, Path(path))
    return None if found is None else str(found)


def _digest(field: str, path: Path) -> str | None:
    """Digest of a local path; None for a hub id."""
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
    reads, identity = EXTRACTORS.get(extractor), extractor.replace("@", "-")
    needs = ExtractorNeeds(extractor=extractor, identity=identity, dim=FEATURES[extractor], side=reads and reads.side)
    read_file(path, needs)


def _latents(data: DataConfig) -> str | None:
    """SHA-256 of everything that a cell sees of a finished cache of latents; None if there is no cache."""
    from lina_lab.data.cache import MANIFEST, place, read_json

    manifest = read_json(place(data) / MANIFEST)
    return None if manifest is None else str(manifest["sha256"])


def _download(data: DataConfig) -> str:
    """Why a set of torchvision is not all there after what is missing was downloaded; '' if it is.

    It is a value, so that the cells of a sweep do not try again one after the other.
    """
    from lina_lab.data.torchvision_sets import download

    try:
        download(data)
    except LabError as error:
        return str(error)
    return ""


def _torchvision(data: DataConfig) -> str:
    """SHA-256 of the names and SHA-256 of a set's files; others in the folder are no part of it."""
    from lina_lab.data.torchvision_sets import missing, not_there

    if missing(data):
        raise LabError(not_there(data))
    return content_of(Path(data.root or ""), TORCHVISION_SETS[data.dataset or ""].files)


def content_of(path: Path, names: Sequence[str] | None = None) -> str:
    """SHA-256 of a file, or, for a folder, of the names and SHA-256 of all its files except hidden ones, or of `names`.

    Files whose size, times and inode are unchanged are not read again.
    """
    if not path.is_dir():
        return sha256_of(path)
    place, started = fsencode(path.resolve()) + b"".join(map(fsencode, names or ())), time_ns()
    kept = cache_folder() / "contents" / f"{sha256(place).hexdigest()[:16]}.json"
    try:
        known = dict(json.loads(kept.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        known = {}
    found_files = _visible(path) if names is None else map(path.joinpath, names)
    files = {file.relative_to(path).as_posix(): file for file in found_files}
    states = {name: _file_state(file) for name, file in files.items()}
    found = {name: str(known[name][1]) for name, state in states.items() if known.get(name, [None])[0] == state}
    new = [name for name in files if name not in found]
    with ThreadPoolExecutor(THREADS) as pool:
        found |= dict(zip(new, pool.map(sha256_of, (files[name] for name in new)), strict=True))
    safe = {name: (states[name], found[name]) for name in files if max(states[name][1:3]) < started - SETTLED_NS}
    if new:
        try:
            write_atomic(kept, json.dumps(safe))
        except OSError as error:  # it costs time alone: the files are read again
            logger.info("digests of %s are not kept: %s", path, error)
    lines = (fsencode(f"{found[name]}  {name}\n") for name in sorted(files))
    return sha256(b"".join(lines)).hexdigest()


def _file_state(file: Path) -> list[int]:
    state = file.stat()
    return [state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino]


def _visible(folder: Path, around: tuple[Path, ...] = ()) -> Iterator[Path]:
    """All files below a folder except hidden ones; a link to an enclosing folder is not followed."""
    here = folder.resolve()
    if here in around:
        return
    for path in sorted(folder.iterdir()):
        if not path.name.startswith("."):
            yield from _visible(path, (*around, here)) if path.is_dir() else (path,)

"""The files of a published checkpoint: found in a folder, read without running anything in them.

A pipeline's folder holds other models too (an autoencoder, a text encoder): the transformer is the one with its names.
"""

import json
import pickle
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor

from lina_lab.errors import LabError
from lina_lab.published.names import some

OWN = ("video_encoder.", "image_encoder.", "image_decoder.")
"""Only a LINA transformer has names that begin with one of these."""
WRAPPERS = ("module.", "transformer.", "model.")
"""What trainers and pipelines put before every name."""
PICKLED = (".bin", ".pt", ".pth")
INDEX = ".index.json"


class Checkpoint(NamedTuple):
    """The tensors of a transformer by their published names."""

    files: tuple[Path, ...]
    tensors: dict[str, Tensor]
    prefix: str
    """What stood before every name and was dropped."""
    unread: list[str]
    """Files beside it that could not be read without running what is in them."""


class NotTensors(LabError):
    """A pickled file that holds more than tensors."""


def read_checkpoint(path: Path) -> Checkpoint:
    """The one transformer in a file or below a folder.

    Raises:
        LabError: if there is none, or more than one, or a file is damaged.
    """
    if not path.exists():
        raise LabError(f"{path}: no such file or folder")
    found, others, unread = [], [], []
    for source in _sources(path) if path.is_dir() else [path]:
        try:
            files, tensors = read_tensors(source)
        except NotTensors as error:
            unread.append(str(error))
            continue
        prefix = wrapper(tensors)
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
        if any(name.startswith(OWN) for name in tensors):
            found.append((source, Checkpoint(files=files, tensors=tensors, prefix=prefix, unread=unread)))
        else:
            others.append(f"{source.name} ({some(tensors, 3) or 'empty'})")
    if len(found) > 1:
        raise LabError(f"{path}: holds {len(found)} transformers: {', '.join(str(s) for s, _ in found)}; name one")
    if not found:
        looked = "\n".join([*unread, *(["it holds " + ", ".join(others)] if others else [])])
        raise LabError(
            f"{path}: holds no LINA transformer, whose tensors are called {', '.join(f'{name}*' for name in OWN)}"
            f"{': ' * bool(looked)}{looked}"
        )
    return found[0][1]


def _sources(folder: Path) -> list[Path]:
    """Weight files below a folder; of those in several parts the index alone."""
    indexes = sorted(folder.rglob(f"*{INDEX}"))
    parts = {part for index in indexes for part in _parts(index)}
    files = (path for path in folder.rglob("*") if path.suffix in {".safetensors", *PICKLED} and path.is_file())
    return [*indexes, *sorted(path for path in files if path not in parts)]


def read_tensors(path: Path) -> tuple[tuple[Path, ...], dict[str, Tensor]]:
    """The files that a file of weights, or an index of several, stands for, and their tensors by name.

    Raises:
        NotTensors: if a pickled file holds anything but tensors; nothing of it is run.
        LabError: if a file is missing, damaged or of another kind.
    """
    if not path.name.endswith(INDEX):
        return (path,), _read(path)
    tensors: dict[str, Tensor] = {}
    parts = _parts(path)
    for part in parts:
        if not part.is_file():
            raise LabError(f"{path}: names {part.name}, which is missing")
        both = tensors.keys() & (more := _read(part)).keys()
        if both:
            raise LabError(f"{part}: has tensors that another part has too: {some(sorted(both))}")
        tensors |= more
    if named := sorted(_weight_map(path).keys() - tensors.keys()):
        raise LabError(f"{path}: names tensors that its parts do not have: {some(named)}")
    return parts, tensors


def _parts(index: Path) -> tuple[Path, ...]:
    return tuple(index.parent / name for name in sorted(set(_weight_map(index).values())))


def _weight_map(index: Path) -> dict[str, str]:
    try:
        names = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        # A part beside its index, not anywhere on the disk.
        if all(isinstance(name, str) and Path(name).name == name for name in names.values()):
            return dict(names)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LabError(f"{index}: damaged: it has no weight_map: {error}") from error
    raise LabError(f"{index}: weight_map must name files beside it")


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if path.suffix in PICKLED:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about pickle's protocols; what cannot be read is an error
                # Only tensors and plain containers: nothing in the file is run.
                loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
            return _only_tensors(path, loaded)
    except pickle.UnpicklingError as error:
        raise NotTensors(
            f"{path}: holds more than tensors, or is damaged; it was refused and nothing of it run"
        ) from error
    except NotTensors:
        raise
    except Exception as error:
        # A damaged archive fails in many ways, and each has the same remedy.
        reason = [*str(error).splitlines(), type(error).__name__][0]
        raise LabError(f"{path}: damaged: {reason}") from error
    raise LabError(f"{path}: must be a folder, .safetensors, .bin, .pt, .pth or *{INDEX}, not {path.suffix or 'this'}")


def _only_tensors(path: Path, loaded: object) -> dict[str, Tensor]:
    if not isinstance(loaded, Mapping):
        raise NotTensors(f"{path}: must hold a mapping of names to tensors, not {type(loaded).__name__}")
    wrong = [str(name) for name, value in loaded.items() if not (isinstance(name, str) and isinstance(value, Tensor))]
    if wrong:
        raise NotTensors(f"{path}: must hold tensors by name and nothing else, not {some(wrong)}")
    return dict(loaded)


def wrapper(names: Iterable[str]) -> str:
    """What trainers and pipelines put before every one of these names; '' for nothing."""
    names, prefix = list(names), ""
    while names and (more := next((w for w in WRAPPERS if all(n.startswith(prefix + w) for n in names)), "")):
        prefix += more
    return prefix

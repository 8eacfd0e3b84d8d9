"""A folder of images as a data set: one sub-folder for each class, or a flat folder; captions from metadata.jsonl.

Only hidden files and folders are ignored. Any other file that is no usable image is an error; all are named at once.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from lina_lab.config.data import HELD_OUT, DataConfig
from lina_lab.data.captions import METADATA, texts_of
from lina_lab.data.decode import read_picture
from lina_lab.data.examples import Dataset, fingerprint
from lina_lab.data.pictures import Pictures, refuse, split
from lina_lab.errors import LabError
from lina_lab.escape import shown
from lina_lab.files import sha256_of

Result = TypeVar("Result")

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
MOST_BYTES = 4 * 2**30
"""Most bytes of float32 pixels, which stay in memory: 87,381 images of 64 x 64, 349,525 of 32 x 32."""


def images(config: DataConfig) -> Dataset:
    """The images of a folder, all loaded into memory: see `pictures`.

    Raises:
        LabError: if an image cannot be used, has several texts, the content is not what `digest` says, or the set is
            too large for memory.
    """
    root, image_set = Path(config.path or ""), pictures(config)
    where = shown(root)
    most = MOST_BYTES // (4 * 3 * config.side**2)
    if len(image_set.names) > most:
        raise LabError(
            f"{where}: must have at most {most:,} images of side {config.side}, not {len(image_set.names):,}; of more, "
            "data.autoencoder and lab cache keep latents on disk"
        )
    if any(len(texts) > 1 for texts in image_set.texts):
        raise LabError(f"{shown(root / METADATA)}: several texts an image need data.autoencoder and lab cache")
    dataset = split(image_set, config.side)
    if config.digest is not None and not (digest := fingerprint(dataset)).startswith(config.digest):
        raise LabError(f"{where}: holds other images than data.digest says: must be {digest[:12]}, not {config.digest}")
    return dataset


def pictures(config: DataConfig) -> Pictures:
    """The images of a folder, read on demand: cut or padded to a square, reduced to the side (see `pixels`).

    The class is the sub-folder, in alphabetical order.

    Raises:
        LabError: if a file is no image or without a caption where others have one; if a sub-folder holds none; if the
            classes are not `num_classes`, or a class is held out whole.
    """
    root = Path(config.path or "")
    files = _find(root)
    classes = {parent: label for label, parent in enumerate(sorted({file.parent for file in files}))}
    if len(classes) != config.num_classes:
        raise LabError(f"{shown(root)}: data.num_classes must be {len(classes)}, its classes, not {config.num_classes}")
    names, labels = [file.as_posix() for file in files], torch.tensor([classes[file.parent] for file in files])
    return named(config, names, labels, texts_of(root / METADATA, names))


def named(config: DataConfig, names: Sequence[str], labels: Tensor, texts: Sequence[Sequence[str]]) -> Pictures:
    """The images with these names in the folder.

    An image is held out if the SHA-256 of its name lies in the lowest `held_out` of all values, so that adding or
    removing files does not move others between the splits.

    Raises:
        LabError: naming every class of which no image, or every one, is held out.
    """
    root = Path(config.path or "")
    folders = {label: Path(name).parent for name, label in zip(names, labels.tolist(), strict=True)}
    places = [_place(name) for name in names]
    outside = torch.tensor([place < config.held_out * 2**64 for place in places])
    if not outside.any():
        raise LabError(f"{shown(root)}: data.held_out {config.held_out:g} holds out none of its {len(names)} images")
    _refuse_empty(root, names, labels, places, outside, config.held_out)
    return Pictures(
        names=names,
        labels=labels,
        texts=texts,
        heldout=outside,
        read=lambda number: read_picture(root / names[number], config.side, config.fit),
        checksum=lambda number: _of(root / names[number], sha256_of),
        size_and_time=lambda number: _of(root / names[number], _size_and_time),
        classes=[shown(folders[label].name or root.name) for label in sorted(folders)],
    )


def _refuse_empty(
    root: Path, names: Sequence[str], labels: Tensor, places: Sequence[int], outside: Tensor, share: float
) -> None:
    """Refuse a split without training or held-out images of a class: it could not be learnt, or not be measured."""
    counts = labels.bincount()
    out = labels[outside].bincount(minlength=len(counts))
    problems = []
    for label in ((counts > 0) & ((out == 0) | (out == counts))).nonzero().flatten().tolist():
        folder, count = shown((root / names[int((labels == label).nonzero()[0])]).parent), int(counts[label])
        if out[label]:
            problems.append(f"{folder}: has too few images: none is left for training, all {count} are held out")
        else:
            problems.append(f"{folder}: has too few images: none of {count} is held out, so it would never be drawn")
    if problems:
        by_class = [[places[row] for row in (labels == label).nonzero()] for label in labels.unique()]
        refuse([f"{shown(root)}: data.held_out is {share:g}: {_advice(by_class)}", *problems])


def _advice(places: Sequence[Sequence[int]]) -> str:
    """Advice: a share that would give every class images in both splits."""
    lowest, highest = max(map(min, places)), min(map(max, places))
    least = (int(1000 * lowest / 2**64) + 1) / 1000
    if least * 2**64 <= highest:
        return f"the smallest value that gives every class images on both sides is {least:g}"
    return "no value gives every class images on both sides; give those below more images, or leave them out"


def _find(root: Path) -> list[Path]:
    """The images, relative to the root, sorted by path."""
    try:
        return _checked(root)
    except OSError as error:
        raise LabError(f"{shown(str(error.filename))}: cannot be read: {error.strerror}") from error


def _checked(root: Path) -> list[Path]:
    if not root.is_dir():
        raise LabError(f"data.path: {shown(root)}: no such folder")
    inside = _visible(root)
    folders = [path for path in inside if path.is_dir()]
    flat = [path for path in inside if not path.is_dir() and path.name != METADATA]
    # A link to an enclosing folder would add every image once more, under another class.
    around = [path for path in folders if path.resolve() in (root.resolve(), *root.resolve().parents)]
    refuse([f"{shown(path)}: is a link to a folder around it" for path in around])
    if folders and flat:
        both = f"{shown(flat[0].name)} beside {shown(folders[0].name)}/"
        raise LabError(f"{shown(root)}: must have images or a sub-folder for each class, not both: {both}")
    files, problems = flat, []
    for folder in folders:
        files_of_class = _visible(folder)
        files += files_of_class
        problems += [] if files_of_class else [f"{shown(folder)}: has no images"]
    problems += [f"{shown(path)}: must be an image ({', '.join(SUFFIXES)})" for path in files if not _is_image(path)]
    refuse(problems)
    if not files:
        raise LabError(f"{shown(root)}: has no images ({', '.join(SUFFIXES)})")
    return sorted(path.relative_to(root) for path in files)


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()


def is_held_out(name: str, share: float = HELD_OUT) -> bool:
    """Whether the hash of a path within the folder lies in the lowest `share` of all values."""
    return _place(name) < share * 2**64


def _place(name: str) -> int:
    """The first 8 bytes of the SHA-256 of a name, which may be any bytes."""
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:8])


def _of(path: Path, what: Callable[[Path], Result]) -> Result:
    """Call a function of a file, with errors that name it.

    Raises:
        LabError: if it cannot be read.
    """
    try:
        return what(path)
    except OSError as error:
        raise LabError(f"{shown(path)}: cannot be read: {error.strerror}") from error


def _size_and_time(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_size, state.st_mtime_ns

"""Any folder of images as a data set: a sub-folder for each class, or all in one; captions from metadata.jsonl.

Hidden files and folders are passed over; nothing else is: what cannot be used is an error, all of them at once.
"""

import hashlib
import json
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lina_lab.config.data import HELD_OUT, DataConfig
from lina_lab.data.examples import Dataset, fingerprint
from lina_lab.data.pictures import Pictures, Pixels, refuse, split
from lina_lab.data.pixels import squared, to_rgb
from lina_lab.errors import LabError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
METADATA = "metadata.jsonl"
MOST_BYTES = 4 * 2**30
"""Of a set's float32 pixels, which stay in memory: 87,381 images of 64 x 64, 349,525 of 32 x 32."""


def images(config: DataConfig) -> Dataset:
    """The images of a folder, all in memory: see `pictures`.

    Raises:
        LabError: if an image cannot be used, has several texts, the content is not what `digest` says, or the set is
            too large for memory.
    """
    root, found = Path(config.path or ""), pictures(config)
    most = MOST_BYTES // (4 * 3 * config.side**2)
    if len(found.names) > most:
        raise LabError(
            f"{root}: must have at most {most:,} images of side {config.side}, not {len(found.names):,}; of more, "
            "data.autoencoder and lab cache keep latents on disk"
        )
    if any(len(texts) > 1 for texts in found.texts):
        raise LabError(f"{root / METADATA}: several texts an image need data.autoencoder and lab cache")
    dataset = split(found, config.side)
    if config.digest is not None and not (digest := fingerprint(dataset)).startswith(config.digest):
        raise LabError(f"{root}: holds other images than data.digest says: must be {digest[:12]}, not {config.digest}")
    return dataset


def pictures(config: DataConfig) -> Pictures:
    """The images of a folder, cut to their centre square and made smaller: see `pixels`.

    The class is the sub-folder, in alphabetical order.

    Raises:
        LabError: if a file is no image or without a caption where others have one; if a sub-folder holds none; if the
            classes are not `num_classes`, or a class is held out whole.
    """
    root = Path(config.path or "")
    files = _find(root)
    classes = {parent: label for label, parent in enumerate(sorted({file.parent for file in files}))}
    if len(classes) != config.num_classes:
        raise LabError(f"{root}: data.num_classes must be {len(classes)}, its classes, not {config.num_classes}")
    names, labels = [file.as_posix() for file in files], torch.tensor([classes[file.parent] for file in files])
    return named(config, names, labels, _texts(root, names))


def named(config: DataConfig, names: Sequence[str], labels: Tensor, texts: Sequence[Sequence[str]]) -> Pictures:
    """The images of these names within the folder.

    An image is held out if the SHA-256 of its name falls into the first `held_out` of all values, so that adding or
    removing files moves no other.

    Raises:
        LabError: if a class is held out whole.
    """
    root = Path(config.path or "")
    outside = torch.tensor([is_held_out(name, config.held_out) for name in names])
    missing = labels.bincount().bool() & ~labels[~outside].bincount(minlength=int(labels.max()) + 1).bool()
    for label in missing.nonzero().flatten():
        first = root / names[int((labels == label).nonzero()[0])]
        raise LabError(f"{first.parent}: has too few images: none is left for training")
    return Pictures(
        names=names,
        labels=labels,
        texts=texts,
        heldout=outside,
        read=lambda number: _read(root / names[number], config.side),
        checksum=lambda number: hashlib.sha256((root / names[number]).read_bytes()).hexdigest(),
        stamp=lambda number: ((state := (root / names[number]).stat()).st_size, state.st_mtime_ns),
    )


def _find(root: Path) -> list[Path]:
    """The images, relative to the root, sorted by path."""
    if not root.is_dir():
        raise LabError(f"data.path: {root}: no such folder")
    inside = _visible(root)
    folders = [path for path in inside if path.is_dir()]
    flat = [path for path in inside if not path.is_dir() and path.name != METADATA]
    # A link to a folder around it would make every image an image of one class more.
    around = [path for path in folders if path.resolve() in (root.resolve(), *root.resolve().parents)]
    refuse([f"{path}: is a link to a folder around it" for path in around])
    if folders and flat:
        raise LabError(f"{root}: must have images or a sub-folder for each class, not both: {flat[0].name}")
    files, problems = flat, []
    for folder in folders:
        found = _visible(folder)
        files += found
        problems += [] if found else [f"{folder}: has no images"]
    problems += [f"{path}: must be an image ({', '.join(SUFFIXES)})" for path in files if not _is_image(path)]
    refuse(problems)
    if not files:
        raise LabError(f"{root}: has no images ({', '.join(SUFFIXES)})")
    return sorted(path.relative_to(root) for path in files)


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()


def is_held_out(name: str, share: float = HELD_OUT) -> bool:
    """Whether the hash of a path within the folder falls into the first `share` of all values."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8]) < share * 2**64


def _read(path: Path, side: int) -> Pixels:
    try:
        # What Pillow warns of (palettes with bytes, odd EXIF) is read rightly; of sizes it warns and then refuses.
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
            return np.asarray(squared(to_rgb(image), side))
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise LabError(f"{path}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return str(error) if type(error) is ValueError else f"cannot be read as an image: {error}"


def _texts(root: Path, names: list[str]) -> list[tuple[str, ...]]:
    """The texts of every name; none at all without metadata.jsonl."""
    path = root / METADATA
    if not path.exists():
        return []
    rows = path.read_text(encoding="utf-8", errors="replace").splitlines()
    found: dict[str, tuple[str, ...]] = {}
    problems = []
    for number, row in enumerate(map(_row, rows), start=1):
        if row is None:
            wanted = '{"file_name": "...", "text": "..."} (or "caption"; or a list of texts), all as text'
            problems.append(f"{path}:{number}: must be {wanted}, not {rows[number - 1][:60]}")
        elif row[0] in found:
            problems.append(f"{path}:{number}: has {row[0]} a second time")
        else:
            found[row[0]] = row[1]
    problems += [f"{path}: names {name}, which is not there" for name in sorted(found.keys() - set(names))]
    problems += [f"{path}: has no caption for {name}" for name in names if name not in found]
    refuse(problems)
    return [found[name] for name in names]


def _row(line: str) -> tuple[str, tuple[str, ...]] | None:
    """File name and texts of a line of metadata.jsonl; None if they are not there."""
    try:
        row = json.loads(line)
        name, texts = row["file_name"], row.get("text", row.get("caption"))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    texts = [texts] if isinstance(texts, str) else texts
    right = isinstance(name, str) and isinstance(texts, list) and texts and all(isinstance(t, str) for t in texts)
    return (name, tuple(texts)) if right else None

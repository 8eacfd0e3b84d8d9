"""Any folder of images as a data set: a sub-folder for each class, or all in one; captions from metadata.jsonl.

Hidden files and folders are passed over; nothing else is: what cannot be used is an error, all of them at once.
"""

import hashlib
import json
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from lina_lab.config.data import DataConfig
from lina_lab.data.examples import Dataset, Examples, fingerprint, from_uint8
from lina_lab.data.pixels import squared, to_rgb
from lina_lab.errors import LabError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
METADATA = "metadata.jsonl"
HELD_OUT = 0.15
"""The share of a class that is held out, in the mean."""
MOST_BYTES = 4 * 2**30
"""Of a set's float32 pixels, which stay in memory: 87,381 images of 64 x 64, 349,525 of 32 x 32."""
SHOWN = 20
"""Problems that an error names; the rest are counted."""


def images(config: DataConfig) -> Dataset:
    """The images of a folder, cut to their centre square and made smaller: see `pixels`.

    The class is the sub-folder, in alphabetical order. An image is held out if the SHA-256 of its path within the
    folder falls into the first 15 % of all values, so that adding or removing files moves no other.

    Raises:
        LabError: if a file is damaged, too small, no image or without a caption where others have one; if a
            sub-folder holds none; if the classes are not `num_classes`, a class is held out whole, or the content is
            not what `digest` says; if the set is too large for memory.
    """
    root = Path(config.path or "")
    files = _find(root)
    classes = sorted({file.parent for file in files})
    if len(classes) != config.num_classes:
        raise LabError(f"{root}: data.num_classes must be {len(classes)}, its classes, not {config.num_classes}")
    most = MOST_BYTES // (4 * 3 * config.side**2)
    if len(files) > most:
        raise LabError(f"{root}: must have at most {most:,} images of side {config.side}, not {len(files):,}")
    captions = _captions(root, files)
    pixels = torch.from_numpy(_pixels(root, files, config.side))
    labels = torch.tensor([classes.index(file.parent) for file in files])
    outside = torch.tensor([_is_held_out(file) for file in files])
    for label, name in enumerate(classes):
        if outside[labels == label].all():
            raise LabError(f"{root / name}: has too few images: none is left for training")
    everything = Examples(from_uint8(pixels), labels, captions)
    dataset = Dataset(everything.where(~outside), everything.where(outside))
    if config.digest is not None and not (found := fingerprint(dataset)).startswith(config.digest):
        raise LabError(f"{root}: holds other images than data.digest says: must be {found[:12]}, not {config.digest}")
    return dataset


def _find(root: Path) -> list[Path]:
    """The images, relative to the root, sorted by path."""
    if not root.is_dir():
        raise LabError(f"data.path: {root}: no such folder")
    inside = _visible(root)
    folders = [path for path in inside if path.is_dir()]
    flat = [path for path in inside if not path.is_dir() and path.name != METADATA]
    # A link to a folder around it would make every image an image of one class more.
    around = [path for path in folders if path.resolve() in (root.resolve(), *root.resolve().parents)]
    _refuse([f"{path}: is a link to a folder around it" for path in around])
    if folders and flat:
        raise LabError(f"{root}: must have images or a sub-folder for each class, not both: {flat[0].name}")
    files, problems = flat, []
    for folder in folders:
        found = _visible(folder)
        files += found
        problems += [] if found else [f"{folder}: has no images"]
    problems += [f"{path}: must be an image ({', '.join(SUFFIXES)})" for path in files if not _is_image(path)]
    _refuse(problems)
    if not files:
        raise LabError(f"{root}: has no images ({', '.join(SUFFIXES)})")
    return sorted(path.relative_to(root) for path in files)


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()


def _is_held_out(file: Path) -> bool:
    digest = hashlib.sha256(file.as_posix().encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8]) < HELD_OUT * 2**64


def _pixels(root: Path, files: list[Path], side: int) -> np.ndarray:
    """(n, side, side, 3) uint8."""
    pixels, problems = np.empty((len(files), side, side, 3), np.uint8), []
    for index, file in enumerate(files):
        try:
            # What Pillow warns of (palettes with bytes, odd EXIF) is read rightly; of sizes it warns and then refuses.
            with warnings.catch_warnings(action="ignore"), Image.open(root / file) as image:
                pixels[index] = np.asarray(squared(to_rgb(image), side))
        except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
            problems.append(f"{root / file}: {_reason(error)}")
    _refuse(problems)
    return pixels


def _reason(error: Exception) -> str:
    return str(error) if type(error) is ValueError else f"cannot be read as an image: {error}"


def _captions(root: Path, files: list[Path]) -> list[str]:
    """The caption of every file; none at all without metadata.jsonl."""
    path = root / METADATA
    if not path.exists():
        return []
    rows = path.read_text(encoding="utf-8", errors="replace").splitlines()
    found: dict[str, str] = {}
    problems = []
    for number, row in enumerate(map(_row, rows), start=1):
        if row is None:
            wanted = '{"file_name": "...", "text": "..."} (or "caption"), with both as text'
            problems.append(f"{path}:{number}: must be {wanted}, not {rows[number - 1][:60]}")
        elif row[0] in found:
            problems.append(f"{path}:{number}: has {row[0]} a second time")
        else:
            found[row[0]] = row[1]
    names = [file.as_posix() for file in files]
    problems += [f"{path}: names {name}, which is not there" for name in sorted(set(found) - set(names))]
    problems += [f"{path}: has no caption for {name}" for name in names if name not in found]
    _refuse(problems)
    return [found[name] for name in names]


def _row(line: str) -> tuple[str, str] | None:
    """File name and caption of a line of metadata.jsonl; None if they are not there."""
    try:
        row = json.loads(line)
        name, caption = row["file_name"], row.get("text", row.get("caption"))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return (name, caption) if isinstance(name, str) and isinstance(caption, str) else None


def _refuse(problems: list[str]) -> None:
    """All problems in one error, if there are any."""
    if problems:
        more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        raise LabError("\n".join(problems[:SHOWN] + more))

"""A data set from a folder of pictures, a subfolder a class: docs/plugins.md.

`python examples/folder.py my_digits` writes such a folder, of scikit-learn's handwritten digits, to try it with.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from lina_lab.plugins.data import DataSet

CLASSES, SIDE, TRAIN, HELDOUT = 10, 8, 1437, 360
EVERY = 5
"""Of the pictures in the order of their paths, every fifth is held out."""


def load(path: str | None) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Images (n, 1, SIDE, SIDE), uint8, and labels (n,): those to train on, then those held out."""
    folders = sorted(folder for folder in Path(str(path)).iterdir() if folder.is_dir())
    files = [(file, label) for label, folder in enumerate(folders) for file in sorted(folder.glob("*.png"))]
    images = np.stack([np.array(Image.open(file).convert("L").resize((SIDE, SIDE)))[None] for file, _ in files])
    labels = np.array([label for _, label in files])
    heldout = np.arange(len(files)) % EVERY == 0
    return (images[~heldout], labels[~heldout]), (images[heldout], labels[heldout])


PROVIDES = [
    DataSet(
        "folder",
        channels=1,
        side=SIDE,
        num_classes=CLASSES,
        train=TRAIN,
        heldout=HELDOUT,
        load=load,
        needs_path=True,
    )
]


def main(folder: Path) -> None:
    """Write the pictures to try it with."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    for number, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 255 / 16).astype(np.uint8)).save(folder / str(label) / f"{number:04}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

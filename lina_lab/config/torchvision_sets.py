"""The data sets that torchvision reads and `data: {name: torchvision}` takes: square pictures of one small size, each
with a class, in a training and a test part.

Others that torchvision knows have pictures of many sizes or no test part: as folders they can be read by `images`.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple


class TorchvisionSet(NamedTuple):
    """Facts of a set that a config needs, and how torchvision's class reads it."""

    reader: str
    """The class in torchvision.datasets."""
    channels: int
    side: int
    num_classes: int
    files: tuple[str, ...]
    """All files that the class needs, below its root."""
    by_split: bool = False
    """Whether a part is named by `split: train | test`; otherwise by `train: true | false`."""
    arguments: Mapping[str, str] = {}
    """What else the class must be given."""
    classes: str = ""
    """The data set of the package that has these classes: its extractors can judge them."""
    first_label: int = 0
    transposed: bool = False
    """Whether the files hold every picture with rows and columns exchanged."""

    def part(self, *, train: bool) -> dict[str, Any]:
        """Arguments of the class that select a part."""
        return {"split": "train" if train else "test"} if self.by_split else {**self.arguments, "train": train}


def _idx(folder: str, *stems: str) -> tuple[str, ...]:
    """MNIST's files: one of images and one of labels for each part."""
    return tuple(f"{folder}/raw/{stem}-{kind}-ubyte" for stem in stems for kind in ("images-idx3", "labels-idx1"))


def _mnist(reader: str, classes: str = "") -> TorchvisionSet:
    files = _idx(reader, "train", "t10k")
    return TorchvisionSet(reader=reader, channels=1, side=28, num_classes=10, files=files, classes=classes)


def _emnist(split: str, num_classes: int, classes: str = "") -> TorchvisionSet:
    return TorchvisionSet(
        reader="EMNIST",
        channels=1,
        side=28,
        num_classes=num_classes,
        files=_idx("EMNIST", f"emnist-{split}-train", f"emnist-{split}-test"),
        arguments={"split": split},
        classes=classes,
        first_label=1 if split == "letters" else 0,
        transposed=True,
    )


def _below(folder: str, names: str) -> tuple[str, ...]:
    return tuple(f"{folder}/{name}" for name in names.split())


CIFAR10 = "data_batch_1 data_batch_2 data_batch_3 data_batch_4 data_batch_5 test_batch batches.meta"
QMNIST = (
    "qmnist-train-images-idx3-ubyte qmnist-train-labels-idx2-int "
    "qmnist-test-images-idx3-ubyte qmnist-test-labels-idx2-int"
)
TORCHVISION_SETS = {
    "MNIST": _mnist("MNIST", "mnist"),
    "FashionMNIST": _mnist("FashionMNIST", "fashion-mnist"),
    "KMNIST": _mnist("KMNIST"),
    "QMNIST": _mnist("QMNIST", "mnist")._replace(files=_below("QMNIST/raw", QMNIST)),
    "EMNIST-balanced": _emnist("balanced", 47),
    "EMNIST-byclass": _emnist("byclass", 62),
    "EMNIST-bymerge": _emnist("bymerge", 47),
    "EMNIST-digits": _emnist("digits", 10, "mnist"),
    "EMNIST-letters": _emnist("letters", 26),
    "EMNIST-mnist": _emnist("mnist", 10, "mnist"),
    "USPS": TorchvisionSet(reader="USPS", channels=1, side=16, num_classes=10, files=("usps.bz2", "usps.t.bz2")),
    "CIFAR10": TorchvisionSet(
        reader="CIFAR10", channels=3, side=32, num_classes=10, files=_below("cifar-10-batches-py", CIFAR10)
    ),
    "CIFAR100": TorchvisionSet(
        reader="CIFAR100", channels=3, side=32, num_classes=100, files=_below("cifar-100-python", "train test meta")
    ),
    "SVHN": TorchvisionSet(
        reader="SVHN",
        channels=3,
        side=32,
        num_classes=10,
        files=("train_32x32.mat", "test_32x32.mat"),
        by_split=True,
    ),
    "STL10": TorchvisionSet(
        reader="STL10",
        channels=3,
        side=96,
        num_classes=10,
        files=_below("stl10_binary", "train_X.bin train_y.bin unlabeled_X.bin test_X.bin test_y.bin"),
        by_split=True,
    ),
}
"""By the word in `data.dataset`: the name of torchvision's class, for EMNIST with its split."""

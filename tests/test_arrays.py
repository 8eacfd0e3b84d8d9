"""Large archives against numpy's own reading of them."""

import zipfile

import numpy as np
import pytest

from lina_lab.arrays import names_in, read_blocks, write_npz
from lina_lab.errors import LabError

ROWS = np.random.default_rng(0).integers(0, 256, (7, 3, 5, 2), dtype=np.uint8)
BESIDE = {"labels": np.arange(7), "prompts": np.array(["a", "bc"] * 3 + ["d"])}


def test_rows_written_one_by_one_are_the_array_that_numpy_loads(tmp_path):
    path = tmp_path / "new" / "set.npz"
    write_npz(path, "arr_0", ROWS.shape, iter(ROWS), BESIDE)
    with np.load(path, allow_pickle=False) as file:
        assert file.files == names_in(path) == ["arr_0", "labels", "prompts"]
        np.testing.assert_array_equal(file["arr_0"], ROWS)
        np.testing.assert_array_equal(file["labels"], BESIDE["labels"])
        assert file["prompts"].tolist() == BESIDE["prompts"].tolist()
    assert [p.name for p in path.parent.iterdir()] == ["set.npz"]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_blocks_are_the_rows_of_what_numpy_saved(tmp_path, save):
    save(tmp_path / "set.npz", arr_0=ROWS)
    blocks = list(read_blocks(tmp_path / "set.npz", "arr_0", 3))
    assert [len(block) for block in blocks] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate(blocks), ROWS)


def test_rows_that_do_not_fit_leave_nothing(tmp_path):
    path = tmp_path / "set.npz"
    with pytest.raises(ValueError, match="must have 8 rows, not 7"):
        write_npz(path, "arr_0", (8, 3, 5, 2), iter(ROWS), {})
    with pytest.raises(ValueError, match=r"must be \(3, 5, 2\) uint8, not \(3, 5, 2\) float64"):
        write_npz(path, "arr_0", ROWS.shape, iter(ROWS.astype(float)), {})
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_whole_archive_of_bytes_is_named(tmp_path):
    path = tmp_path / "set.npz"
    with pytest.raises(LabError, match=r"set\.npz: no such file"):
        names_in(path)
    np.savez(path, arr_0=ROWS.astype(np.float32))
    with pytest.raises(LabError, match="arr_0: must be uint8 in C order, not float32"):
        list(read_blocks(path, "arr_0", 3))
    np.savez(path, arr_0=ROWS)
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() == "arr_0.npy"
    with pytest.raises(LabError, match=r"set\.npz: must be a whole \.npz"):
        list(read_blocks(path, "arr_0", 3))
    path.write_bytes(content[:100])
    with pytest.raises(LabError, match=r"set\.npz: must be a whole \.npz"):
        names_in(path)

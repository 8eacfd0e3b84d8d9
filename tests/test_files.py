"""Files that are whole or not there."""

import hashlib

import pytest

from lina_lab import files
from lina_lab.errors import LabError


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    files.write_atomic(path, "old")

    def broken(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", broken)
    with pytest.raises(OSError, match="No space"):
        files.write_atomic(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_of_several_that_make_a_file_one_does(tmp_path):
    path = tmp_path / "folder" / "a.txt"
    assert files.write_new(path, "first")
    assert not files.write_new(path, "second")
    assert path.read_text() == "first"


def test_a_new_file_that_cannot_be_written_is_not_left_half(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write_new(tmp_path / "a.txt", "text")
    assert list(tmp_path.iterdir()) == []


def test_a_named_file_comes_back_under_its_digest_and_a_changed_one_is_refused(tmp_path):
    files.write_named(tmp_path, "stats", ".npz", b"older")
    path = files.write_named(tmp_path, "stats", ".npz", b"content")
    digest = hashlib.sha256(b"content").hexdigest()[:8]
    assert files.read_named(tmp_path, "stats", ".npz") == (f"stats-{digest}", b"content")
    assert list(tmp_path.iterdir()) == [path]
    path.write_bytes(b"changed")
    with pytest.raises(LabError, match="its content is not what its name says"):
        files.read_named(tmp_path, "stats", ".npz")
    path.unlink()
    with pytest.raises(LabError, match=r"has no stats-\*\.npz"):
        files.read_named(tmp_path, "stats", ".npz")


def test_the_cache_is_where_its_variable_says(tmp_path, monkeypatch):
    monkeypatch.setenv(files.CACHE_VARIABLE, str(tmp_path))
    assert files.cache_folder() == tmp_path
    monkeypatch.delenv(files.CACHE_VARIABLE)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.cache_folder() == tmp_path / ".cache" / "lina-lab"

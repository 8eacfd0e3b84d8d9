"""Hostile and broken archives: whatever a file says, it is refused before it costs memory or leaves a trace."""

import gzip
import hashlib
import io
import json
import resource
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lina_lab.bundle.archive import MANIFEST, MOST_BYTES, read_archive, read_manifest, write_archive
from lina_lab.errors import LabError

MEMBERS = [("plan.json", b"{}"), ("cells/0123456789ab/metrics.csv", b"step\r\n" * 500), ("empty", b"")]


def written(path: Path, members=MEMBERS) -> Path:
    write_archive(path, lambda: iter(members), {"sweep": "a"})
    return path


def info(name: str, size: int = 0, **fields) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.size = size
    for field, value in fields.items():
        setattr(made, field, value)
    return made


def manifest(*members: tuple[str, bytes], **more) -> tuple[tarfile.TarInfo, bytes]:
    listed = {name: [hashlib.sha256(data).hexdigest(), len(data)] for name, data in members}
    data = json.dumps({"schema": 1, "members": listed} | more).encode()
    return info(MANIFEST, len(data)), data


def archive(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for member, data in members:
            tar.addfile(member, io.BytesIO(data))
    return path


def refused(path: Path, match: str) -> None:
    with pytest.raises(LabError, match=match):
        list(read_archive(path))


def test_what_is_written_is_read_in_its_order_and_any_tar_lists_it(tmp_path):
    path = written(tmp_path / "a.tar.gz")
    assert list(read_archive(path)) == MEMBERS
    assert read_manifest(path).facts == {"sweep": "a"}
    with tarfile.open(path) as tar:
        assert tar.getnames() == [MANIFEST, *(name for name, _ in MEMBERS)]
        assert {(m.uid, m.uname, m.mtime, m.mode) for m in tar.getmembers()} == {(0, "", 0, 0o644)}


def test_the_same_members_give_the_same_bytes_under_any_name_at_any_time(tmp_path, monkeypatch):
    first = written(tmp_path / "a.tar.gz").read_bytes()
    monkeypatch.setattr("time.time", lambda: 1.0)
    assert written(tmp_path / "another.tar.gz").read_bytes() == first


def test_a_member_that_changes_while_it_is_packed_leaves_no_file(tmp_path):
    states = iter([[("a", b"1")], [("a", b"2")]])
    with pytest.raises(LabError, match="a: changed while it was packed"):
        write_archive(tmp_path / "a.tar.gz", lambda: iter(next(states)), {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "member",
    [
        info("x", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        info("x", type=tarfile.LNKTYPE, linkname="../../x"),
        info("x", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
        info("x", type=tarfile.BLKTYPE),
        info("x", type=tarfile.FIFOTYPE),
        info("x", type=tarfile.DIRTYPE),
        info("x", type=tarfile.CONTTYPE),
        info("x" * 300),
        info("x", pax_headers={"path": "../../x"}),
    ],
    ids="symlink hardlink device disk fifo folder contiguous longname pax".split(),
)
def test_anything_but_a_plain_file_is_refused(tmp_path, member):
    path = archive(tmp_path / "a.tar.gz", manifest((member.name, b"")), (member, b""))
    refused(path, "is no plain file: a bundle has no links, folders or devices")


def test_a_member_of_another_name_length_or_content_than_the_manifests_is_refused(tmp_path):
    known = manifest(("a", b"12"))
    refused(archive(tmp_path / "1", known, (info("b", 2), b"12")), "has b of 2 bytes where a belongs")
    refused(archive(tmp_path / "2", known, (info("a", 3), b"123")), "has a of 3 bytes where a belongs")
    refused(archive(tmp_path / "3", known, (info("a", 2), b"13")), "a has another SHA-256")
    refused(archive(tmp_path / "4", known), "a is missing")
    twice = (info("a", 2), b"12")
    refused(archive(tmp_path / "5", known, twice, twice), "has a, of which its manifest knows nothing")
    refused(archive(tmp_path / "6", twice, known), "is no bundle of schema 1")


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{",
        b'{"schema": 2, "members": {}}',
        b'{"schema": 1}',
        b'{"schema": 1, "members": []}',
        b'{"schema": 1, "members": {"a": 3}}',
        b'{"schema": 1, "members": {"a": ["", -1]}}',
        b'{"schema": 1, "members": {"a": ["", 99999999999999999999]}}',
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_a_manifest_that_is_none_is_refused(tmp_path, body):
    refused(archive(tmp_path / "a", (info(MANIFEST, len(body)), body)), "bundle|manifest is damaged|holds more than")


@pytest.mark.parametrize(
    "content", [b"", b"no archive", gzip.compress(b"", mtime=0), gzip.compress(b"text" * 500, mtime=0)]
)
def test_what_is_no_archive_is_named(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    refused(tmp_path / "a", "a: is no bundle")
    refused(tmp_path / "b", "b: no such file")
    refused(tmp_path, "is no bundle")


def test_a_bomb_is_refused_by_what_it_says_of_itself(tmp_path):
    """4 GiB of zeros are 4 MiB of gzip; the file ends early here, since nobody may read so far."""
    large = info("a", 4 * 2**30)
    with gzip.open(tmp_path / "a", "wb") as file:
        file.write(large.tobuf())
        for _ in range(64):
            file.write(bytes(2**20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(tmp_path / "a", f"at most {MOST_BYTES:,}")
    many = manifest(*((str(number), b"") for number in range(200)))
    body = json.loads(many[1])
    body["members"] = {name: ["", MOST_BYTES] for name in body["members"]}
    data = json.dumps(body).encode()
    refused(archive(tmp_path / "b", (info(MANIFEST, len(data)), data)), "holds more than")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 2**10


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), cut=st.booleans())
def test_a_file_with_any_bit_changed_or_cut_off_is_refused_or_the_same(tmp_path, at, bit, cut):
    whole = bytearray(written(tmp_path / "a").read_bytes())
    place = int(at * len(whole))
    if cut:
        del whole[place:]
    else:
        whole[place] ^= 1 << bit
    (tmp_path / "b").write_bytes(whole)
    try:
        found = list(read_archive(tmp_path / "b"))
    except LabError:
        return
    assert found == MEMBERS  # as where a bit of gzip's own header is another, or its end is cut off

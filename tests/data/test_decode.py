"""Of any bytes: a picture, or one error that names the file; and what is not used stops no picture."""

import io
import os
import struct
import sys
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lina_lab.data import decode
from lina_lab.data.decode import read_picture
from lina_lab.errors import LabError
from tests.data.written import chunk, png, tiff

SIDE = 16
RANDOM = np.random.default_rng(0)


def photo(size: tuple[int, int] = (24, 20)) -> Image.Image:
    low = np.random.default_rng(5).integers(0, 256, (5, 5, 3), np.uint8)
    return Image.fromarray(low).resize(size, Image.Resampling.BICUBIC)


def saved(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    file = io.BytesIO()
    (image or photo()).save(file, kind, **options)
    return file.getvalue()


def exif(*entries: tuple[int, int, int, bytes], beyond: bytes = b"") -> bytes:
    """Tags (number, type, count, four bytes); what lies beyond them begins at 8 + 2 + 12 n + 4."""
    listed = b"".join(struct.pack("<HHI4s", *entry) for entry in entries)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries)) + listed + struct.pack("<I", 0) + beyond


@pytest.fixture
def read(tmp_path):
    """Bytes as a file, read."""

    def from_bytes(data: bytes, name: str = "one.png", side: int = SIDE) -> np.ndarray:
        (tmp_path / name).write_bytes(data)
        return read_picture(tmp_path / name, side)

    return from_bytes


TURNED = (0x112, 3, 1, struct.pack("<HH", 6, 0))
OTHERS = {
    "resolution as text": (282, 2, 3, b"72\0\0"),
    "resolution as a number": (282, 3, 1, struct.pack("<HH", 72, 0)),
    "unit as text": (296, 2, 3, b"in\0\0"),
    "type that there is none of": (282, 99, 1, b"\0\0\0\0"),
    "rational beyond the end": (282, 5, 1, struct.pack("<I", 60000)),
    "text of no end": (271, 2, 2**31, struct.pack("<I", 8)),
    "sub-folder at itself": (0x8769, 4, 1, struct.pack("<I", 8)),
    "sub-folder as text": (0x8769, 2, 3, b"ab\0\0"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_camera_that_writes_other_tags_wrongly_is_read_upright(name, read):
    plain = np.asarray(Image.open(io.BytesIO(saved("JPEG"))).rotate(-90, expand=True).convert("RGB"))
    entries = sorted([TURNED, OTHERS[name]])
    assert np.array_equal(read(saved("JPEG", exif=exif(*entries)), side=20), plain[2:22])
    turned = np.asarray(photo().rotate(-90, expand=True))
    assert np.array_equal(read(saved("PNG", exif=exif(*entries)[6:]), side=20), turned[2:22])


@pytest.mark.parametrize(
    "entry",
    [
        (0x112, 4, 1, struct.pack("<I", 6)),
        (0x112, 1, 1, b"\6\0\0\0"),
        (0x112, 7, 1, b"\6\0\0\0"),
        (0x112, 2, 2, b"6\0\0\0"),
        (0x112, 3, 2, struct.pack("<HH", 6, 0)),
        (0x112, 8, 1, struct.pack("<hh", 6, 0)),
        (0x112, 11, 1, struct.pack("<f", 6)),
    ],
)
def test_an_orientation_is_read_in_whatever_type_it_is_written(entry, read):
    assert np.array_equal(read(saved("PNG", exif=exif(entry)[6:])), read(saved("PNG", exif=exif(TURNED)[6:])))


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_that_means_nothing_leaves_a_picture_as_it_is(value, read):
    entry = (0x112, 3, 1, struct.pack("<HH", value, 0))
    assert np.array_equal(read(saved("PNG", exif=exif(entry)[6:])), read(saved("PNG")))
    assert np.array_equal(read(saved("PNG", exif=b"II*\0 no tags")), read(saved("PNG")))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_eight_orientations_of_every_format_that_has_them(orientation, read):
    """Row by row and corner by corner as EXIF defines them: where the first row and the first column are."""
    values = np.asarray(photo((20, 20))).astype(int)
    upright = {
        1: values,
        2: values[:, ::-1],
        3: values[::-1, ::-1],
        4: values[::-1],
        5: values.swapaxes(0, 1),
        6: values.swapaxes(0, 1)[:, ::-1],
        7: values[::-1, ::-1].swapaxes(0, 1),
        8: values.swapaxes(0, 1)[::-1],
    }[orientation]
    tag = exif((0x112, 3, 1, struct.pack("<HH", orientation, 0)))
    whole = [
        saved("PNG", photo((20, 20)), exif=tag[6:]),
        saved("WEBP", photo((20, 20)), exif=tag, lossless=True),
        tiff(values, 8, 2, (274, 3, [orientation])),
        tiff(values, 8, 2, (274, 3, [orientation]), deflate=True),
        tiff(values * 257, 16, 2, (274, 3, [orientation])),
    ]
    for data in whole:
        assert np.array_equal(read(data, side=20), upright)


def test_of_a_camera_s_several_pictures_the_first_is_read_even_with_a_damaged_index(read):
    data = saved("MPO", save_all=True, append_images=[Image.new("RGB", (24, 20), "red")])
    alone = read(saved("JPEG"))
    assert np.array_equal(read(data), alone)
    at = data.index(b"MPF\0")
    for place in range(at + 4, at + 60):
        assert np.array_equal(read(data[:place] + b"\xff" + data[place + 1 :]), alone)


@pytest.mark.slow
def test_profiles_and_texts_of_any_size_or_damage_stop_no_png(read):
    values, large = np.asarray(photo()).astype(int), b"\0" * 2 * 2**20
    plain = read(png(values, 8, 2))
    chunks = [
        chunk(b"iCCP", b"profile\0\0" + zlib.compress(large)),
        chunk(b"iCCP", b"profile\0\7"),
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(large)),
        chunk(b"zTXt", b"Comment\0\7"),
        chunk(b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(large)),
        chunk(b"tEXt", b"transparency\0red"),
        chunk(b"tEXt", b"Comment\0" + 35 * large),
        chunk(b"tEXt", b"Comment\0text")[:-1] + b"?",
        chunk(b"tEXt", b"Raw profile type exif\0no numbers"),
    ]
    for extra in chunks:
        assert np.array_equal(read(png(values, 8, 2, extra)), plain), extra[:20]


def test_profiles_and_comments_of_a_jpeg_stop_it_neither(read):
    plain = read(saved("JPEG"))
    assert np.array_equal(read(saved("JPEG", icc_profile=b"\0" * 5 * 2**20)), plain)
    assert np.array_equal(read(saved("JPEG", comment=b"\xff" * 60000)), plain)


def test_a_png_that_a_text_alone_calls_turned_is_upright(read):
    packet = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    text = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet)
    turned = read(saved("PNG", exif=exif(TURNED)[6:]))
    assert np.array_equal(read(png(np.asarray(photo()).astype(int), 8, 2, text)), turned)


def test_what_has_too_many_pixels_is_refused_before_they_are_read(read, monkeypatch):
    monkeypatch.setattr(decode, "MOST_PIXELS", 479)
    with pytest.raises(LabError, match=r"one.png: must have at most 479 pixels, not 24 x 20$"):
        read(saved("PNG"))
    monkeypatch.undo()
    header = struct.pack(">IIBBBBB", 2**20, 2**20, 8, 2, 0, 0, 0)
    with pytest.raises(LabError, match="must have at most 268,435,456 pixels"):
        read(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))


def test_formats_that_run_programs_or_are_untested_are_not_opened(read):
    for kind in ("EPS", "JPEG2000", "TGA"):
        with pytest.raises(LabError, match=r"one.png: cannot be read as an image: must be whole, and of PNG, JPEG, "):
            read(saved(kind))
    with pytest.raises(LabError, match="the file is empty"):
        read(b"")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "loop.png").symlink_to("loop.png")
    for name, told in (("folder.png", "Is a directory"), ("gone.png", "No such file"), ("loop.png", "symbolic links")):
        with pytest.raises(LabError, match=rf"{name}: cannot be read as an image: .*{told}"):
            read_picture(tmp_path / name, SIDE)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_name_that_is_no_utf_8_or_no_line_is_escaped(tmp_path):
    for name, told in ((b"caf\xe9\n.png", r"caf\xe9\n.png: "), ("a\u202eb.png".encode(), r"a\u202eb.png: ")):
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        path.write_bytes(b"no image")
        with pytest.raises(LabError) as caught:
            read_picture(path, SIDE)
        assert told in str(caught.value)
        assert str(caught.value).isprintable()


WHOLE = {
    "png": saved("PNG"),
    "png16": png(RANDOM.integers(0, 65536, (20, 24, 4)), 16, 6),
    "png palette": saved("PNG", photo().quantize(16), transparency=bytes(range(16))),
    "apng": saved("PNG", save_all=True, append_images=[Image.new("RGB", (24, 20))]),
    "jpeg": saved("JPEG", exif=exif(TURNED, (282, 5, 1, struct.pack("<I", 38)), beyond=b"\1\0\0\0\2\0\0\0")),
    "cmyk jpeg": saved("JPEG", photo().convert("CMYK"), progressive=True),
    "mpo": saved("MPO", save_all=True, append_images=[photo()]),
    "gif": saved("GIF", photo().quantize(16)),
    "moving gif": saved("GIF", save_all=True, append_images=[Image.new("RGB", (24, 20))]),
    "bmp": saved("BMP"),
    "bmp palette": saved("BMP", photo().quantize(16)),
    "tiff": saved("TIFF"),
    "lzw tiff": saved("TIFF", compression="tiff_lzw"),
    "tiff16": tiff(RANDOM.integers(0, 65536, (20, 24, 3)), 16, 2),
    "palette tiff": saved("TIFF", photo().quantize(16)),
    "webp": saved("WEBP"),
    "lossless webp": saved("WEBP", lossless=True, exif=exif(TURNED)),
    "ppm": saved("PPM"),
    "plain ppm": b"P3 24 20 255 " + b" ".join(b"%d" % v for v in np.asarray(photo()).ravel()),
    "pgm16": b"P5 24 20 65535 " + RANDOM.integers(0, 256, 960, np.uint8).tobytes(),
}


def damaged(data: bytes, generator: np.random.Generator) -> bytes:
    """Bytes flipped, cut off, cut out or put in, most of them in the first hundred, where a format says what it is."""
    most = len(data) if generator.random() < 0.5 else min(len(data), 100)
    at = int(generator.integers(0, max(1, most)))
    kind, some = generator.integers(0, 4), generator.integers(0, 256, int(generator.integers(1, 5)), np.uint8).tobytes()
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + data[at + len(some) :]
    if kind == 2:
        return data[:at] + some + data[at:]
    return data[:at] + some + data[at + len(some) :]


ROUNDS = int(os.environ.get("LAB_FUZZ", "40"))


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.filterwarnings("error")
def test_damaged_files_give_a_picture_or_one_error_that_names_them(name, read):
    generator = np.random.default_rng([7, *name.encode()])
    for turn in range(ROUNDS):
        data = damaged(WHOLE[name], generator) if turn else WHOLE[name]
        data = damaged(data, generator) if turn % 2 else data
        try:
            found = read(data, "some file.png")
        except LabError as error:
            assert "some file.png: " in str(error)
            assert len(str(error).splitlines()) == 1
        else:
            assert (found.shape, found.dtype) == ((SIDE, SIDE, 3), np.uint8)


@pytest.mark.parametrize("name", ["png", "png16", "tiff", "tiff16", "bmp", "gif", "ppm", "pgm16", "lossless webp"])
def test_a_file_without_its_end_is_never_a_picture(name, read):
    """Of formats without loss whose pixels come last, however much of them is there."""
    data = WHOLE[name]
    for share in (0.3, 0.6, 0.9):
        with pytest.raises(LabError, match=r"one.png: "):
            read(data[: int(share * len(data))])


def test_threads_that_read_leave_warnings_as_they_were(tmp_path):
    """One that ends while another reads gives back filters that are not its own."""
    (tmp_path / "one.jpg").write_bytes(saved("JPEG", exif=exif(OTHERS["rational beyond the end"])))
    failed = []

    def several() -> None:
        for _ in range(30):
            try:
                read_picture(tmp_path / "one.jpg", SIDE)
            except Exception as error:  # noqa: BLE001, any is wrong
                failed.append(error)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = list(warnings.filters)
        threads = [threading.Thread(target=several) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert list(warnings.filters) == before
    assert not failed

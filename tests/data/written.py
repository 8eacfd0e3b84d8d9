"""Image files written by hand, so that what is read is held against the values and not against another program."""

import struct
import zlib
from collections.abc import Sequence

import numpy as np

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Of the colour types of a PNG."""
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
TIFF_TYPES = {1: "B", 2: "B", 3: "H", 4: "I"}


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def packed(values: np.ndarray, bits: int, order: str = ">") -> bytes:
    """Rows (h, n) of values of 1 to 16 bits, the first in the high bits; every row begins a byte."""
    if bits == 16:
        return values.astype(f"{order}u2").tobytes()
    spread = (values[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(spread.reshape(len(values), -1).astype(np.uint8), axis=1).tobytes()


def png(values: np.ndarray, bits: int, colour: int, *chunks: bytes, interlaced: bool = False) -> bytes:
    """Values (h, w, c) as a PNG of a colour type."""
    height, width = values.shape[:2]
    passes = ADAM7 if interlaced else [(0, 0, 1, 1)]
    data = b""
    for left, top, dx, dy in passes:
        for row in values[top::dy, left::dx]:
            data += b"\0" * bool(row.size) + packed(row.reshape(1, -1), bits)
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced)
    parts = [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff(
    values: np.ndarray,
    bits: int,
    photometric: int | None,
    *tags: tuple[int, int, Sequence[int]],
    order: str = "<",
    deflate: bool = False,
    planes: bool = False,
) -> bytes:
    """Values (h, w, c) as a TIFF of one strip, or one a plane; more tags as (number, type, values)."""
    height, width, channels = values.shape
    parts = [values[..., c] for c in range(channels)] if planes else [values.reshape(height, -1)]
    strips = [packed(part, bits, order) for part in parts]
    strips = [zlib.compress(strip) if deflate else strip for strip in strips]
    offsets = np.cumsum([8, *map(len, strips)])
    known = {number for number, _, _ in tags}
    entries = [
        (256, 3, [width]),
        (257, 3, [height]),
        (258, 3, [bits] * channels),
        (259, 3, [8 if deflate else 1]),
        *([] if photometric is None else [(262, 3, [photometric])]),
        (273, 4, offsets[:-1].tolist()),
        (277, 3, [channels]),
        (278, 3, [height]),
        (279, 4, list(map(len, strips))),
        (284, 3, [2 if planes else 1]),
    ]
    entries = sorted([entry for entry in entries if entry[0] not in known] + list(tags))
    at = int(offsets[-1]) + int(offsets[-1]) % 2
    beyond, listed, more = at + 2 + 12 * len(entries) + 4, b"", b""
    for number, kind, numbers in entries:
        data = struct.pack(f"{order}{len(numbers)}{TIFF_TYPES[kind]}", *numbers)
        listed += struct.pack(f"{order}HHI", number, kind, len(numbers))
        listed += data.ljust(4, b"\0") if len(data) <= 4 else struct.pack(f"{order}I", beyond + len(more))
        more += data if len(data) > 4 else b""
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", at)
    body = (head + b"".join(strips)).ljust(at, b"\0")
    return body + struct.pack(f"{order}H", len(entries)) + listed + b"\0\0\0\0" + more


def bmp(values: np.ndarray, green: int) -> bytes:
    """Values (h, w, 3) of 5, `green` and 5 bits as a BMP of 16 bits a pixel, h rows of an even number of pixels."""
    height, width = values.shape[:2]
    shifts = (5 + green, 5, 0)
    pixels = sum(values[..., c].astype(int) << shift for c, shift in enumerate(shifts))
    masks = [31 << shifts[0], (2**green - 1) << 5, 31]
    data = np.asarray(pixels)[::-1].astype("<u2").tobytes()
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 16, 3, len(data), 0, 0, 0, 0) + struct.pack("<3I", *masks)
    return struct.pack("<2sIHHI", b"BM", 14 + len(head) + len(data), 0, 0, 14 + len(head)) + head + data

"""The EXIF orientation of an image, read even if the rest of its EXIF data is damaged."""

import struct

from PIL import ExifTags, Image

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Transpose that makes an image upright, by orientation; 1 needs none."""
TAG = int(ExifTags.Base.Orientation)
TYPES = {1: "B", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 11: "f"}
"""Struct codes by TIFF type, of values stored within the tag. The standard says short; cameras write others."""


def turn_of(image: Image.Image) -> Image.Transpose | None:
    """The transpose that makes an image upright; None if it is upright or says nothing readable.

    The image must be loaded.
    """
    exif = image.info.get("exif", b"")
    try:
        return TURNS.get(_written(exif.removeprefix(b"Exif\0\0")))
    except (struct.error, LookupError, ValueError, AttributeError):
        pass  # Pillow looks in other places too
    try:
        value = image.getexif().get(TAG, 1)
        return TURNS.get(int(value[0] if isinstance(value, tuple | bytes) else value))
    except Exception:  # noqa: BLE001, damaged EXIF fails in many ways, and says nothing of the picture
        return None


def _written(exif: bytes) -> int:
    """The orientation in EXIF bytes, whatever number type it has; LookupError if there is none."""
    order = {b"II": "<", b"MM": ">"}[exif[:2]]
    (first,) = struct.unpack_from(f"{order}I", exif, 4)
    (count,) = struct.unpack_from(f"{order}H", exif, first)
    for at in range(first + 2, first + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(f"{order}HH", exif, at)
        if tag == TAG:
            if kind == 2:  # a text
                return int(exif[at + 8 : at + 9])
            return int(struct.unpack_from(order + TYPES[kind], exif, at + 8)[0])
    raise LookupError(TAG)

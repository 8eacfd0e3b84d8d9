"""Image values that Pillow misreads: 16 bits, premultiplied alpha, white stored as 0, fewer than 8 bits.

Pillow truncates 16-bit colour to the high bytes. When the image is read a second time with the other byte order, the
same decoder gives the low bytes; together they are the values.

Shapes: h x w pixels, c values each.
"""

import io
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

Values = NDArray[Any]
ROWS = 256
"""Rows processed at once: a large photo in floats would take gigabytes."""
PHOTOMETRIC, PLANES, COLOUR_MAP, SAMPLE_FORMAT = 262, 284, 320, 339
"""TIFF tags."""
WHITE_IS_ZERO, YCBCR, LAB = 0, 6, 8
SIGNED = ((2,), 2)
KEY_BITS = {"1": 1, "L;2": 2, "L;4": 4, "L": 8, "RGB": 8}
"""Bits a value, by Pillow mode, of PNGs that may declare one colour transparent."""
SWAPPED = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}

# Pillow supports 16 bits with white as 0 in one byte order only.
TiffImagePlugin.OPEN_INFO.setdefault((b"MM", 0, (1,), 1, (16,), ()), ("I;16B", "I;16B"))


class Unusable(ValueError):
    """An undamaged image whose values cannot be read correctly; the message says what it must be."""


def check(image: Image.Image) -> None:
    """Refuse images that Pillow would silently misread.

    Raises:
        Unusable: if the image is of such a kind.
    """
    kind, raw = _tag(image, PHOTOMETRIC), _raw_mode(image)
    if image.mode in {"I", "F"} and ";16" not in raw and not _is_grey16(image):
        raise Unusable(f"must have 8 or 16 bits a value, not 32 (mode {image.mode}): what is white is not known")
    if _tag(image, SAMPLE_FORMAT) in SIGNED:
        raise Unusable("must have values from 0 on, not signed ones: what is black is not known")
    if image.format != "TIFF":
        return
    if kind is None and image.mode in {"1", "L", "I;16", "I;16B"}:
        raise Unusable("must say whether 0 is black or white: it has no PhotometricInterpretation")
    if kind == YCBCR and image.mode == "RGB" and image.info.get("compression") == "raw":
        raise Unusable("must be RGB, or compressed: bare YCbCr cannot be read")
    bits = image.tag_v2.get(258, (1,))  # type: ignore[attr-defined]
    if _tag(image, PLANES) == 2 and (kind == LAB or (len(bits) > 1 and max(bits) > 8)):
        raise Unusable("must have the values of a pixel side by side, not in planes")


def _tag(image: Image.Image, number: int) -> Any:
    """A TIFF tag; None if absent, or if the image is no TIFF."""
    return getattr(image, "tag_v2", {}).get(number)


def _raw_mode(image: Image.Image) -> str:
    """Pillow's raw mode of an image that is not decoded yet: how the file stores its values; '' if it has none."""
    tiles = getattr(image, "tile", None)
    return str(_words(tiles[0].args)[0]) if tiles else ""


def _words(args: Any) -> tuple[Any, ...]:
    return args if isinstance(args, tuple) else (args,)


def _loaded(image: Any, raw: str) -> Values:
    """Decode an image as if its file stored values in another raw mode: (h, w, c)."""
    image.tile = [tile._replace(args=(raw, *_words(tile.args)[1:])) for tile in image.tile]
    return _values(image)


def _values(image: Image.Image) -> Values:
    """The values (h, w) or (h, w, c) of an image."""
    image.load()  # converting to an array alone might ignore damage
    return np.asarray(image)


def _is_grey16(image: Image.Image) -> bool:
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format in {"PNG", "PPM"})


def on_white(image: Image.Image) -> Image.Image | None:
    """Images of more than 8 bits or with premultiplied alpha, on white, as 8-bit grey or RGB; None for all others.

    Every value is rounded once.
    """
    raw = _raw_mode(image)
    if _is_grey16(image):
        most = 4095 if raw == "I;12" else 65535
        values = _values(image)[..., None]
        values = most - values if _tag(image, PHOTOMETRIC) == WHITE_IS_ZERO else values
        return _eight(values, _alpha(image, values, most), most)
    if ";16" in raw and raw[-1] in SWAPPED:
        return _deep(image, raw)
    if image.format == "PNG" and raw in KEY_BITS and "transparency" in image.info:
        return _keyed(image, 2 ** KEY_BITS[raw] - 1)
    if raw.startswith("RGBa"):
        values = _loaded(image, raw.replace("RGBa", "RGBA"))
    elif image.mode in {"RGBa", "La"}:
        values = _values(image)
    else:
        return None
    return _eight(values[..., :-1], values[..., -1:], 255, premultiplied=True)


def _deep(image: Image.Image, raw: str) -> Image.Image:
    """16-bit colour, or grey with alpha, stored in the mode `raw`."""
    if raw == "LA;16B":  # read as four bytes: both values, high and low
        pairs: Values = _loaded(image, "RGBA").astype(np.uint16)
        values = pairs[..., ::2] << 8 | pairs[..., 1::2]
        return _eight(values[..., :1], values[..., 1:], 65535)
    values = _sixteen(image, raw.replace("RGBa", "RGBA"))
    if image.mode == "RGBA":
        return _eight(values[..., :3], values[..., 3:], 65535, premultiplied="RGBa" in raw)
    if image.mode == "CMYK":
        paper = 65535 - values.astype(np.uint32)  # the light that each ink leaves
        return _eight(paper[..., :3] * paper[..., 3:], None, 65535 * 65535)
    return _eight(values, _alpha(image, values, 65535), 65535)


def _sixteen(image: Any, raw: str) -> Values:
    """Decode the 16-bit values (h, w, c) of an image."""
    at = image.fp.tell()
    image.fp.seek(0)
    data = image.fp.read()
    image.fp.seek(at)
    high: Values = _loaded(image, raw).astype(np.uint16)
    with Image.open(io.BytesIO(data), formats=[image.format]) as again:
        return high << 8 | _loaded(again, raw[:-1] + SWAPPED[raw[-1]])


def _keyed(image: Image.Image, most: int) -> Image.Image:
    """A PNG of at most 8 bits with one transparent colour, which is scaled to 8 bits as Pillow scales the values."""
    values = _values(image.convert("L") if image.mode == "1" else image)
    image.info["transparency"] = (np.array(image.info["transparency"]) & most) * (255 // most)
    values = values.reshape(*values.shape[:2], -1)
    return _eight(values, _alpha(image, values, 255), 255)


def _alpha(image: Image.Image, values: Values, most: int) -> Values | None:
    """Alpha (h, w, 1) of an image with one transparent colour; None if it has none."""
    key = image.info.get("transparency")
    return None if key is None else (values != np.array(key)).any(-1, keepdims=True) * np.uint16(most)


def _eight(values: Values, alpha: Values | None, most: int, *, premultiplied: bool = False) -> Image.Image:
    """Values (h, w, c) in 0 ... most, composited on white, as 8 bits."""
    eight = np.empty(values.shape, np.uint8)
    for rows in (slice(first, first + ROWS) for first in range(0, len(values), ROWS)):
        light = values[rows].astype(np.float64) / most
        if alpha is not None:
            share = alpha[rows].astype(np.float64) / most
            light = (light if premultiplied else light * share) + 1 - share
        eight[rows] = np.rint(255 * light.clip(0, 1))
    return Image.fromarray(eight[..., 0] if values.shape[-1] == 1 else eight)


def mended(image: Image.Image) -> Image.Image:
    """An image of at most 8 bits, with values of 5 or 6 bits and colour maps rounded; Pillow truncates them."""
    raw, colours = _raw_mode(image), _tag(image, COLOUR_MAP)
    if image.format == "BMP" and raw in {"BGR;15", "BGR;16"}:
        return image.point([*_rounded(5), *_rounded(5 if raw == "BGR;15" else 6), *_rounded(5)])
    if image.mode in {"P", "PA"} and colours is not None:
        image.load()
        image.putpalette(_colour_map(np.array(colours).reshape(3, -1)).T.tobytes())
    return image


def _rounded(bits: int) -> list[int]:
    """Table from 255 v / most truncated to the same rounded, for v in 0 ... most = 2^bits - 1."""
    most = 2**bits - 1
    return [round(min(most, -(-cut * most // 255)) * 255 / most) for cut in range(256)]


def _colour_map(values: Values) -> NDArray[np.uint8]:
    """A 16-bit colour map as 8 bits. Many programs, Pillow too, write 256 v for 257 v; some write v itself."""
    if (values % 256 == 0).all():
        return (values // 256).astype(np.uint8)
    return (values if values.max() < 256 else np.rint(values / 257)).astype(np.uint8)

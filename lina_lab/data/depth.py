"""What Pillow reads otherwise than it is meant: 16 bits a value, premultiplied alpha, white that is zero, few bits.

Pillow cuts 16-bit colour to its high bytes. Read a second time with the other byte order it gives the low ones, from
the same decoder; together they are the values.

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
"""Of an image at once: floats of a large photo would take gigabytes."""
PHOTOMETRIC, PLANES, COLOUR_MAP, SAMPLE_FORMAT = 262, 284, 320, 339
"""Tags of a TIFF."""
WHITE_IS_ZERO, YCBCR, LAB = 0, 6, 8
SIGNED = ((2,), 2)
KEY_BITS = {"1": 1, "L;2": 2, "L;4": 4, "L": 8, "RGB": 8}
"""Of a value of a PNG that may call a colour transparent."""
SWAPPED = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}

# Pillow knows 16 bits whose white is zero in one byte order alone.
TiffImagePlugin.OPEN_INFO.setdefault((b"MM", 0, (1,), 1, (16,), ()), ("I;16B", "I;16B"))


class Unusable(ValueError):
    """An image that is whole, but whose values cannot be read as they are meant: what it must be."""


def check(image: Image.Image) -> None:
    """Refuse what Pillow reads without a word as something else.

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
    """A tag of a TIFF; None where there is none."""
    return getattr(image, "tag_v2", {}).get(number)


def _raw_mode(image: Image.Image) -> str:
    """How the file of an image that is not loaded yet keeps its values, in Pillow's terms; '' of others."""
    tiles = getattr(image, "tile", None)
    return str(_words(tiles[0].args)[0]) if tiles else ""


def _words(args: Any) -> tuple[Any, ...]:
    return args if isinstance(args, tuple) else (args,)


def _loaded(image: Any, raw: str) -> Values:
    """The values (h, w, c) of an image that is not loaded yet, as if its file kept them in another way."""
    image.tile = [tile._replace(args=(raw, *_words(tile.args)[1:])) for tile in image.tile]
    return _values(image)


def _values(image: Image.Image) -> Values:
    """The values (h, w) or (h, w, c) of an image."""
    image.load()  # as an array alone, damage might be passed over
    return np.asarray(image)


def _is_grey16(image: Image.Image) -> bool:
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format in {"PNG", "PPM"})


def on_white(image: Image.Image) -> Image.Image | None:
    """An image of more than 8 bits, or of premultiplied alpha, on white as 8-bit grey or RGB; None of others.

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
    """16-bit colour, and grey with alpha, which a file keeps as `raw`."""
    if raw == "LA;16B":  # the bytes of both values, as if they were four
        pairs: Values = _loaded(image, "RGBA").astype(np.uint16)
        values = pairs[..., ::2] << 8 | pairs[..., 1::2]
        return _eight(values[..., :1], values[..., 1:], 65535)
    values = _sixteen(image, raw.replace("RGBa", "RGBA"))
    if image.mode == "RGBA":
        return _eight(values[..., :3], values[..., 3:], 65535, premultiplied="RGBa" in raw)
    if image.mode == "CMYK":
        paper = 65535 - values.astype(np.uint32)  # that is left by each ink
        return _eight(paper[..., :3] * paper[..., 3:], None, 65535 * 65535)
    return _eight(values, _alpha(image, values, 65535), 65535)


def _sixteen(image: Any, raw: str) -> Values:
    """The 16-bit values (h, w, c) of an image that is not loaded yet."""
    at = image.fp.tell()
    image.fp.seek(0)
    data = image.fp.read()
    image.fp.seek(at)
    high: Values = _loaded(image, raw).astype(np.uint16)
    with Image.open(io.BytesIO(data), formats=[image.format]) as again:
        return high << 8 | _loaded(again, raw[:-1] + SWAPPED[raw[-1]])


def _keyed(image: Image.Image, most: int) -> Image.Image:
    """A PNG of at most 8 bits a value that calls one colour transparent: of as few bits, where Pillow scales values."""
    values = _values(image.convert("L") if image.mode == "1" else image)
    image.info["transparency"] = (np.array(image.info["transparency"]) & most) * (255 // most)
    values = values.reshape(*values.shape[:2], -1)
    return _eight(values, _alpha(image, values, 255), 255)


def _alpha(image: Image.Image, values: Values, most: int) -> Values | None:
    """Alpha (h, w, 1) of an image that calls one colour transparent; None where all are opaque."""
    key = image.info.get("transparency")
    return None if key is None else (values != np.array(key)).any(-1, keepdims=True) * np.uint16(most)


def _eight(values: Values, alpha: Values | None, most: int, *, premultiplied: bool = False) -> Image.Image:
    """Values (h, w, c) of 0 ... most on white, as 8 bits."""
    eight = np.empty(values.shape, np.uint8)
    for rows in (slice(first, first + ROWS) for first in range(0, len(values), ROWS)):
        light = values[rows].astype(np.float64) / most
        if alpha is not None:
            share = alpha[rows].astype(np.float64) / most
            light = (light if premultiplied else light * share) + 1 - share
        eight[rows] = np.rint(255 * light.clip(0, 1))
    return Image.fromarray(eight[..., 0] if values.shape[-1] == 1 else eight)


def mended(image: Image.Image) -> Image.Image:
    """An image of at most 8 bits a value as Pillow reads it, but 5 and 6 bits and colour maps rounded and not cut."""
    raw, colours = _raw_mode(image), _tag(image, COLOUR_MAP)
    if image.format == "BMP" and raw in {"BGR;15", "BGR;16"}:
        return image.point([*_rounded(5), *_rounded(5 if raw == "BGR;15" else 6), *_rounded(5)])
    if image.mode in {"P", "PA"} and colours is not None:
        image.load()
        image.putpalette(_colour_map(np.array(colours).reshape(3, -1)).T.tobytes())
    return image


def _rounded(bits: int) -> list[int]:
    """What 255 v / most is rounded, of v in 0 ... most = 2^bits - 1, for what it is cut, in 0 ... 255."""
    most = 2**bits - 1
    return [round(min(most, -(-cut * most // 255)) * 255 / most) for cut in range(256)]


def _colour_map(values: Values) -> NDArray[np.uint8]:
    """A map of 16 bits as 8: many programs, Pillow too, write v as 256 v where 257 v is meant, and some as v."""
    if (values % 256 == 0).all():
        return (values // 256).astype(np.uint8)
    return (values if values.max() < 256 else np.rint(values / 257)).astype(np.uint8)

"""Read a picture from a file, or raise one error that names the file, whatever its bytes are.

Texts and colour profiles are not used and so not read: if they are large or damaged, the picture is still read.
"""

import io
import struct
import threading
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin, PngImagePlugin, UnidentifiedImageError

from lina_lab.data.depth import Unusable
from lina_lab.data.pixels import FITS, to_rgb
from lina_lab.errors import LabError
from lina_lab.escape import shown

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "AVIF")
"""Formats, recognised by content. Others are untested, and for some of them Pillow starts external programs."""
MOST_PIXELS = 2**28
"""Most pixels of a picture. 200-megapixel cameras are well below; more would take gigabytes of memory."""
PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
TEXTS = (b"tEXt", b"zTXt", b"iTXt")
ORIENTATION = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0")
"""Text chunks of a PNG that may hold its EXIF orientation."""

Image.MAX_IMAGE_PIXELS = None  # Pillow's limit is off: MOST_PIXELS applies
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY  # of the texts that are read


def read_picture(path: Path, side: int, fit: str = "crop") -> NDArray[np.uint8]:
    """The centre square of a picture at (side, side, 3), or with `pad` the whole: see `to_rgb`, `squared`, `padded`.

    Raises:
        LabError: naming the file, if it holds no picture, or one whose values Pillow would misread.
    """
    try:
        data = path.read_bytes()
        with QUIET, _opened(data) as image:
            return np.asarray(FITS[fit](to_rgb(image), side))
    except Unusable as error:
        raise LabError(f"{shown(path)}: {error}") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise LabError(f"{shown(path)}: cannot be read as an image: {reason}") from error
    except Exception as error:  # Pillow raises many kinds of errors for damaged bytes
        reason = f"{type(error).__name__}: {error}"
        raise LabError(f"{shown(path)}: cannot be read as an image: {reason}") from error


class _Quiet:
    """Suppress warnings while at least one thread is inside: whatever Pillow warns of is read correctly or refused.

    Warning filters are global to the process. If each thread saved and restored them, one could restore the filters
    that another had set, so the first thread in saves them and the last one out restores them.
    """

    def __init__(self) -> None:
        self.lock, self.within, self.filters = threading.Lock(), 0, warnings.catch_warnings(action="ignore")

    def __enter__(self) -> None:
        with self.lock:
            if self.within == 0:
                self.filters = warnings.catch_warnings(action="ignore")
                self.filters.__enter__()
            self.within += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.within -= 1
            if self.within == 0:
                self.filters.__exit__(None, None, None)


QUIET = _Quiet()


def _opened(data: bytes) -> Image.Image:
    """The picture in a file's bytes, opened but not decoded.

    Raises:
        Unusable: if it is of another format, or too large.
    """
    if data.startswith(JPEG):
        image: Image.Image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))  # of several, the first
    else:
        Image.init()
        formats = [name for name in FORMATS if name in Image.OPEN]
        try:
            image = Image.open(io.BytesIO(_pixels_alone(data) if data.startswith(PNG) else data), formats=formats)
        except UnidentifiedImageError as error:
            what = "must be whole, and of " + ", ".join(formats) if data else "the file is empty"
            raise Unusable(f"cannot be read as an image: {what}") from error
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise Unusable(f"must have at most {MOST_PIXELS:,} pixels, not {width:,} x {height:,}")
    return image


def _pixels_alone(data: bytes) -> bytes:
    """A PNG without colour profile and text chunks, except those that may hold its orientation."""
    chunks, at = [data[: len(PNG)]], len(PNG)
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        unused = kind == b"iCCP" or (kind in TEXTS and not data.startswith(ORIENTATION, at + 8))
        chunks += [] if unused else [data[at : at + 12 + size]]
        at += 12 + size
    return b"".join(chunks)

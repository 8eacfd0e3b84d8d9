"""How a camera was held: every orientation turns the picture upright, and damaged EXIF says nothing."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from lina_lab.data.orientation import TAG, turn_of

PIXELS = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


def written(exif: bytes) -> Image.Image:
    """A PNG of `PIXELS` with this EXIF, read from its bytes."""
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG", exif=exif)
    image = Image.open(file)
    image.load()
    return image


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_undone_as_pillow_does(orientation):
    exif = Image.Exif()
    exif[TAG] = orientation
    image = written(exif.tobytes())
    turn = turn_of(image)
    upright = image if turn is None else image.transpose(turn)
    np.testing.assert_array_equal(np.asarray(upright), np.asarray(ImageOps.exif_transpose(image)))
    assert (turn is None) == (orientation == 1)


@pytest.mark.parametrize("kind", [1, 3, 4])
def test_an_integer_of_any_size_is_the_orientation(kind):
    value = (6).to_bytes(4, "little")
    entry = TAG.to_bytes(2, "little") + kind.to_bytes(2, "little") + (1).to_bytes(4, "little") + value
    exif = b"Exif\0\0II*\0\x08\0\0\0" + (1).to_bytes(2, "little") + entry + bytes(4)
    assert turn_of(written(exif)) == Image.Transpose.ROTATE_270


@pytest.mark.parametrize("exif", [b"", b"Exif\0\0", b"Exif\0\0XX*\0\x08\0\0\0", b"Exif\0\0II*\0\xff\xff\xff\x7f"])
def test_exif_that_cannot_be_read_turns_nothing(exif):
    image = Image.fromarray(PIXELS)
    image.info["exif"] = exif
    assert turn_of(image) is None

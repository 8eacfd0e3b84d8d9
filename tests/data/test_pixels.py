"""From an image of any kind to RGB of a given side, on images that Pillow wrote."""

import io

import numpy as np
import pytest
from PIL import Image

from lina_lab.data.pixels import padded, squared, to_rgb


def reread(image: Image.Image, kind: str = "PNG", **options: object) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return Image.open(io.BytesIO(buffer.getvalue()))


def pixel(image: Image.Image) -> tuple[int, ...]:
    return to_rgb(image).getpixel((0, 0))


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (257, 1), (256, 1), (128, 0), (32768, 128), (65535, 255)])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_and_not_cut(value, expected, kind):
    assert pixel(reread(Image.fromarray(np.full((2, 2), value, np.uint16)), kind)) == (expected,) * 3


@pytest.mark.parametrize("mode", ["I", "F"])
def test_values_of_an_unknown_range_are_refused(mode):
    with pytest.raises(ValueError, match="must have 8 or 16 bits a value, not 32"):
        to_rgb(reread(Image.new(mode, (2, 2), 7), "TIFF"))


def test_what_is_transparent_is_white_and_half_of_it_is_half():
    assert pixel(reread(Image.new("RGBA", (2, 2), (255, 0, 0, 0)))) == (255, 255, 255)
    assert pixel(reread(Image.new("RGBA", (2, 2), (0, 0, 100, 128)))) == pytest.approx((127, 127, 177), abs=1)
    assert pixel(reread(Image.new("LA", (2, 2), (0, 51)))) == pytest.approx((204,) * 3, abs=1)


def test_palettes_give_their_colours_and_their_transparent_entry_is_white():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([0, 1])
    shown = to_rgb(reread(image))
    assert [shown.getpixel((x, 0)) for x in (0, 1)] == [(10, 20, 30), (200, 100, 50)]
    shown = to_rgb(reread(image, transparency=1))
    assert [shown.getpixel((x, 0)) for x in (0, 1)] == [(10, 20, 30), (255, 255, 255)]


def test_grey_black_and_white_and_cmyk_become_rgb():
    assert pixel(reread(Image.new("L", (2, 2), 77))) == (77, 77, 77)
    assert pixel(reread(Image.new("1", (2, 2), 1))) == (255, 255, 255)
    cyan = pixel(reread(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "JPEG", quality=100))
    assert cyan == pytest.approx((0, 255, 255), abs=6)


def test_an_image_that_a_camera_turned_is_upright():
    image = Image.new("RGB", (4, 2), "white")
    image.putpixel((0, 0), (255, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned to the right by 90 degrees
    upright = to_rgb(reread(image, exif=exif))
    assert upright.size == (2, 4)
    assert upright.getpixel((1, 0)) == (255, 0, 0)


def test_several_frames_are_refused():
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    moving = reread(frames[0], "WEBP", save_all=True, append_images=frames[1:])
    with pytest.raises(ValueError, match="must be one image, not 2 frames"):
        to_rgb(moving)


def test_the_centre_square_is_kept():
    wide = np.zeros((8, 20, 3), np.uint8)
    wide[:, 6:14] = 200
    assert (np.asarray(squared(Image.fromarray(wide), 8)) == 200).all()
    assert (np.asarray(squared(Image.fromarray(wide.swapaxes(0, 1).copy()), 4)) == 200).all()


def test_making_smaller_averages_and_does_not_pick():
    """Stripes of one pixel become their mean; taking single pixels would leave black or white."""
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(np.asarray(squared(Image.fromarray(stripes), 16)).astype(int) - 127.5)[:, 1:-1].max() < 4


def test_a_ramp_stays_a_ramp():
    """A filter that is symmetric and sums to 1 keeps what is linear, away from the borders."""
    ramp = np.repeat(np.arange(0, 240, 2, dtype=np.uint8)[None, :, None], 120, 0).repeat(3, 2)
    small = np.asarray(squared(Image.fromarray(ramp), 40)).astype(int)[20, 4:-4, 0]
    assert np.abs(small - (np.arange(40) * 6 + 2)[4:-4]).max() <= 1


def test_nothing_is_enlarged():
    squared(Image.new("RGB", (16, 99)), 16)
    with pytest.raises(ValueError, match="must have at least 16 x 16 pixels, not 15 x 99"):
        squared(Image.new("RGB", (15, 99)), 16)


def on(ground: tuple[int, int, int], width: int, height: int) -> Image.Image:
    """A red rectangle with a margin of a quarter all round."""
    image = Image.new("RGB", (width, height), ground)
    image.paste((255, 0, 0), (width // 4, height // 4, width - width // 4, height - height // 4))
    return image


@pytest.mark.parametrize("ground", [(0, 0, 0), (255, 255, 255), (10, 200, 90)])
@pytest.mark.parametrize("size", [(64, 32), (32, 64)])
def test_padding_keeps_the_whole_and_goes_on_with_the_ground(ground, size):
    square = np.asarray(padded(on(ground, *size), 32))
    assert square.shape == (32, 32, 3)
    border = np.concatenate([square[[0, -1]].reshape(-1, 3), square[:, [0, -1]].reshape(-1, 3)])
    assert (border == ground).all()
    rows, columns = np.nonzero(abs(square - (255.0, 0, 0)).sum(2) < abs(square - np.array(ground, float)).sum(2))
    middle = (rows.min() + rows.max() + 1, columns.min() + columns.max() + 1)
    assert middle == (32, 32), "it stands in the middle"
    long, short = (columns, rows) if size[0] > size[1] else (rows, columns)
    assert (len(set(long.tolist())), len(set(short.tolist()))) == (16, 8)


def test_padding_enlarges_nothing_and_changes_no_pixel_of_what_fits():
    pixels = np.random.default_rng(0).integers(0, 256, (28, 20, 3), np.uint8)
    square = np.asarray(padded(Image.fromarray(pixels), 32))
    assert np.array_equal(square[2:30, 6:26], pixels)
    edge = np.concatenate([pixels[[0, -1]].reshape(-1, 3), pixels[:, [0, -1]].reshape(-1, 3)])
    assert np.abs(square[0, 0] - np.median(edge, axis=0)).max() <= 0.5


def test_a_square_is_padded_as_it_is_cut():
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    image = Image.fromarray(pixels)
    assert np.array_equal(np.asarray(padded(image, 16)), np.asarray(squared(image, 16)))


def test_a_line_of_pixels_is_padded_to_a_square():
    assert padded(Image.new("RGB", (1000, 1), (9, 9, 9)), 16).getpixel((0, 0)) == (9, 9, 9)

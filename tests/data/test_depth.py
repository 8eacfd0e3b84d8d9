"""Every mode and depth that Pillow opens, against arithmetic on the values that the file was written from."""

import io
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from lina_lab.data.pixels import to_rgb
from tests.data.written import bmp, chunk, png, tiff

RANDOM = np.random.default_rng(0)
BOTH = pytest.mark.parametrize("order", "<>")
DEFLATED = pytest.mark.parametrize("deflate", [False, True])


def read(data: bytes) -> np.ndarray:
    return np.asarray(to_rgb(Image.open(io.BytesIO(data)))).astype(int)


def refused(data: bytes) -> str:
    with pytest.raises((ValueError, OSError)) as caught:
        read(data)
    return str(caught.value)


def nearest(numerators: np.ndarray, denominator: int) -> np.ndarray:
    """255 n / d, rounded: what 8 bits of the share n / d are."""
    n = numerators.astype(object) * 255
    return ((2 * n + denominator) // (2 * denominator)).astype(int)


def on_white(values: np.ndarray, alpha: np.ndarray, most: int) -> np.ndarray:
    values, alpha = values.astype(object), alpha.astype(object)
    return nearest(values * alpha + most * (most - alpha), most * most)


def noise(channels: int, most: int = 65535, size: tuple[int, int] = (6, 10)) -> np.ndarray:
    return RANDOM.integers(0, most + 1, (*size, channels))


def grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values, 3, axis=-1)


def word(*values: int) -> bytes:
    return np.array(values, ">u2").tobytes()


@pytest.mark.slow
def test_every_value_of_sixteen_bit_colour_is_rounded_to_the_nearest_of_eight():
    values = np.stack([np.arange(65536), np.arange(65535, -1, -1), np.full(65536, 128)], -1).reshape(256, 256, 3)
    expected = np.vectorize(lambda v: round(Fraction(int(v), 257)))(values)
    assert (read(png(values, 16, 2)) == expected).all()
    assert (read(tiff(values, 16, 2)) == expected).all()


@pytest.mark.parametrize("interlaced", [False, True])
def test_sixteen_bit_pngs_of_every_colour_type(interlaced):
    for colour, channels in ((0, 1), (2, 3), (4, 2), (6, 4)):
        values = noise(channels)
        found = read(png(values, 16, colour, interlaced=interlaced))
        colours = values[..., :-1] if colour in {4, 6} else values
        alpha = values[..., -1:] if colour in {4, 6} else np.full_like(values[..., :1], 65535)
        assert (found == np.broadcast_to(on_white(colours, alpha, 65535), found.shape)).all(), colour


def test_sixteen_bits_that_are_called_transparent_are_white_and_their_neighbours_are_not():
    values = np.array([[[1000], [1001], [744], [0]]])
    expected = np.where(values == 1000, 255, nearest(values, 65535))
    assert (read(png(values, 16, 0, chunk(b"tRNS", word(1000)))) == grey(expected)).all()
    values = np.array([[[256, 512, 768], [257, 512, 768], [256, 512, 769], [0, 0, 0]]])
    expected = np.where((values == [256, 512, 768]).all(-1, keepdims=True), 255, nearest(values, 65535))
    assert (read(png(values, 16, 2, chunk(b"tRNS", word(256, 512, 768)))) == expected).all()


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_grey_of_few_bits_whichever_value_is_transparent(bits):
    most = 2**bits - 1
    values = np.arange(2**bits).reshape(1, -1, 1)
    assert (read(png(values, bits, 0)) == grey(nearest(values, most))).all()
    for key in {0, 1, most // 2, most}:
        expected = np.where(values == key, 255, nearest(values, most))
        assert (read(png(values, bits, 0, chunk(b"tRNS", word(key)))) == grey(expected)).all(), key


def test_colour_that_is_transparent_and_palettes_with_an_alpha_for_every_entry():
    values = np.array([[[1, 2, 3], [1, 2, 4], [255, 0, 0]]])
    assert (read(png(values, 8, 2, chunk(b"tRNS", word(1, 2, 3)))) == [[[255] * 3, [1, 2, 4], [255, 0, 0]]]).all()
    palette, alpha = noise(3, 255, (1, 16))[0], noise(1, 255, (1, 16))[0]
    chunks = [chunk(b"PLTE", palette.astype(np.uint8).tobytes()), chunk(b"tRNS", alpha.astype(np.uint8).tobytes())]
    for bits in (4, 8):
        assert (read(png(np.arange(16).reshape(1, 16, 1), bits, 3, *chunks)) == on_white(palette, alpha, 255)).all()


@BOTH
@DEFLATED
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_white_may_be_zero_or_the_largest_value(bits, order, deflate):
    most = 2**bits - 1
    values = noise(1, most)
    black = read(tiff(values, bits, 1, order=order, deflate=deflate))
    assert (black == grey(nearest(values, most))).all()
    white = read(tiff(values, bits, 0, order=order, deflate=deflate))
    assert (white == grey(nearest(most - values, most))).all()


@DEFLATED
def test_twelve_bits_reach_from_black_to_white(deflate):
    values = np.array([[[0], [1], [2048], [4095]]])
    assert (read(tiff(values, 12, 1, deflate=deflate)) == grey(nearest(values, 4095))).all()


@BOTH
@DEFLATED
@pytest.mark.parametrize("bits", [8, 16])
def test_colour_tiffs_with_no_other_and_with_both_kinds_of_alpha(bits, order, deflate):
    most, more = 2**bits - 1, {"order": order, "deflate": deflate}
    values = noise(4, most)
    colours, alpha = values[..., :3], values[..., 3:]
    assert (read(tiff(colours, bits, 2, **more)) == nearest(colours, most)).all()
    assert (read(tiff(values, bits, 2, (338, 3, [0]), **more)) == nearest(colours, most)).all()
    assert (read(tiff(values, bits, 2, (338, 3, [2]), **more)) == on_white(colours, alpha, most)).all()
    values[..., :3] = np.minimum(colours, alpha)  # multiplied by alpha they are not above it
    expected = nearest(values[..., :3] + most - alpha, most)
    assert (read(tiff(values, bits, 2, (338, 3, [1]), **more)) == expected).all()


@BOTH
@DEFLATED
@pytest.mark.parametrize("bits", [8, 16])
def test_inks_darken_paper(bits, order, deflate):
    most = 2**bits - 1
    values = noise(4, most)
    paper = (most - values).astype(object)
    expected = nearest(paper[..., :3] * paper[..., 3:], most * most)
    assert (read(tiff(values, bits, 5, order=order, deflate=deflate)) == expected).all()


@DEFLATED
def test_planes_are_read_rightly_or_refused(deflate):
    values = noise(4, 255)
    data = tiff(values, 8, 2, (338, 3, [2]), planes=True, deflate=deflate)
    assert (read(data) == on_white(values[..., :3], values[..., 3:], 255)).all()
    told = refused(tiff(noise(4), 16, 2, (338, 3, [2]), planes=True, deflate=deflate))
    assert told.startswith("must have the values of a pixel side by side")


@pytest.mark.parametrize("factor", [1, 256, 257])
def test_colour_maps_mean_the_same_colours_however_programs_write_them(factor):
    colours = noise(3, 255, (1, 16))[0]
    colours[0] = 255
    data = tiff(
        np.arange(16).reshape(1, 16, 1),
        8,
        3,
        (320, 3, (np.pad(colours.T, ((0, 0), (0, 240))) * factor).ravel().tolist()),
    )
    assert (read(data) == colours).all()


def test_colour_maps_of_sixteen_bits_are_rounded():
    colours = noise(3, 65535, (1, 256))[0]
    data = tiff(np.arange(256).reshape(1, 256, 1), 8, 3, (320, 3, colours.T.ravel().tolist()))
    assert (read(data) == nearest(colours, 65535)).all()


def test_grey_and_palettes_with_alpha_as_a_second_value():
    values = noise(2, 255)
    assert (read(tiff(values, 8, 1, (338, 3, [2]))) == grey(on_white(values[..., :1], values[..., 1:], 255))).all()
    colours = noise(3, 255, (1, 256))[0]
    data = tiff(values, 8, 3, (338, 3, [2]), (320, 3, (257 * colours.T).ravel().tolist()))
    assert (read(data) == on_white(colours[values[..., 0]], values[..., 1:], 255)).all()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (tiff(noise(1, 127), 8, 1, (339, 3, [2])), "not signed ones"),
        (tiff(noise(1), 16, 1, (339, 3, [2])), "not signed ones"),
        (tiff(noise(1), 16, 1, (339, 3, [2]), order=">"), "not signed ones"),
        (tiff(noise(1, 255), 8, None), "whether 0 is black or white"),
        (tiff(noise(1), 16, None), "whether 0 is black or white"),
        (tiff(noise(3, 255), 8, 6), "bare YCbCr"),
        (tiff(noise(3, 255), 8, 8, planes=True), "side by side"),
        (tiff(noise(3, 255), 8, 8, planes=True, deflate=True), "side by side"),
        (tiff(noise(3), 16, 2, planes=True, order=">"), "side by side"),
    ],
)
def test_what_would_be_read_as_something_else_is_refused(data, told):
    assert told in refused(data)


@pytest.mark.parametrize("green", [5, 6])
def test_five_and_six_bits_are_rounded_to_eight(green):
    values = np.stack([np.arange(64) % 32, np.arange(64) % 2**green, np.arange(64)[::-1] % 32], -1).reshape(4, 16, 3)
    expected = np.stack([nearest(values[..., c], most) for c, most in enumerate((31, 2**green - 1, 31))], -1)
    assert (read(bmp(values, green)) == expected).all()


@pytest.mark.parametrize("most", [1, 15, 255, 1023, 65535])
def test_portable_maps_of_any_largest_value(most):
    kind = ">u2" if most > 255 else "u1"
    for magic, channels in ((b"P5", 1), (b"P6", 3)):
        values = noise(channels, most)
        data = magic + f"\n10 6\n{most}\n".encode() + values.astype(kind).tobytes()
        found = read(data)
        assert (found == np.broadcast_to(nearest(values, most), found.shape)).all()


def test_modes_that_are_in_memory():
    values = noise(4, 255).astype(np.uint8)
    colours, last = values[..., :3], values[..., 3:]

    def shown(mode: str, array: np.ndarray) -> np.ndarray:
        image = Image.frombytes(mode, array.shape[1::-1], np.ascontiguousarray(array).tobytes())
        return np.asarray(to_rgb(image)).astype(int)

    assert (shown("RGBA", values) == on_white(colours, last, 255)).all()
    assert (shown("LA", values[..., 2:]) == grey(on_white(values[..., 2:3], last, 255))).all()
    assert (shown("RGBX", values) == colours).all()
    low = np.minimum(values, last)
    assert (shown("RGBa", low) == low[..., :3].astype(int) + 255 - last).all()
    assert (shown("La", low[..., 2:]) == grey(low[..., 2:3].astype(int) + 255 - last)).all()
    paper = 255 - values.astype(int)
    assert (shown("CMYK", values) == nearest(paper[..., :3] * paper[..., 3:], 255 * 255)).all()
    for mode in ("I;16", "I;16L", "I;16B"):
        deep = noise(1)
        assert (shown(mode, deep.astype(">u2" if mode == "I;16B" else "<u2")) == grey(nearest(deep, 65535))).all()


def test_colour_spaces_against_their_formulas():
    y, blue, red = np.moveaxis(noise(3, 255), -1, 0).astype(float)
    expected = np.stack(
        [y + 1.402 * (red - 128), y - 0.344136 * (blue - 128) - 0.714136 * (red - 128), y + 1.772 * (blue - 128)], -1
    )
    image = Image.fromarray(np.stack([y, blue, red], -1).astype(np.uint8), "YCbCr")
    assert np.abs(np.asarray(to_rgb(image)) - expected.clip(0, 255)).max() <= 1
    hues = Image.new("HSV", (1, 1), (85, 255, 200))
    assert to_rgb(hues).getpixel((0, 0)) == pytest.approx((0, 200, 0), abs=1)
    # L* of 53.39 is the sRGB grey 128 (IEC 61966-2-1).
    data = tiff(np.array([[[136, 0, 0], [255, 0, 0], [0, 0, 0]]]), 8, 8)
    assert np.abs(read(data) - np.array([[[128] * 3, [255] * 3, [0] * 3]])).max() <= 1

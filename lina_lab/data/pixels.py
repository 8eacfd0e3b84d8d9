"""The one rule that turns an image of any kind into pixels: values, transparency, orientation, size.

Colour profiles are not applied.
"""

import numpy as np
from PIL import Image

from lina_lab.data.depth import Unusable, check, mended, on_white
from lina_lab.data.orientation import turn_of

RULE = "EXIF orientation, onto white, centre square, Pillow's bicubic with antialiasing"
PAD_RULE = "EXIF orientation, onto white, Pillow's bicubic with antialiasing, centred on the median colour of its edge"


def to_rgb(image: Image.Image) -> Image.Image:
    """Any image as 8-bit RGB: upright by EXIF, 16 bits rounded to 8, transparency composited onto white.

    The image must not be decoded yet, because Pillow keeps only the high bytes of 16-bit colour. Of a camera's file
    with several pictures the first is taken.

    Raises:
        Unusable: if it has several frames, or values that cannot be read as they are meant.
    """
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":
        raise Unusable(f"must be one image, not {frames} frames")
    check(image)
    shown = on_white(image) or mended(image)
    image.load()  # first, so that an error is about the picture and not its EXIF
    if shown.mode in {"LA", "P", "PA", "RGBA"} or "transparency" in shown.info:
        rgba = shown.convert("RGBA")
        shown = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    turn, shown = turn_of(image), shown.convert("RGB")
    return shown if turn is None else shown.transpose(turn)


def squared(image: Image.Image, side: int) -> Image.Image:
    """The centre square of an RGB image at (side, side), by Pillow's bicubic filter, which antialiases.

    Raises:
        Unusable: if the image would have to be enlarged.
    """
    width, height = image.size
    if min(width, height) < side:
        raise Unusable(f"must have at least {side} x {side} pixels, not {width} x {height}: nothing is enlarged")
    edge = min(width, height)
    left, top = (width - edge) // 2, (height - edge) // 2
    # Cropped first: with the `box` of a resize, the filter would reach outside it.
    square = image.crop((left, top, left + edge, top + edge))
    return square.resize((side, side), Image.Resampling.BICUBIC)


def padded(image: Image.Image, side: int) -> Image.Image:
    """The whole of an RGB image on a square (side, side) of the median colour of its outermost pixels.

    The longer of its sides is reduced to that of the square, by the same filter; an image that is smaller keeps its
    pixels. The border is thus black about a digit on black and white about a drawing on white.
    """
    scale = min(1.0, side / max(image.size))
    width, height = (max(1, round(scale * length)) for length in image.size)
    pixels = np.asarray(image)
    edge = np.concatenate([pixels[[0, -1]].reshape(-1, 3), pixels[:, [0, -1]].reshape(-1, 3)])
    red, green, blue = np.median(edge, axis=0).round().astype(int).tolist()
    square = Image.new("RGB", (side, side), (red, green, blue))
    square.paste(image.resize((width, height), Image.Resampling.BICUBIC), ((side - width) // 2, (side - height) // 2))
    return square


FITS = {"crop": squared, "pad": padded}
"""By the word in `data.fit`."""

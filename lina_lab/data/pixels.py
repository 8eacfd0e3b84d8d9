"""One rule from an image of any kind to pixels: how its values, transparency, orientation and size are read.

Colour profiles are not applied.
"""

import numpy as np
from PIL import Image, ImageOps

RULE = "EXIF orientation, onto white, centre square, Pillow's bicubic with antialiasing"


def to_rgb(image: Image.Image) -> Image.Image:
    """Any image as 8-bit RGB: upright by EXIF, 16 bits scaled to 8, what is transparent composited onto white.

    Raises:
        ValueError: if it has several frames, or values without a known range (32-bit).
    """
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise ValueError(f"must be one image, not {frames} frames")
    sixteen = image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG")
    image = ImageOps.exif_transpose(image)
    if sixteen:
        image = Image.fromarray((np.asarray(image).astype(np.float64) / 257).round().astype(np.uint8))
    elif image.mode in {"I", "F"}:
        raise ValueError(f"must have 8 or 16 bits a value, not 32 (mode {image.mode}): what is white is not known")
    elif image.mode in {"CMYK", "YCbCr", "LAB", "HSV"}:
        image = image.convert("RGB")
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")


def squared(image: Image.Image, side: int) -> Image.Image:
    """The centre square of an RGB image at (side, side), by Pillow's bicubic filter, widened as it makes smaller.

    Raises:
        ValueError: if the image would have to be enlarged.
    """
    width, height = image.size
    if min(width, height) < side:
        raise ValueError(f"must have at least {side} x {side} pixels, not {width} x {height}: nothing is enlarged")
    edge = min(width, height)
    left, top = (width - edge) // 2, (height - edge) // 2
    # Cropped first: the filter would reach beyond the box of a resize.
    square = image.crop((left, top, left + edge, top + edge))
    return square.resize((side, side), Image.Resampling.BICUBIC)

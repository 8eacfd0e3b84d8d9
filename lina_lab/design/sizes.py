"""Model sizes: what a size name stands for.

The study sizes double the width at constant depth and head size, so that they differ in one number (about 0.03, 0.1,
0.4, 1.5, 6 and 23 million parameters on digits). B, L and H are the published class-conditional models.
"""

from typing import NamedTuple


class Size(NamedTuple):
    """The fields of `ModelConfig` that a size fixes."""

    width: int
    num_heads: int
    context_depth: int
    encoder_depth: int
    decoder_depth: int
    head_depth: int
    head_width: int


def _study(width: int) -> Size:
    return Size(
        width,
        num_heads=width // 16,
        context_depth=2,
        encoder_depth=2,
        decoder_depth=2,
        head_depth=2,
        head_width=width,
    )


def _published(width: int, num_heads: int) -> Size:
    return Size(
        width,
        num_heads,
        context_depth=16,
        encoder_depth=16,
        decoder_depth=16,
        head_depth=6,
        head_width=width,
    )


SIZES: dict[str, Size] = {
    "pico": _study(16),
    "nano": _study(32),
    "micro": _study(64),
    "tiny": _study(128),
    "small": _study(256),
    "base": _study(512),
    "B": _published(768, 12),
    "L": _published(1024, 16),
    "H": _published(1536, 16),
}
PUBLISHED_SIZES = ("B", "L", "H")

OWN: dict[str, Size] = {}
"""Those of plugins, by word@digest."""

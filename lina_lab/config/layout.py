"""Arrange tokens in a grid."""


def near_square(count: int) -> tuple[int, int]:
    """The two factors of a count nearest to each other, the smaller first: 8 x 8 for 64, 2 x 3 for 6."""
    height = next(h for h in range(int(count**0.5), 0, -1) if count % h == 0)
    return height, count // height

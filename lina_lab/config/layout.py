"""How token counts become grids."""


def near_square(count: int) -> tuple[int, int]:
    """The two factors of a count that are nearest to each other, the smaller first: 64 is 8 x 8, 6 is 2 x 3."""
    height = next(h for h in range(int(count**0.5), 0, -1) if count % h == 0)
    return height, count // height

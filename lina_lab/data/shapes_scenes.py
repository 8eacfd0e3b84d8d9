"""The scenes of `shapes`, drawn batch by batch; scene `i` of a split and a seed is always the same.

Shapes: n scenes of up to 4 objects. Lengths are shares of the image's side, x to the right and y down.
"""

from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lina_lab.data.shapes_grammar import (
    COLOURS,
    MOST_OBJECTS,
    OBJECTS,
    RELATIONS,
    SHAPES,
    TAGS,
    Phrase,
    SceneRequest,
    count_held_out,
    relation_held_out,
    shape_colour_held_out,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Split = Literal["train", "heldout"]
STREAMS: dict[Split, int] = {"train": 0, "heldout": 1}
NOVEL_EVERY = 4
"""Every fourth held-out scene of a category shows a combination that training never shows."""
RADII = (0.13, 0.21)
"""Half the side of an object's box: at side 32 the smallest object is 8.3 pixels wide."""
GAP, MARGIN = 0.09, 0.03
"""Least gap between two boxes, and between a box and the image's edge: at side 32, 2.9 and 1 pixels."""
GREYS = (96.0, 160.0)
"""Range of the grey background, in 0 ... 255."""
BLOCK = 256
"""Scenes whose random numbers are drawn together, from one generator."""


class Scenes(NamedTuple):
    """n scenes of up to four objects; columns from `number` on are unused."""

    label: Ints
    """# (n,) the place of the category in `TAGS`, or of the object in `OBJECTS`"""
    number: Ints
    """# (n,) 1 ... 4"""
    shape: Ints
    """# (n, 4)"""
    colour: Ints
    """# (n, 4)"""
    radius: Floats
    """# (n, 4)"""
    centre: Floats
    """# (n, 4, 2) x, y"""
    relation: Ints
    """# (n,) of the first of two objects to the second; -1 where there are not two of different shapes"""
    grey: Floats
    """# (n,) 0 ... 255"""

    def __len__(self) -> int:
        return len(self.label)


def scenes(indices: Ints, split: Split = "train", seed: int = 0) -> Scenes:
    """The scenes of indices (n,). Categories cycle through 0 ... 5, so that every six scenes are balanced.

    Training never shows a combination that `shapes_grammar` holds out; one in `NOVEL_EVERY` held-out scenes does.
    """
    uniform = _Columns(_uniforms(indices, split, seed))
    label = indices % len(TAGS)
    novel = (indices // len(TAGS) % NOVEL_EVERY == 0) & (split == "heldout")
    rows = ROWS[STARTS[label, novel * 1] + (uniform.take() * SIZES[label, novel * 1]).astype(np.int64)]
    number, relation = rows[:, 0], rows[:, 3]
    shape = rows[:, [1, 2, 2, 2]]
    colour = _colours(shape, label, novel, uniform)
    radius, centre = _places(number, uniform)
    _arrange(radius, centre, relation)
    return Scenes(
        label=label,
        number=number,
        shape=shape,
        colour=colour,
        radius=radius,
        centre=centre,
        relation=relation,
        grey=_grey(uniform),
    )


def objects(indices: Ints, split: Split = "train", seed: int = 0) -> Scenes:
    """Scenes of a single object, of indices (n,). Labels cycle through `OBJECTS`, and nothing is held out: a model
    could not know a class that it has never seen.
    """
    uniform = _Columns(_uniforms(indices, split, seed))
    label = indices % len(OBJECTS)
    number = np.ones_like(label)
    shape, colour = (np.repeat(trait[:, None], MOST_OBJECTS, 1) for trait in np.divmod(label, len(COLOURS)))
    radius, centre = _places(number, uniform)
    return Scenes(
        label=label,
        number=number,
        shape=shape,
        colour=colour,
        radius=radius,
        centre=centre,
        relation=np.full_like(label, -1),
        grey=_grey(uniform),
    )


def _grey(uniform: "_Columns") -> Floats:
    """The background's value of each scene."""
    low, high = GREYS
    return low + (high - low) * uniform.take()


def requests(drawn: Scenes) -> list[SceneRequest]:
    """What each scene's caption asks for: the traits that its category is about."""
    columns = (drawn.label, drawn.number, drawn.shape, drawn.colour, drawn.relation)
    return [_request(TAGS[row[0]], *row[1:]) for row in zip(*(column.tolist() for column in columns), strict=True)]


def _request(name: str, number: int, shape: list[int], colour: list[int], relation: int) -> SceneRequest:
    if name == "counting":
        return SceneRequest((Phrase(number, shape[0]),))
    coloured = name in {"colors", "color_attr"}
    phrases = (Phrase(1, shape[k], colour[k] if coloured else None) for k in range(number))
    return SceneRequest(tuple(phrases), relation if name == "position" else None)


def _table(name: str, *, novel: bool) -> list[tuple[int, int, int, int]]:
    """All scenes of a category: count, first shape, shape of the others, relation; either all novel or none."""
    kinds = range(len(SHAPES))
    if name in {"single_object", "colors"}:
        return [(1, shape, shape, -1) for shape in kinds]
    if name == "counting":
        counts = range(2, MOST_OBJECTS + 1)
        return [(n, shape, shape, -1) for n in counts for shape in kinds if count_held_out(n, shape) == novel]
    # A color_attr scene is novel by a colour, which is drawn later; its relation is always one that training shows.
    wanted = novel and name != "color_attr"
    pairs = [(a, b) for a in kinds for b in kinds if a != b]
    return [(2, a, b, r) for a, b in pairs for r in range(len(RELATIONS)) if relation_held_out(a, r, b) == wanted]


_TABLES = [[_table(name, novel=novel) for novel in (False, True)] for name in TAGS]
ROWS = np.array([row for pair in _TABLES for table in pair for row in table])
SIZES = np.array([[len(table) for table in pair] for pair in _TABLES])
STARTS = np.concatenate([[0], SIZES.ravel().cumsum()[:-1]]).reshape(SIZES.shape)
SHOWN, HELD_OUT = (
    np.array([[c for c in range(len(COLOURS)) if shape_colour_held_out(s, c) == held] for s in range(len(SHAPES))])
    for held in (False, True)
)
"""For every shape, the colours that training shows, and those it never shows."""


class _Columns:
    """Uniform numbers (n, DRAWS), handed out column by column."""

    def __init__(self, values: Floats) -> None:
        self.values, self.used = values, 0

    def take(self) -> Floats:
        """# (n,)"""
        self.used += 1
        return self.values[:, self.used - 1]

    def four(self) -> Floats:
        """# (n, 4)"""
        self.used += MOST_OBJECTS
        return self.values[:, self.used - MOST_OBJECTS : self.used]


DRAWS = 24


def _uniforms(indices: Ints, split: Split, seed: int) -> Floats:
    """DRAWS uniform numbers for each index, independent of the other indices.  # (n, DRAWS)"""
    blocks, place = np.unique(indices // BLOCK, return_inverse=True)
    drawn = np.stack([_block(int(block), STREAMS[split], seed) for block in blocks])  # (blocks, BLOCK, DRAWS)
    return drawn[place, indices % BLOCK]


@lru_cache(maxsize=8)
def _block(block: int, stream: int, seed: int) -> Floats:
    return np.random.Generator(np.random.Philox(key=[seed, stream], counter=[0, 0, block, 0])).random((BLOCK, DRAWS))


def _colours(shape: Ints, label: Ints, novel: NDArray[np.bool_], uniform: _Columns) -> Ints:
    """A colour for each object; the two of a color_attr scene differ.  # (n, 4)"""
    place = (uniform.four() * SHOWN.shape[1]).astype(np.int64)
    colour = SHOWN[shape, place]
    first, held_out = (uniform.take() * 2).astype(np.int64), (uniform.take() * HELD_OUT.shape[1]).astype(np.int64)
    attributed = label == TAGS.index("color_attr")
    rows = np.flatnonzero(novel & np.isin(label, [TAGS.index(t) for t in ("single_object", "colors", "color_attr")]))
    which = first[rows] * attributed[rows]
    colour[rows, which] = HELD_OUT[shape[rows, which], held_out[rows]]
    # If both colours are equal, the one that is not novel moves to the next colour of its shape.
    same = np.flatnonzero(attributed & (colour[:, 0] == colour[:, 1]))
    other = 1 - first[same]
    colour[same, other] = SHOWN[shape[same, other], (place[same, other] + 1) % SHOWN.shape[1]]
    return colour


def _places(number: Ints, uniform: _Columns) -> tuple[Floats, Floats]:
    """Radii (n, 4) and centres (n, 4, 2) of objects whose boxes keep `GAP` and `MARGIN`.

    Objects 0 and 2 stand in the left of two columns, 1 and 3 in the right; half of the scenes are transposed. There is
    no rejection sampling, so every scene takes the same number of random numbers.
    """
    low, high = RADII
    present = np.arange(MOST_OBJECTS) < number[:, None]
    radius = (low + (high - low) * uniform.four()) * present
    left = _split(2 * radius[:, [0, 2]].max(1), 2 * radius[:, [1, 3]].max(1), uniform.take())
    rows = [_split(2 * radius[:, k], 2 * radius[:, k + 2], uniform.take()) for k in (0, 1)]
    across = np.stack([left, left], axis=1).reshape(len(number), MOST_OBJECTS, 2)
    along = np.concatenate([np.stack([rows[0][:, k], rows[1][:, k]], axis=1) for k in (0, 1)], axis=1)
    cells = np.stack([across, along], axis=2)  # (n, 4, 2 axes, 2 ends)
    inner, outer = cells[..., 0] + radius[..., None], cells[..., 1] - radius[..., None]
    centre = inner + (outer - inner) * np.stack([uniform.four(), uniform.four()], axis=2)
    turned = uniform.take() < 0.5
    centre[turned] = centre[turned][..., ::-1]
    return radius, centre


def _split(first: Floats, second: Floats, uniform: Floats) -> Floats:
    """Two intervals of at least these lengths in [MARGIN, 1 - MARGIN], `GAP` apart.  # (n, 2 intervals, 2 ends)

    If the second length is 0, the first interval takes everything.
    """
    start, end = np.full_like(first, MARGIN), np.full_like(first, 1 - MARGIN)
    free = 1 - 2 * MARGIN - GAP - first - second
    middle = np.where(second > 0, MARGIN + first + free * uniform, end)
    return np.stack([start, middle, middle + GAP, end], axis=1).reshape(-1, 2, 2)


def _arrange(radius: Floats, centre: Floats, relation: Ints) -> None:
    """Make the relation true, in place: the two objects differ more along its axis than across it, in its direction."""
    pairs = np.flatnonzero(relation >= 0)
    offset = centre[pairs, 0] - centre[pairs, 1]
    vertical = relation[pairs] >= 2
    turn = pairs[(abs(offset[:, 1]) > abs(offset[:, 0])) != vertical]
    centre[turn] = centre[turn][..., ::-1]
    along = (centre[pairs, 0] - centre[pairs, 1])[np.arange(len(pairs)), vertical * 1]
    swap = pairs[(along > 0) != (relation[pairs] % 2 == 1)]
    radius[swap, :2], centre[swap, :2] = radius[swap, 1::-1], centre[swap, 1::-1]

"""The captions of `shapes`: a small grammar in GenEval's six categories, written and parsed; the held-out combinations.

    caption  = phrase | phrase and phrase [and phrase ...] | phrase relation phrase (each of one object)
    phrase   = (a | two | three | four) [colour] shape
    relation = left of | right of | above | below

A caption asks for one to four objects. Shapes, colours and relations are indices into the tables below.
"""

from collections.abc import Collection, Iterator
from difflib import get_close_matches
from typing import NamedTuple

from lina_lab.data.vocabulary import split_words
from lina_lab.errors import LabError

TAGS = ("single_object", "two_object", "counting", "colors", "position", "color_attr")
"""GenEval's categories by their official names; a label is an index into it."""
SHAPES = ("circle", "square", "triangle", "cross", "diamond", "ring")
PLURALS = ("circles", "squares", "triangles", "crosses", "diamonds", "rings")
COLOURS = {
    "red": (220, 40, 40),
    "yellow": (245, 230, 50),
    "green": (40, 165, 50),
    "cyan": (50, 220, 230),
    "blue": (45, 60, 220),
    "magenta": (220, 60, 215),
    "black": (10, 10, 10),
    "white": (250, 250, 250),
}
"""sRGB, 0 ... 255."""
OBJECTS = tuple(f"{colour} {shape}" for shape in SHAPES for colour in COLOURS)
"""The classes of scenes with a single object: class k is shape k // 8 in colour k % 8."""
COUNTS = {"a": 1, "two": 2, "three": 3, "four": 4}
RELATIONS = ("left of", "right of", "above", "below")
MOST_OBJECTS = 4
WORDS = (*COUNTS, *SHAPES, *PLURALS, *COLOURS, "and", "left", "right", "of", "above", "below")
SHOWN = 40
"""Most characters of a prompt that an error quotes."""


class Phrase(NamedTuple):
    """A number of objects of one shape; colour None if any will do."""

    number: int
    shape: int
    colour: int | None = None


class SceneRequest(NamedTuple):
    """What a caption asks for; the relation is that of the first phrase to the second."""

    phrases: tuple[Phrase, ...]
    relation: int | None = None


def tag(request: SceneRequest) -> str:
    """GenEval's category of a request. If several fit: position before counting before color_attr."""
    if request.relation is not None:
        return "position"
    if any(phrase.number > 1 for phrase in request.phrases):
        return "counting"
    coloured = any(phrase.colour is not None for phrase in request.phrases)
    if len(request.phrases) > 1:
        return "color_attr" if coloured else "two_object"
    return "colors" if coloured else "single_object"


def caption(request: SceneRequest) -> str:
    """The one text of a request; `parse` is its inverse."""
    join = " and " if request.relation is None else f" {RELATIONS[request.relation]} "
    return join.join(map(_say, request.phrases))


def _say(phrase: Phrase) -> str:
    count = next(word for word, count in COUNTS.items() if count == phrase.number)
    colour = [] if phrase.colour is None else [tuple(COLOURS)[phrase.colour]]
    return " ".join([count, *colour, (SHAPES if phrase.number == 1 else PLURALS)[phrase.shape]])


def shape_colour_held_out(shape: int, colour: int) -> bool:
    """Whether training never shows this shape in this colour; two colours of each shape are held out."""
    return (colour - shape) % len(COLOURS) in {1, 4}


def count_held_out(count: int, shape: int) -> bool:
    """Whether training never shows so many of this shape; one of the counts 2, 3, 4 is held out for each shape."""
    return count == 2 + shape % 3


def relation_held_out(shape: int, relation: int, other: int) -> bool:
    """Whether training never shows this relation: no shape left of the next shape, nor above the one after that.

    The same arrangement in other words (the next shape right of it) is held out too.
    """
    first, second = (shape, other) if relation in {0, 2} else (other, shape)
    return (second - first) % len(SHAPES) == (1 if relation < 2 else 2)


def is_held_out(request: SceneRequest) -> bool:
    """Whether a request asks for a combination that training never shows."""
    phrases, relation = request.phrases, request.relation
    return (
        any(p.colour is not None and shape_colour_held_out(p.shape, p.colour) for p in phrases)
        or any(p.number > 1 and count_held_out(p.number, p.shape) for p in phrases)
        or (relation is not None and relation_held_out(phrases[0].shape, relation, phrases[1].shape))
    )


def parse(text: str) -> SceneRequest:
    """Parse a prompt, ignoring case, spaces and punctuation.

    Raises:
        LabError: naming the wrong word, its position, and what would be right there.
    """
    words = split_words(text)
    shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
    if not words:
        raise LabError("the prompt is empty; it must be as in: a red circle left of a square")
    _check_known(words, shown)
    return _Reader(words, shown).request()


def _check_known(words: list[str], shown: str) -> None:
    for number, word in enumerate(words, start=1):
        if word not in WORDS:
            near = get_close_matches(word[:SHOWN], WORDS, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise LabError(f"{shown!r}: word {number} must be one of {', '.join(WORDS)}, not {word[:SHOWN]!r}{hint}")


class _Reader:
    """ExtractorInput a caption word by word."""

    def __init__(self, words: list[str], shown: str) -> None:
        self.words, self.shown, self.place = words, shown, 0

    def request(self) -> SceneRequest:
        phrases, relation = [self._phrase()], None
        if self._next() in {"left", "right", "above", "below"}:
            relation = self._relation()
            phrases.append(self._phrase())
            if any(phrase.number > 1 for phrase in phrases):
                raise LabError(f"{self.shown!r}: {RELATIONS[relation]} must be between two single objects, not several")
        else:
            phrases += self._more()
        if self._next() is not None:
            raise self._wrong("the end" if relation is not None else "and, left of, right of, above, below or the end")
        objects = sum(phrase.number for phrase in phrases)
        if objects > MOST_OBJECTS:
            raise LabError(f"{self.shown!r} must ask for at most {MOST_OBJECTS} objects, not {objects}")
        return SceneRequest(tuple(phrases), relation)

    def _more(self) -> Iterator[Phrase]:
        while self._next() == "and":
            self.place += 1
            yield self._phrase()

    def _phrase(self) -> Phrase:
        number = COUNTS[self._take(COUNTS)]
        colour = tuple(COLOURS).index(self._take(COLOURS)) if self._next() in COLOURS else None
        names = SHAPES if number == 1 else PLURALS
        return Phrase(number, names.index(self._take(names)), colour)

    def _relation(self) -> int:
        word = self._take(("left", "right", "above", "below"))
        if word in {"left", "right"}:
            word += f" {self._take(('of',))}"
        return RELATIONS.index(word)

    def _next(self) -> str | None:
        return self.words[self.place] if self.place < len(self.words) else None

    def _take(self, allowed: Collection[str]) -> str:
        word = self._next()
        if word is None or word not in allowed:
            raise self._wrong(" or ".join(allowed))
        self.place += 1
        return word

    def _wrong(self, allowed: str) -> LabError:
        word = self._next()
        return LabError(
            f"{self.shown!r}: word {self.place + 1} must be {allowed}, not {'the end' if word is None else repr(word)}"
        )

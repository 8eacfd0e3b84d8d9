"""The captions of shapes: what they say, what is wrong with others, and what training holds out."""

from itertools import product

import pytest
import torch

from lina_lab.config import data
from lina_lab.data import shapes_grammar as grammar
from lina_lab.data.shapes import examples
from lina_lab.data.shapes_grammar import COLOURS, RELATIONS, SHAPES, WORDS, Phrase, SceneRequest, caption, parse, tag
from lina_lab.design.data_sets import SOURCES
from lina_lab.errors import LabError

WORDS_FILE = data.WORDS / "shapes.txt"
KINDS, HUES = range(len(SHAPES)), range(len(COLOURS))


@pytest.mark.parametrize(
    ("text", "name", "request_"),
    [
        ("a ring", "single_object", SceneRequest((Phrase(1, 5),))),
        ("a circle and a square", "two_object", SceneRequest((Phrase(1, 0), Phrase(1, 1)))),
        ("three crosses", "counting", SceneRequest((Phrase(3, 3),))),
        ("a white diamond", "colors", SceneRequest((Phrase(1, 4, 7),))),
        ("a circle right of a square", "position", SceneRequest((Phrase(1, 0), Phrase(1, 1)), 1)),
        ("a red circle and a blue square", "color_attr", SceneRequest((Phrase(1, 0, 0), Phrase(1, 1, 4)))),
        ("two red circles", "counting", SceneRequest((Phrase(2, 0, 0),))),
        ("a red circle below a square", "position", SceneRequest((Phrase(1, 0, 0), Phrase(1, 1)), 3)),
        (
            "two red circles and a ring and a ring",
            "counting",
            SceneRequest((Phrase(2, 0, 0), Phrase(1, 5), Phrase(1, 5))),
        ),
    ],
)
def test_captions_mean_what_they_say(text, name, request_):
    assert parse(text) == request_
    assert tag(request_) == name
    assert caption(request_) == text
    assert parse(f"  {text.upper().replace(' ', ', -')}.\n") == request_


@pytest.mark.slow
def test_every_request_of_one_or_two_phrases_comes_back_from_its_caption():
    phrases = [Phrase(n, s, c) for n, s, c in product(range(1, 5), KINDS, [None, *HUES])]
    assert all(parse(caption(SceneRequest((one,)))) == SceneRequest((one,)) for one in phrases)
    single = [phrase for phrase in phrases if phrase.number == 1]
    for pair in product(single, single):
        for relation in (None, *range(len(RELATIONS))):
            assert parse(caption(SceneRequest(pair, relation))) == SceneRequest(pair, relation)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the prompt is empty"),
        (" \n", "the prompt is empty"),
        ("a red circel", r"word 3 must be one of a, two, .*, below, not 'circel'; did you mean circle\?"),
        ("a purple circle", "word 2 must be one of .*, not 'purple'$"),
        ("a circle. And: ?", "word 4 must be a or two or three or four, not the end"),
        ("two circle", "word 2 must be circles or squares or .*, not 'circle'"),
        ("a circles", "word 2 must be circle or .*, not 'circles'"),
        ("circle", "word 1 must be a or two or three or four, not 'circle'"),
        ("a", "word 2 must be circle or .* not the end"),
        ("a red blue circle", "word 3 must be circle or .* not 'blue'"),
        ("a circle left a square", "word 4 must be of, not 'a'"),
        ("a circle above of a square", "word 4 must be a or two or three or four, not 'of'"),
        ("a circle a square", "word 3 must be and, left of, right of, above, below or the end, not 'a'"),
        ("a circle above a square and a ring", "word 6 must be the end, not 'and'"),
        ("two circles above a square", "above must be between two single objects, not several"),
        ("four circles and a ring", "must ask for at most 4 objects, not 5"),
        (
            "a circle and " * 700 + "a ring",
            r"'a circle and a circle and a circle and a\.\.\.' must ask for at most 4",
        ),
        ("x" * 10_000, r"^'x{40}\.\.\.': word 1 must be one of .*, not 'x{40}'$"),
        ("a カ circle", "word 2 must be one of .*, not 'カ'"),
    ],
)
def test_what_is_no_caption_is_named_with_its_place(text, message):
    with pytest.raises(LabError, match=message) as caught:
        parse(text)
    assert len(str(caught.value)) < 500


def test_the_words_are_those_of_the_file_and_of_the_config():
    assert WORDS_FILE.read_text(encoding="utf-8").split("\n") == [*sorted(WORDS), ""]
    assert len(set(WORDS)) == len(WORDS) == SOURCES["shapes"].vocabulary


def test_training_says_every_word_and_nothing_else():
    captions = examples(torch.arange(3000), 16).captions
    assert {word for text in captions for word in text.split()} == set(WORDS)


def test_a_relation_and_its_inverse_are_held_out_together():
    for first, second in product(KINDS, KINDS):
        for relation, inverse in ((0, 1), (1, 0), (2, 3), (3, 2)):
            said, turned = (first, relation, second), (second, inverse, first)
            assert grammar.relation_held_out(*said) == grammar.relation_held_out(*turned)


def test_every_shape_and_colour_is_held_out_in_part_only():
    """A model that never saw a word at all could not be asked for it in a new combination."""
    colours = [[grammar.shape_colour_held_out(s, c) for c in HUES] for s in KINDS]
    assert [sum(row) for row in colours] == [2] * 6
    assert all(1 <= sum(column) <= 2 for column in zip(*colours, strict=True))
    counts = [[grammar.count_held_out(n, s) for n in (2, 3, 4)] for s in KINDS]
    assert [sum(row) for row in counts] == [1] * 6
    assert [sum(column) for column in zip(*counts, strict=True)] == [2] * 3
    for relation, place in product(range(4), (0, 2)):
        for shape in KINDS:
            others = [o for o in KINDS if o != shape]
            told = [
                grammar.relation_held_out(*((shape, relation, o) if place == 0 else (o, relation, shape)))
                for o in others
            ]
            assert sum(told) == 1


@pytest.mark.parametrize(
    ("text", "novel"),
    [
        ("a circle", False),
        ("a red circle", False),
        ("a yellow circle", True),
        ("a blue circle", True),
        ("two circles", True),
        ("three circles", False),
        ("a circle left of a square", True),
        ("a square right of a circle", True),
        ("a circle right of a square", False),
        ("a circle above a triangle", True),
        ("a circle above a square", False),
        ("a red circle and a green square", True),
        ("a circle and a square", False),
    ],
)
def test_held_out_captions_ask_for_what_training_never_shows(text, novel):
    assert grammar.is_held_out(parse(text)) == novel

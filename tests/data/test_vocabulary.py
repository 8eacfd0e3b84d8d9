"""Captions to word numbers."""

import pytest
import torch

from lina_lab.config.data import WORDS, DataConfig, words_of
from lina_lab.data.vocabulary import encode, split_words, vocabulary
from lina_lab.design.data_sets import SOURCES
from lina_lab.errors import LabError

KNOWN = ("blue", "circle", "red", "worker")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A red Circle", ["a", "red", "circle"]),
        ("tightly-closed eyes: 2!", ["tightly", "closed", "eyes", "2"]),
        ("worker’s d'Ivoire", ["worker", "s", "d", "ivoire"]),
        ("São Tomé", ["são", "tomé"]),
        ("Sa\u0303o", ["são"]),  # the same letters, composed
        ("snake_case \t\n", ["snake", "case"]),
        ("*", []),
        ("", []),
    ],
)
def test_words_are_runs_of_letters_and_digits_in_lower_case(text, words):
    assert split_words(text) == words


def test_ids_begin_at_one_and_zero_fills_up():
    ids = encode(["Red circle", "", "blue blue blue"], KNOWN, 3)
    assert ids.dtype == torch.int64
    assert ids.tolist() == [[3, 2, 0], [0, 0, 0], [1, 1, 1]]


def test_no_captions_and_captions_without_words_are_no_prompts():
    assert encode([], KNOWN, 4).shape == (0, 4)
    assert encode(["", " ...", "\n"], KNOWN, 4).tolist() == [[0] * 4] * 3


def test_every_unknown_word_is_named_once_with_the_nearest_known_one():
    with pytest.raises(LabError) as caught:
        encode(["red circel", "green worker zzz", "green"], KNOWN, 4)
    assert str(caught.value) == ("words outside the vocabulary of 4 words: circel (did you mean circle?), green, zzz")


def test_a_caption_of_ten_thousand_characters_is_told_shortly():
    with pytest.raises(LabError, match=r"at most 16 words, not 2500: 'red red .*\.\.\.'$") as caught:
        encode(["red " * 2500], KNOWN, 16)
    assert len(str(caught.value)) < 120
    with pytest.raises(LabError, match=r"outside the vocabulary of 4 words: xxxx.*\.\.\.$") as caught:
        encode(["x" * 10_000], KNOWN, 16)
    assert len(str(caught.value)) < 120
    with pytest.raises(LabError, match=r"w19 and 1980 more$"):
        encode([" ".join(f"w{i}" for i in range(2000))], KNOWN, 16)


def test_exactly_as_many_words_as_there_are_tokens_fit():
    assert encode(["red circle"], KNOWN, 2).tolist() == [[3, 2]]
    with pytest.raises(LabError, match="at most 1 words, not 2"):
        encode(["red circle"], KNOWN, 1)


@pytest.mark.parametrize("name", [name for name, source in SOURCES.items() if source.vocabulary])
def test_shipped_word_lists_are_sorted_lower_case_and_as_long_as_the_config_says(name):
    words = (WORDS / f"{name}.txt").read_text(encoding="utf-8").split()
    assert words == sorted(set(words))
    assert all(split_words(word) == [word] for word in words)
    assert SOURCES[name].vocabulary == len(words) == len(words_of(name))
    assert vocabulary(DataConfig.model_validate({"name": name})) == tuple(words)

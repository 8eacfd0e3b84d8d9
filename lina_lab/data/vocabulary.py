"""Captions as word ids: a closed vocabulary with ids from 1; 0 pads."""

import difflib
import re
import unicodedata
from collections.abc import Sequence

import torch
from torch import Tensor

from lina_lab.config.data import DataConfig, words_of
from lina_lab.errors import LabError

SHOWN = 20
"""Most unknown words that an error names; the rest are counted."""


def split_words(text: str) -> list[str]:
    """The words of a text: runs of letters and digits, in lower case (Unicode NFKC)."""
    return re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text.lower()))


def vocabulary(config: DataConfig) -> tuple[str, ...]:
    """The words of a data set's captions, in the order of their ids."""
    return words_of(config.name)


def encode(captions: Sequence[str], vocabulary: Sequence[str], tokens: int) -> Tensor:
    """Captions as ids (n, tokens) int64: word k of the vocabulary (from 0) is k + 1, and 0 pads.

    A caption without words is all zeros: no prompt, so the unconditional model.

    Raises:
        LabError: if captions have words outside the vocabulary (each is named with the nearest known word), or more
            than `tokens` words.
    """
    split = [split_words(caption) for caption in captions]
    number = {word: index for index, word in enumerate(vocabulary, start=1)}
    unknown = dict.fromkeys(word for words in split for word in words if word not in number)
    if unknown:
        named = ", ".join(_with_nearest(word, vocabulary) for word in list(unknown)[:SHOWN])
        more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
        raise LabError(f"words outside the vocabulary of {len(vocabulary)} words: {named}{more}")
    for caption, words in zip(captions, split, strict=True):
        if len(words) > tokens:
            raise LabError(f"a prompt must have at most {tokens} words, not {len(words)}: {_short(caption)!r}")
    ids = torch.zeros(len(split), tokens, dtype=torch.int64)
    for row, words in zip(ids, split, strict=True):
        row[: len(words)] = torch.tensor([number[word] for word in words], dtype=torch.int64)
    return ids


def _with_nearest(word: str, vocabulary: Sequence[str]) -> str:
    short = _short(word)
    # Matching is slow for long words, and nothing known is near them.
    close = difflib.get_close_matches(word, vocabulary, n=1) if short == word else []
    return f"{short} (did you mean {close[0]}?)" if close else short


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}..."

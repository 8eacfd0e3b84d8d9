"""Formulas of the design axes, which are written in plain text, as LaTeX: `d^-1/2` becomes `$d^{-1/2}$`.

Letters that stand alone, calls, powers and signs between them are mathematics; words are words. What is neither is
escaped as any text is.
"""

import re
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import NamedTuple

from lina_lab.escape import GREEK, GREEK_CAPITALS, latex_prose

SIGNS = {
    "Σ": r"\sum", "·": r"\cdot ", "←": r"\leftarrow ", "×": r"\times ", "±": r"\pm ", "≤": r"\leq ", "≥": r"\geq ",
    "≈": r"\approx ", "√": r"\surd ", "⌊": r"\lfloor ", "⌋": r"\rfloor ", "ᵀ": r"^{\top}", "²": "^2", "³": "^3",
    "...": r"\ldots ", "∞": r"\infty ",
}  # fmt: skip
GREEK_LETTERS = {chr(0x3B1 + place): rf"\{name} " for place, name in enumerate(GREEK.split()) if name != "-"}
GREEK_LETTERS |= {letter: rf"\{name} " for letter, name in GREEK_CAPITALS.items()}
SCRIPT = r"(?:\([^()]*\)|-?[A-Za-z0-9α-ω]+(?:/[A-Za-z0-9]+)?)"
TOKENS = re.compile(
    rf"""
    (?P<sides>\d+x\d+)
    | (?P<small>\d+e-\d+)
    | (?P<number>\d+(?:[.,]\d+)*)
    | (?P<call>[a-z]{{2,}}(?=\(|_[a-z]\b))
    | (?P<word>[A-Za-z]+(?:-[A-Za-z0-9]+|['’][a-z]+|_[A-Za-z0-9]{{2,}})+|[A-Za-z][A-Za-z0-9]+
        |[Aa](?=\ [a-z]{{2,}}\b(?![_(])))
    | (?P<letter>[A-Za-zα-ωΑ-Ω])
    | (?P<bar>̄)
    | (?P<prime>')
    | (?P<power>\^{SCRIPT})
    | (?P<index>_[A-Za-z0-9]+)
    | (?P<sign>\.\.\.|[=+*/<>|·←×±≤≥≈√⌊⌋ᵀ²³∞]|-(?=[\s\d(]))
    | (?P<bracket>[()\[\]])
    | (?P<comma>,)
    | (?P<space>\ +)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
MATHEMATICS = {"sides", "small", "call", "letter", "power", "sign"}
"""Kinds of tokens that make a run of them a formula; brackets and numbers stand in either."""
WORDS = {"word", "other"}


class Token(NamedTuple):
    kind: str
    text: str


def formula(text: str) -> str:
    """A formula with its words as LaTeX, in and out of `$`."""
    tokens = [Token(str(found.lastgroup), found[0]) for found in TOKENS.finditer(text)]
    return "".join(_run(list(run)) for _, run in groupby(tokens, key=_Runs()))


class _Runs:
    """Numbers the runs of a text: each is all words, or all mathematics up to a comma outside of brackets."""

    def __init__(self) -> None:
        self.depth = self.number = 0
        self.words = False

    def __call__(self, token: Token) -> int:
        words = token.kind in WORDS
        if token.kind == "bracket" and not self.words:
            self.depth += 1 if token.text in "([" else -1
        alone = token.kind == "comma" and self.depth <= 0
        if words != self.words or alone:
            self.number, self.depth = self.number + 1, self.depth if alone else 0
        self.words = words or alone
        return self.number


def _run(tokens: list[Token]) -> str:
    if not MATHEMATICS & {token.kind for token in tokens}:
        return latex_prose("".join(token.text for token in tokens))
    before, middle, after = _without_spaces(tokens)
    return f"{before}${''.join(map(_mathematics, _barred(middle))).strip()}${after}"


def _without_spaces(tokens: list[Token]) -> tuple[str, list[Token], str]:
    """The spaces at both ends of a run, which are the words'."""
    middle = list(tokens)
    before = middle.pop(0).text if middle[0].kind == "space" else ""
    after = middle.pop().text if middle[-1].kind == "space" else ""
    return before, middle, after


def _barred(tokens: list[Token]) -> Iterable[Token]:
    """Letters with the bar that follows them."""
    for token, following in zip(tokens, [*tokens[1:], Token("", "")], strict=True):
        if token.kind != "bar":
            yield token._replace(kind="barred") if following.kind == "bar" else token


def _mathematics(token: Token) -> str:
    write = WRITTEN.get(token.kind)
    return write(token.text) if write else SIGNS.get(token.text, _letters(token.text))


def _small(text: str) -> str:
    """8e-4 as a power of ten."""
    factor, _, exponent = text.partition("e")
    return (rf"{factor}\cdot " if factor != "1" else "") + f"10^{{{exponent}}}"


def _letters(text: str) -> str:
    return "".join(GREEK_LETTERS.get(letter, letter) for letter in text)


WRITTEN: dict[str, Callable[[str], str]] = {
    "sides": lambda text: text.replace("x", r"\times "),
    "small": _small,
    "number": lambda text: text.replace(",", "{,}"),
    "call": lambda text: rf"\operatorname{{{text}}}",
    "power": lambda text: f"^{{{_letters(text[1:].removeprefix('(').removesuffix(')'))}}}",
    "index": lambda text: f"_{{{text[1:]}}}",
    "barred": lambda text: rf"\bar{{{_letters(text)}}}",
}
"""How tokens are written that are more than their letters and signs."""

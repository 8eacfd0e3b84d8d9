"""Names are data: what users call things, made harmless for each medium in one place.

A terminal must not obey a name, Markdown must not end a table's cell at one, LaTeX must not run one.
"""

import re
from collections import Counter
from pathlib import Path

MOST = 60
"""Most characters of a name in a table, a legend or a title."""
# A row of a table that begins with [ or * is an argument of the line end before it.
LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "[": "{[}", "]": "{]}", "*": "{*}", "±": r"$\pm$",
    "×": r"$\times$", "∝": r"$\propto$", "≤": r"$\leq$",
    "≥": r"$\geq$", "≈": r"$\approx$", "−": r"$-$", "·": r"$\cdot$", "∞": r"$\infty$", "…": r"\ldots{}", "–": "--",
    "—": "---",
    "`": r"\textasciigrave{}", "’": "'", "‘": "`", "“": "``", "”": "''",
    "°": r"$^\circ$", "²": r"$^2$", "³": r"$^3$", "µ": r"$\mu$",
    "→": r"$\rightarrow$", "←": r"$\leftarrow$", "⌊": r"$\lfloor$", "⌋": r"$\rfloor$", "ᵀ": r"$^\top$",
    "√": r"$\surd$", "≠": r"$\neq$", "\u00a0": "~", "\u202f": r"\,",
}  # fmt: skip
GREEK = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho - sigma tau upsilon "
GREEK += "phi chi psi omega"
GREEK_CAPITALS = {"Γ": "Gamma", "Δ": "Delta", "Θ": "Theta", "Λ": "Lambda", "Ξ": "Xi", "Π": "Pi", "Σ": "Sigma"}
GREEK_CAPITALS |= {"Φ": "Phi", "Ψ": "Psi", "Ω": "Omega"}
LATEX |= {chr(0x3B1 + place): rf"$\{name}$" for place, name in enumerate(GREEK.split())}
LATEX |= {letter: rf"$\{name}$" for letter, name in GREEK_CAPITALS.items()}
LATEX |= {"ο": "o", "ς": r"$\varsigma$"}
NO_T1 = set("ĦħĸĿŀŉŦŧſ")
"""Latin letters below U+0180 that LaTeX's T1 fonts lack."""
LIGATURES = {"--", ",,"}
"""Pairs that T1 fonts draw as one other character."""
PIECES = re.compile(r".{1,20}?(?:[_/=](?=\w)|(?<=[a-z])\.(?=[a-z]))|.{1,24}", re.DOTALL)
"""What stays on one line of prose: words break after marks inside them, and anywhere if they are long."""


def shortened(text: str, most: int = MOST) -> str:
    """A text cut to so many characters; beginning and end are kept, because they tell names apart."""
    if len(text) <= most:
        return text
    front = (most - 1) // 2
    return f"{text[:front]}…{text[len(text) - (most - 1 - front) :]}"


def writable(text: str) -> str:
    r"""A text that can be written anywhere: bytes of a file name that are not UTF-8 become \xe9."""
    text = re.sub("[\udc80-\udcff]", lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}", text)
    return text.encode("utf-8", "backslashreplace").decode()


def shown(name: str | Path) -> str:
    r"""A name on one line of a message: unprintable characters become \xe9, \n or \u202e."""
    kept = (char if char.isprintable() else char.encode("unicode_escape").decode() for char in writable(str(name)))
    return "".join(kept)


def markdown_cell(text: str) -> str:
    """A cell of a Markdown table: no mark of it is Markdown's or HTML's. An underscore inside a word is none."""
    return re.sub(r"([\\`*\[<|&~$]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", shown(text))


def latex(text: str) -> str:
    """Text for LaTeX, on one line. Characters without a font in pdfLaTeX become their code point, U+4E2D."""
    characters = shown(text)
    around = zip(f" {characters}", characters, f"{characters[1:]} ", strict=False)
    return "".join(_latex_of(before, one, after) for before, one, after in around)


def latex_prose(text: str) -> str:
    """Text for a paragraph of LaTeX: as `latex`, with places where a long name may be broken."""
    return " ".join(r"\allowbreak{}".join(map(latex, PIECES.findall(word))) for word in text.split(" "))


def unset_in(source: str) -> dict[str, int]:
    """The characters that `latex` has replaced by their code points in a text, and how often."""
    return Counter(chr(int(code, 16)) for code in re.findall(r"\\texttt\{U\+([0-9A-F]{4,6})\}", source))


def _latex_of(before: str, one: str, after: str) -> str:
    if one == "'" and not (before.isalpha() and after.isalpha()):  # a quote; an apostrophe is set as one
        return r"\textquotesingle{}"
    if one in LATEX:
        return LATEX[one]
    if ord(one) >= 0x180 or one in NO_T1:  # below are Latin letters, with the accents that T1 has
        return rf"\texttt{{U+{ord(one):04X}}}"
    return f"{one}{{}}" if one + after in LIGATURES else one

"""Tables of a paper: in a column, over the page, or over pages; what is too wide for a page is cut into parts.

Widths are estimated from the characters of a table's font; an estimate that is wrong is seen in TeX's log.
"""

from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

from lina_lab.analysis.table import is_numbers
from lina_lab.escape import latex, latex_prose, shortened
from lina_lab.report.formulas import formula

NARROW = frozenset(" .,;:'|!()[]-ijlt")
SMALL, LETTER, CAPITAL, GAP = 2.8, 4.0, 5.4, 6.0
"""Points of a narrow character, a letter or digit and a capital of \\scriptsize, and between two columns."""
COLUMN, PAGE = 3.25 * 72.27, 6.75 * 72.27
"""Points of a column and of a page."""
WRAPPED = 28
"""Longest text of a cell, in characters, that stands in one line."""
FORMS = "form"
"""A column of formulas."""
NOTES = "note"
"""A column of sentences: marks in the table, and the sentences below it."""
FLOATS = 36
"""Most rows of a table that is not broken over pages."""


class Column(NamedTuple):
    head: str
    texts: list[str]
    numbers: bool = False

    @property
    def wraps(self) -> bool:
        return any(len(text) > WRAPPED for text in self.texts)

    @property
    def width(self) -> float:
        """Points of its widest line; a long heading is broken between its words."""
        return max(0.0, *(_points(text[:WRAPPED]) for text in (*self.head.split(" "), *self.texts)))


def _points(text: str) -> float:
    return sum(SMALL if c in NARROW else CAPITAL if c.isupper() or not c.isascii() else LETTER for c in text)


class Layout(NamedTuple):
    repeated: int = 1
    """First columns, of names, which stand in every part."""
    last: bool = False
    """Whether it stands in the appendix, which has one column of text."""


PLAIN = Layout()


def paper_table(table: pd.DataFrame, caption: str, label: str, layout: Layout = PLAIN) -> str:
    """A table as LaTeX, all of it: the float or, of many rows, the longtables. Columns without a value are left out.

    caption: LaTeX.
    """
    repeated = layout.repeated
    columns = [column for column in _columns(table, repeated) if any(column.texts)]
    if not columns:
        return ""
    columns, notes = _noted(columns)
    parts = list(_parts(columns, repeated))
    if len(table) > FLOATS:
        names = [f" (part {part} of {len(parts)})" if len(parts) > 1 else "" for part in range(1, len(parts) + 1)]
        marks = [rf"\label{{{label}}}", *[""] * len(parts)]
        tables = [_long(part, f"{caption}{name}", mark) for part, name, mark in zip(parts, names, marks, strict=False)]
        return "\n".join([*tables, notes])
    narrow = layout.last or (len(parts) == 1 and sum(column.width + GAP for column in parts[0]) <= COLUMN)
    name, where = ("table" if narrow else "table*"), ("!htbp" if layout.last else "tbp")
    bodies = "\n\n\\medskip\n".join(map(_tabular, parts))
    head = rf"\begin{{{name}}}[{where}]\centering\tablesize\caption{{{caption}}}\label{{{label}}}"
    return "\n".join([head, bodies, notes, rf"\end{{{name}}}", ""])


def _columns(table: pd.DataFrame, named: int) -> Iterable[Column]:
    """The columns of a table; the first are names, also where they are numbers."""
    for place, (head, values) in enumerate(table.items()):
        texts = ["" if pd.isna(value) else str(value) for value in values]
        yield Column(str(head), texts, numbers=place >= named and is_numbers(values))


def _noted(columns: list[Column]) -> tuple[list[Column], str]:
    """The columns with marks in the place of notes, and the notes."""
    said = dict.fromkeys(text for column in columns if column.head == NOTES for text in column.texts if text)
    marks = {text: str(place) for place, text in enumerate(said, start=1)}
    marked = [
        column._replace(texts=[marks.get(text, "") for text in column.texts]) if column.head == NOTES else column
        for column in columns
    ]
    notes = "; ".join(f"({mark}) {latex_prose(text)}" for text, mark in marks.items())
    return marked, rf"\par\smallskip\parbox{{\linewidth}}{{\tablesize {notes}.}}\par" if notes else ""


def _parts(columns: list[Column], repeated: int) -> Iterable[list[Column]]:
    """Columns in groups that fit a page, each after the first ones."""
    first: list[Column] = columns[:repeated]
    part: list[Column] = []
    room = 0.0
    for column in columns[repeated:]:
        room -= column.width + GAP
        if room < 0 or not part:
            if part:
                yield part
            part, room = [*first], PAGE - sum(one.width + GAP for one in [*first, column])
        part.append(column)
    yield part or first


def _tabular(columns: list[Column]) -> str:
    rows = "\n".join(_rows(columns))
    return rf"""\begin{{tabular}}{{@{{}}{_sides(columns)}@{{}}}}
\toprule
{_heads(columns)}
\midrule
{rows}
\bottomrule
\end{{tabular}}"""


def _long(columns: list[Column], caption: str, mark: str) -> str:
    heads, rows = _heads(columns), "\n".join(_rows(columns))
    return rf"""{{\tablesize
\begin{{longtable}}{{@{{}}{_sides(columns)}@{{}}}}
\caption{{{caption}}}{mark}\\
\toprule
{heads}
\midrule
\endfirsthead
\toprule
{heads}
\midrule
\endhead
\midrule
\multicolumn{{{len(columns)}}}{{r@{{}}}}{{continued on the next page}}\\
\endfoot
\bottomrule
\endlastfoot
{rows}
\end{{longtable}}}}
"""


def _sides(columns: list[Column]) -> str:
    widths = [rf">{{\raggedright\arraybackslash}}p{{{column.width:.0f}pt}}" for column in columns]
    return "".join(
        width if column.wraps else "r" if column.numbers else "l" for column, width in zip(columns, widths, strict=True)
    )


def _heads(columns: list[Column]) -> str:
    return " & ".join(map(_head, columns)) + r" \\"


def _head(column: Column) -> str:
    """Its words in as many lines as its width needs."""
    lines: list[str] = []
    for word in column.head.split(" "):
        if lines and _points(f"{lines[-1]} {word}") <= column.width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    side = "r" if column.numbers and not column.wraps else "l"
    stacked = r"\\".join(map(latex, lines))
    return rf"\shortstack[{side}]{{{stacked}}}" if len(lines) > 1 else stacked


def _rows(columns: list[Column]) -> Iterable[str]:
    for row in zip(*(column.texts for column in columns), strict=True):
        yield " & ".join(_cell(column, text) for column, text in zip(columns, row, strict=True)) + r" \\"


def _cell(column: Column, text: str) -> str:
    if column.head == FORMS:
        return formula(text)
    return latex_prose(text) if column.wraps else latex(shortened(text))

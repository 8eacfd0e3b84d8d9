"""Columns of tables from other sources: resolving a name to a column, and text to numbers."""

import math
import re
import sys
from collections.abc import Hashable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple, get_args

import pandas as pd

from lina_lab.analysis.match_cells import Columns
from lina_lab.analysis.multiplier import COSTS
from lina_lab.analysis.table_file import REPEATED, SOURCE
from lina_lab.errors import LabError
from lina_lab.ledger.status import State

NO_NUMBER = {"", "nan", "na", "n/a", "null", "none", "-", "--"}
"""Text that stands for a missing number."""
SUFFIXES = {"k": "e3", "K": "e3", "M": "e6", "B": "e9", "G": "e9", "T": "e12"}
"""1.6M is 1,600,000. Not `m`, which is a thousandth to others."""
LIKE_A_NUMBER = re.compile(r"[+-]?[\d.,]*\d[\d.,]*([eE][+-]?\d+|[kKMBGT])?")
BETWEEN_THOUSANDS = re.compile(r"(?<=\d)[ _\u00a0\u202f](?=\d{3}(?!\d))")


class Notation(NamedTuple):
    """How numbers are written: the separators of thousands and of decimals."""

    thousands: str
    decimal: str

    @property
    def pattern(self) -> re.Pattern[str]:
        between, before = re.escape(self.thousands), re.escape(self.decimal)
        whole = rf"(\d+|[1-9]\d{{0,2}}({between}\d{{3}})+)"
        return re.compile(rf"[+-]?({whole}({before}\d*)?|{before}\d+)([eE][+-]?\d+|[kKMBGT])?")

    def value(self, text: str) -> float:
        """A text that fits the pattern, as a number."""
        digits = text.replace(self.thousands, "").replace(self.decimal, ".")
        return float(digits[:-1] + SUFFIXES[digits[-1]] if digits[-1] in SUFFIXES else digits)


NOTATIONS = (Notation(",", "."), Notation(".", ","))
"""English first: a single point separates decimals."""


def find_column(table: pd.DataFrame, name: str, option: str) -> str:
    """The column that a name refers to: an exact match, or the only one that differs in case, blanks, - and _ alone, or
    that is the metric of one extractor: `fid` is `eval/fid/digits-cnn`.

    Raises:
        LabError: naming the option and the file, if there is none, or more than one.
    """
    repeated, source = table.attrs.get(REPEATED, {}), table.attrs.get(SOURCE, "the table")
    if name in repeated:
        fields = " and ".join(map(str, repeated[name]))
        raise LabError(
            f"{option} {name}: {source} has two such columns (fields {fields}): rename the one that is meant"
        )
    if name in table:
        return name
    of_extractor = [str(other) for other in table.columns if str(other).startswith(f"eval/{name}/")]
    alike = of_extractor or [o for o in map(str, [*table.columns, *repeated]) if _plain(o) == _plain(name)]
    if len(alike) == 1 and alike[0] in table:
        return alike[0]
    if alike:
        raise LabError(f"{option} {name}: {source} has no such column, and several like it: {', '.join(alike)}")
    columns = [str(other) for other in table.columns]
    close = get_close_matches(name, columns, n=1)
    hint = f"; did you mean {close[0]}?" if close else f", only {', '.join(columns)}"
    raise LabError(f"{option} {name}: {source} has no such column{hint}")


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).casefold()


def numbers(table: pd.DataFrame, name: str) -> "pd.Series[Any]":
    """A column with its text as numbers where it can be read so, NaN where it says none, other text unchanged.

    1.6M, 1,600,000 and 1 600 000 are numbers; so is 3,39, unless another value of the column rules that out.

    Raises:
        LabError: naming the line of a value that is one number with decimal points and another with decimal commas.
    """
    values, source = table[name].astype(object), table.attrs.get(SOURCE, "the table")
    texts = values[values.map(lambda value: isinstance(value, str))].map(
        lambda text: BETWEEN_THOUSANDS.sub("", text.strip())
    )
    like_numbers = texts[texts.map(lambda text: LIKE_A_NUMBER.fullmatch(text) is not None)]
    fitting = [way for way in NOTATIONS if all(map(way.pattern.fullmatch, like_numbers))]
    with_commas = like_numbers[like_numbers.str.contains(",", regex=False)] if len(like_numbers) else like_numbers
    if len(fitting) > 1 and len(with_commas):
        line, text = with_commas.index[0], with_commas.iloc[0]
        two = " or ".join(f"{way.value(text):.15g}" for way in fitting)
        raise LabError(f"{source}:{line}: {name} {text} can be read as {two}: write it without a comma")
    values[texts.index] = texts.map(lambda text: float("nan") if text.casefold() in NO_NUMBER else text)
    if fitting:
        values[like_numbers.index] = like_numbers.map(fitting[0].value)
    return values


def without_missing(table: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Drop rows in which a named column is empty, infinite or text such as `diverged`; stderr gets the counts.

    Raises:
        LabError: if no row is left.
    """
    lacks = pd.Series([_lack(row) for row in table[list(names)].to_dict("records")], index=table.index, dtype=object)
    if lacks.isna().all():
        return table
    counts = ", ".join(f"{count} with {what}" for what, count in lacks.value_counts(sort=False).items())
    said = f"{table.attrs.get(SOURCE, 'the table')}: {lacks.notna().sum()} of {len(table)} rows left out: {counts}"
    if lacks.notna().all():
        raise LabError(f"{said}; none is left")
    print(said, file=sys.stderr)
    return table[lacks.isna()]


def _lack(row: Mapping[Hashable, Any]) -> str | None:
    for name, value in row.items():
        if isinstance(value, str) or pd.isna(value) or not math.isfinite(value):
            return f"{name} {'missing' if not isinstance(value, str) and pd.isna(value) else value}"
    return None


def own_states(table: pd.DataFrame) -> "pd.Series[str]":
    """The state of every row's cell; `done` throughout in a table that the lab did not write.

    A results table of the lab has the lab's states alone, and a column `key` or cells that are done.
    """
    done = pd.Series("done", index=table.index)
    if "state" not in table:
        return done
    states = table["state"].fillna("no state")
    ours = {*get_args(State), "no state"}
    return states if {*states} <= ours and ("key" in table or "done" in {*states}) else done


def as_meant(table: pd.DataFrame, columns: Columns, *, drop_missing: bool) -> tuple[pd.DataFrame, Columns]:
    """The table with its numbers as numbers and states as ours, and the columns by the table's own names.

    Raises:
        LabError: naming a column that is not there.
    """
    columns = Columns(
        x=find_column(table, columns.x, "--x"),
        y=find_column(table, columns.y, "--y"),
        by=tuple(find_column(table, name, "--by") for name in columns.by),
        pair=None if columns.pair is None else find_column(table, columns.pair, "--pair"),
    )
    found = {name: numbers(table, name) for name in (columns.x, columns.y)}
    if drop_missing:
        found = {name: pd.to_numeric(values, errors="coerce") for name, values in found.items()}
    return table.assign(**found, state=own_states(table)), columns


def costs_of(table: pd.DataFrame, names: Sequence[str]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The table with its costs as numbers, and their columns: those that are named, or known ones that it has.

    Raises:
        LabError: naming a column that is not there, or holds a word.
    """
    costs = [find_column(table, name, "--cost") for name in names] or [name for name in COSTS if name in table]
    found = {name: numbers(table, name) for name in costs}
    for name, values in found.items():
        words = [value for value in values if isinstance(value, str)]
        if words:
            raise LabError(f"--cost {name}: must be a number, not {words[0]}")
    return table.assign(**{name: values.astype(float) for name, values in found.items()}), tuple(costs)

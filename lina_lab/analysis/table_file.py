"""Tables in files, our own and other people's: what a file says unambiguously is read, anything else is named.

A table is CSV with commas, semicolons or tabs, JSON lines, or Parquet; text may be gzipped. A value that could be read
in two ways is refused: a number that ends up in another column, or is a thousand times too large, is worse than none.
"""

import csv
import gzip
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from lina_lab.errors import LabError

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
MISSING = ("", "nan", "NaN", "NA", "N/A")
"""In any column; the word none is a value."""
SOURCE = "source"
"""Key of a table's attrs: the file that it comes from."""
REPEATED = "repeated headings"
"""Key of a table's attrs: headings that stand more than once, with their fields. They are no columns."""


class Line(NamedTuple):
    """One row of a text table: the file's line where it begins, its fields, and whether the first is in quotes."""

    number: int
    fields: list[str]
    quoted: bool


def read_table(path: Path) -> pd.DataFrame:
    """A table from a file, indexed by the lines of a text file; an empty cell is missing, the word none is a value.

    Lines that start with # before the heading are notes. A comma at the end of a line is no field; a heading one field
    shorter than all rows, as R writes it, lacks the heading of row names.

    Raises:
        LabError: naming the line, if the file is no table, has no rows, or can be read in two ways.
    """
    try:
        table = pd.read_parquet(path) if path.suffix == ".parquet" else _of_text(path, _text(path))
    except ValueError as error:  # pandas' and pyarrow's own errors are ValueErrors
        kind = "Parquet" if path.suffix == ".parquet" else "a table with a heading"
        raise LabError(f"{path} must be {kind}: {str(error).splitlines()[0]}") from error
    except OSError as error:
        raise LabError(f"{path}: cannot be read: {error.strerror or error}") from error
    if table.empty:
        raise LabError(f"{path} must have rows below its heading, not none")
    table.attrs[SOURCE] = str(path)
    return table


def _text(path: Path) -> str:
    content = path.read_bytes()
    if content.startswith(b"\x1f\x8b"):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError) as error:
            raise LabError(f"{path}: damaged: {error}") from error
    marks = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}
    encoding = next((name for mark, name in marks.items() if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise LabError(f"{path}:{line}: must be text in UTF-8: {error.reason} at byte {error.start}") from error


def _of_text(path: Path, text: str) -> pd.DataFrame:
    body = [line + "\n" for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    first = next((n for n, line in enumerate(body) if line.strip() and not line.startswith("#")), None)
    if first is None:
        raise LabError(f"{path} must be a table with a heading: it has no line but notes")
    if body[first].lstrip().startswith(("{", "[")):
        return _of_json_lines(path, body, first)
    return _of_csv(path, body, first)


def _of_json_lines(path: Path, body: Sequence[str], first: int) -> pd.DataFrame:
    records, numbers = [], []
    for number, line in enumerate(body[first:], start=first + 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line, object_pairs_hook=_once)
        except ValueError as error:
            raise LabError(f"{path}:{number}: must be one JSON object a line: {error}") from error
        if not isinstance(record, dict):
            raise LabError(f"{path}:{number}: must be one JSON object a line, not {type(record).__name__}")
        records.append(record)
        numbers.append(number)
    table = pd.json_normalize(records)
    table.index = pd.Index(numbers, name="line")
    return table


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for name, count in Counter(name for name, _ in pairs).items():
        if count > 1:
            raise ValueError(f"key {name} stands {count} times")
    return dict(pairs)


def _of_csv(path: Path, body: Sequence[str], first: int) -> pd.DataFrame:
    top, *rows = _split(path, body, first)
    heading = [name.strip() for name in top.fields]
    fields: dict[str, list[int]] = {}
    for field, name in enumerate(heading, start=1):
        fields.setdefault(name, []).append(field)
    repeated = {name: places for name, places in fields.items() if name and len(places) > 1}
    # pandas reads the values as it always did; its own reading of rows would shift columns without a word.
    clean = io.StringIO()
    csv.writer(clean, lineterminator="\n").writerows([[*range(len(heading))], *(row.fields for row in rows)])
    clean.seek(0)
    table = pd.read_csv(clean, keep_default_na=False, na_values=list(MISSING), skip_blank_lines=False)
    table.columns = pd.Index([name or f"Unnamed: {field}" for field, name in enumerate(heading)])
    table.index = pd.Index([row.number for row in rows], name="line")
    table = table.loc[:, [name not in repeated for name in table.columns]].dropna(how="all")
    table.attrs[REPEATED] = repeated
    return table


def _split(path: Path, body: Sequence[str], first: int) -> list[Line]:
    """The heading and the rows, all of one length, by the one delimiter that fits.

    Raises:
        LabError: if two delimiters fit, or by none all rows have the fields of the heading.
    """
    readings: dict[str, list[Line]] = {}
    problems: dict[str, LabError] = {}
    for delimiter in DELIMITERS:
        try:
            lines = list(_lines(path, body, first, delimiter))
            if len(lines[0].fields) > 1:
                readings[delimiter] = _of_one_length(path, lines)
        except LabError as error:
            problems[delimiter] = error
    if len(readings) > 1:
        ways = " and ".join(f"with {DELIMITERS[d]} ({', '.join(lines[0].fields)})" for d, lines in readings.items())
        raise LabError(f"{path}:{first + 1}: can be read in two ways: {ways}; put headings with such a mark in quotes")
    if readings:
        return next(iter(readings.values()))
    if problems:
        # Of several the one that most of the heading speaks for.
        raise problems[max(problems, key=body[first].count)]
    return _of_one_length(path, list(_lines(path, body, first, ",")))


def _lines(path: Path, body: Sequence[str], first: int, delimiter: str) -> Iterator[Line]:
    reader = csv.reader(body[first:], delimiter=delimiter, strict=True)
    begin = first
    try:
        for fields in reader:
            if any(field.strip() for field in fields):
                yield Line(number=begin + 1, fields=fields, quoted=body[begin].lstrip().startswith('"'))
            begin = first + reader.line_num
    except csv.Error as error:
        raise LabError(f"{path}:{begin + 1}: is no row of a table: {error}") from error


def _of_one_length(path: Path, lines: Sequence[Line]) -> list[Line]:
    """All rows as long as the heading: empty fields at the end of a line are none, and R's row names get a heading."""
    rows, names = lines[1:], lines[0].fields
    # A heading without a name is one only over values.
    filled = max((len(_stripped(row.fields, 0)) for row in rows if len(row.fields) <= len(names)), default=0)
    names = _stripped(names, filled)
    size = len(names)
    if rows and all(len(row.fields) == size + 1 for row in rows) and _are_named(rows):
        return [Line(number=lines[0].number, fields=["", *names], quoted=False), *rows]
    rows = [row._replace(fields=_stripped(row.fields, size)) for row in rows]
    for row in rows:
        if len(row.fields) != size:
            raise LabError(
                f"{path}:{row.number}: must have the {size} fields of the heading, not {len(row.fields)}: "
                f"{_shown(row.fields)}; a value that holds the mark between fields must stand in quotes"
            )
    return [Line(number=lines[0].number, fields=names, quoted=False), *rows]


def _stripped(fields: Sequence[str], size: int) -> list[str]:
    """Without empty fields at its end, down to `size` fields."""
    end = len(fields)
    while end > size and not fields[end - 1].strip():
        end -= 1
    return list(fields[:end])


def _are_named(rows: Sequence[Line]) -> bool:
    """Whether rows that are one field longer than their heading begin with a name, as R writes them.

    They may also have a comma too many: at their end, where the last field is empty, or inside a number or a name.
    """
    names, seconds = [row.fields[0] for row in rows], [row.fields[1] for row in rows]
    if len({*names}) < len(names) or any(second.startswith(" ") for second in seconds):
        return False
    numeric = all(name.isdigit() for name in names)
    if numeric and all(row.quoted for row in rows):
        return True  # R puts quotes around words alone
    if not all(row.fields[-1].strip() for row in rows):
        return False
    counted = names == [str(number) for number in range(1, len(rows) + 1)]
    return not numeric or (counted and not all(re.fullmatch(r"\d{3}", second) for second in seconds))


def _shown(fields: Sequence[str], most: int = 80) -> str:
    text = " | ".join(fields)
    return text if len(text) <= most else text[: most - 1] + "…"

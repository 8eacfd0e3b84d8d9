"""Tables in files: every value under its own heading, or the line that has no place for it."""

import gzip
import json
from pathlib import Path

import pandas as pd
import pytest

from lina_lab.analysis.table_file import read_table
from lina_lab.errors import LabError

ROWS = [["base", 1000000, 4.25], ["base", 3000000, 3.5], ["gated, wide", 10000000, 2.75]]
PLAIN = 'name,params,loss\nbase,1000000,4.25\nbase,3000000,3.5\n"gated, wide",10000000,2.75\n'


@pytest.fixture
def read(tmp_path):
    """`read(text)`: the table of a file with that text, or those bytes."""

    def made(content: str | bytes, name: str = "t.csv") -> pd.DataFrame:
        path: Path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_table(path)

    return made


def rows_of(table: pd.DataFrame) -> list[list[object]]:
    return table[["name", "params", "loss"]].to_numpy().tolist()


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.rstrip("\n"),
        "\ufeff" + PLAIN,
        PLAIN.encode("utf-16"),
        gzip.compress(PLAIN.encode(), mtime=0),
        PLAIN.replace("gated, wide", "gated; wide").replace(",", ";").replace("gated; wide", "gated, wide"),
        PLAIN.replace('"gated, wide"', "gated# wide").replace(",", "\t").replace("#", ","),
        "# a note\n# another, with, commas\n\n" + PLAIN,
        PLAIN.replace("name,params,loss", ' name , params,"loss "'),
        "".join(json.dumps(dict(zip(("name", "params", "loss"), row, strict=True))) + "\n" for row in ROWS),
    ],
    ids="plain crlf cr no-end bom utf-16 gzip semicolons tabs notes blanks json-lines".split(),
)
def test_one_table_in_many_forms(read, content):
    assert rows_of(read(content)) == ROWS


@pytest.mark.parametrize(
    "ends",
    [
        (",", "", "", ""),
        ("", ",", "", ""),
        ("", "", "", ","),
        ("", ",", ",", ","),
        (",", ",", ",", ","),
        ("", "", ",,,", ""),
    ],
)
def test_a_comma_at_the_end_of_a_line_is_no_field(read, ends):
    """Of the heading, of the first row alone, of every row: pandas' own reading shifts every column by one."""
    assert rows_of(read("\n".join(map(str.__add__, PLAIN.splitlines(), ends)))) == ROWS


@pytest.mark.parametrize("heading", ['"name","params","loss"', "name,params,loss"])
@pytest.mark.parametrize("names", ['"1" "2" "3"', '"4" "7" "1"', "a b c", "1 2 3"])
def test_the_row_names_of_r_have_no_heading(read, heading, names):
    body = [f"{name},{line}" for name, line in zip(names.split(), PLAIN.splitlines()[1:], strict=True)]
    table = read("\n".join([heading, *body]))
    assert rows_of(table) == ROWS
    assert table.iloc[:, 0].astype(str).tolist() == names.replace('"', "").split()


def test_a_last_column_without_a_value_keeps_its_place(read):
    table = read("name,params,loss\na,1,\nb,2,\n")
    assert table["params"].tolist() == [1, 2]
    assert table["loss"].isna().all()
    named = read('"params","loss"\n"1",5,\n"2",6,\n')
    assert named["params"].tolist() == [5, 6]
    assert named["loss"].isna().all()


@pytest.mark.parametrize(
    ("text", "line", "fields"),
    [
        (PLAIN + "base,1,2,3\n", 5, 4),
        (PLAIN + "base,1\n", 5, 2),
        ("name,params,loss\nbase,1,600,4.2\nbase,2,400,3.1\n", 2, 4),
        ("params,loss\n1,600,4.2\n2,400,3.4\n3,200,2.7\n", 2, 3),
        ("name,loss\nLINA, large,4.2\nother, small,3.4\n", 2, 3),
        ("params,loss\n1,5,4.2\n1,6,3.4\n", 2, 3),
        ("params,loss\n\n\n1,5,4.2\n2,3.4\n", 4, 3),
    ],
)
def test_a_row_of_another_length_is_refused_by_its_line(read, text, line, fields):
    size = len(text.splitlines()[0].split(","))
    with pytest.raises(LabError, match=rf"t\.csv:{line}: must have the {size} fields of the heading, not {fields}: "):
        read(text)


def test_lines_are_those_of_the_file_also_after_a_value_of_several_lines(read):
    table = read('# note\nname,loss\n"a\nb",1\n\n"c\nd\ne",2\nf,3\n')
    assert table["name"].tolist() == ["a\nb", "c\nd\ne", "f"]
    assert table.index.tolist() == [3, 6, 9]
    assert read('\n{"a": 1}\n\n{"a": 2}\n').index.tolist() == [2, 4]


def test_two_columns_of_one_name_are_none_and_the_others_stay(read):
    table = read("loss,params,loss\n1,2,3\n4,5,6\n")
    assert list(table) == ["params"]
    assert table["params"].tolist() == [2, 5]
    assert table.attrs["repeated headings"] == {"loss": [1, 3]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b;c\n1,2;3\n", r"t\.csv:1: can be read in two ways: with commas \(a, b;c\) and with semicolons \(a,b, c\)"),
        ('a,b\n1,"2\n3,4\n', r"t\.csv:2: is no row of a table: unexpected end of data"),
        ('a,b\n1,2\n"x"y,4\n', r"t\.csv:3: is no row of a table"),
        ("# only\n\n", r"t\.csv must be a table with a heading: it has no line but notes"),
        ("a,b\n", r"t\.csv must have rows below its heading, not none"),
        (b"a,b\n1,2\n\xe9,4\n", r"t\.csv:3: must be text in UTF-8"),
        (gzip.compress(PLAIN.encode(), mtime=0)[:-9], r"t\.csv: damaged"),
        ('{"a": 1}\n{"a": 2\n', r"t\.csv:2: must be one JSON object a line"),
        ('{"a": 1, "a": 2}\n', r"t\.csv:1: must be one JSON object a line: key a stands 2 times"),
        ('[{"a": 1}]\n', r"t\.csv:1: must be one JSON object a line, not list"),
    ],
)
def test_what_is_no_table_is_named_by_its_line(read, content, message):
    with pytest.raises(LabError, match=message):
        read(content)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(LabError, match=r"t\.csv: cannot be read: No such file"):
        read_table(tmp_path / "t.csv")


def test_numbers_come_back_to_the_last_bit(read):
    values = [0.1 + 0.2, 1 / 3, 5e-324, 1.7976931348623157e308, 123456789.123456789]
    assert read("x\n" + "\n".join(map(repr, values)) + "\n")["x"].tolist() == values

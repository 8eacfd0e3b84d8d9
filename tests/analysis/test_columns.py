"""Columns of anybody's table: names and numbers as they are meant, or refused."""

import math

import pandas as pd
import pytest

from lina_lab.analysis.columns import find_column, numbers, own_states, without_missing
from lina_lab.errors import LabError


def read_numbers(*texts: object) -> list[object]:
    found = numbers(pd.DataFrame({"n": list(texts)}, dtype=object), "n").tolist()
    return ["missing" if isinstance(value, float) and math.isnan(value) else value for value in found]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["1.6M", "410k", "2B", "3G", "1T"], [1.6e6, 4.1e5, 2e9, 3e9, 1e12]),
        (["1,600,000", "900", "12,000.5"], [1.6e6, 900, 12000.5]),
        (["1,600", "3.5"], [1600, 3.5]),
        (["1,600", "1,600,000"], [1600, 1.6e6]),
        (["3,39", "2,7", "10"], [3.39, 2.7, 10]),
        (["3,39", "2,700"], [3.39, 2.7]),
        (["1.600.000", "900.000"], [1.6e6, 9e5]),
        (["1.600.000,5", "900"], [1600000.5, 900]),
        (["1 600 000", "1_600", "1\u00a0600", "1\u202f600"], [1.6e6, 1600, 1600, 1600]),
        (["1e6", "2.5E-3", "-4", "+7"], [1e6, 2.5e-3, -4, 7]),
        (["3.500", "diverged"], [3.5, "diverged"]),
        (["0,600"], [0.6]),
        (["", "NaN", "n/a", "None", "null", "-", " 5 "], ["missing"] * 6 + [5]),
        ([3, 4.5, "6"], [3, 4.5, 6]),
        (["diverged", "1.5m", "5%", "1.2.3", "1,23,4"], ["diverged", "1.5m", "5%", "1.2.3", "1,23,4"]),
    ],
)
def test_numbers_as_people_write_them(texts, expected):
    assert read_numbers(*texts) == expected


@pytest.mark.parametrize("texts", [["1,600"], ["900", "1,600"], ["3.500", "1,600"], ["1,600", "diverged"]])
def test_a_number_that_can_be_two_is_refused_by_its_line(texts):
    table = pd.DataFrame({"n": texts}, index=range(7, 7 + len(texts)))
    table.attrs["source"] = "t.csv"
    line = 7 + texts.index("1,600")
    with pytest.raises(
        LabError, match=rf"t\.csv:{line}: n 1,600 can be read as 1600 or 1\.6: write it without a comma"
    ):
        numbers(table, "n")


def test_a_column_is_found_by_its_name_or_by_the_only_one_like_it():
    table = pd.DataFrame(columns=["Params", "val loss", "Loss", "loss"])
    table.attrs["source"] = "t.csv"
    found = [find_column(table, name, "--x") for name in ("Params", "params", "val_loss", "Val-Loss", "loss", "Loss")]
    assert found == ["Params", "Params", "val loss", "val loss", "loss", "Loss"]
    with pytest.raises(LabError, match=r"--x LOSS: t\.csv has no such column, and several like it: Loss, loss"):
        find_column(table, "LOSS", "--x")
    with pytest.raises(LabError, match=r"--x parms: t\.csv has no such column; did you mean Params\?"):
        find_column(table, "parms", "--x")
    with pytest.raises(LabError, match=r"--x q: t\.csv has no such column, only Params, val loss"):
        find_column(table, "q", "--x")


def test_a_metric_is_found_without_its_extractor_unless_there_are_several():
    one = pd.DataFrame({"eval/fid/digits-cnn": [1.0], "eval/fid_train/digits-cnn": [2.0]})
    assert find_column(one, "fid", "--y") == "eval/fid/digits-cnn"
    with pytest.raises(LabError, match=r"several like it: eval/fid/digits-cnn, eval/fid/digits-vicreg$"):
        find_column(one.assign(**{"eval/fid/digits-vicreg": 3.0}), "fid", "--y")


def test_a_heading_that_stands_twice_is_no_column():
    table = pd.DataFrame(columns=["params"])
    table.attrs |= {"source": "t.csv", "repeated headings": {"loss": [1, 3]}}
    with pytest.raises(LabError, match=r"--y loss: t\.csv has two such columns \(fields 1 and 3\): rename"):
        find_column(table, "loss", "--y")
    with pytest.raises(LabError, match="several like it: loss"):
        find_column(table, "Loss", "--y")


@pytest.mark.parametrize(
    ("states", "key", "done"),
    [
        (["finished", "crashed"], False, [True, True]),
        (["finished", "failed"], True, [True, True]),
        (["done", "failed"], False, [True, False]),
        (["running", "failed"], True, [False, False]),
        (["running", "failed"], False, [True, True]),
        (["done", None], False, [True, False]),
    ],
)
def test_a_state_of_other_people_excludes_nothing(states, key, done):
    table = pd.DataFrame({"state": states} | ({"key": ["a", "b"]} if key else {}))
    assert (own_states(table) == "done").tolist() == done
    assert (own_states(table.drop(columns="state")) == "done").all()


def test_rows_without_a_number_are_left_out_and_counted(capsys):
    table = pd.DataFrame({"x": [1, 2, None, 4, 5], "y": [1.0, "diverged", 3.0, math.inf, 5.0]}, index=range(2, 7))
    table.attrs["source"] = "t.csv"
    assert without_missing(table, ["x", "y"]).index.tolist() == [2, 6]
    said = "t.csv: 3 of 5 rows left out: 1 with y diverged, 1 with x missing, 1 with y inf\n"
    assert capsys.readouterr().err == said
    with pytest.raises(LabError, match=r"t\.csv: 2 of 2 rows left out: .*; none is left"):
        without_missing(table.iloc[1:3], ["x", "y"])
    assert without_missing(table.iloc[[0, 4]], ["x", "y"]).index.tolist() == [2, 6]
    assert capsys.readouterr().err == ""

"""What makes a pair, what is refused, and what is left out and said."""

import math

import numpy as np
import pandas as pd
import pytest

from lina_lab.analysis.match_cells import Columns, matched
from lina_lab.analysis.table import results_table
from lina_lab.errors import LabError
from tests.analysis.simulated import COLUMNS, EQUAL, table

NOTHING_ELSE = ["design", "seed", "parameters", "fid"]


@pytest.fixture
def drawn():
    """4 sizes and 3 seeds of the designs new (rows 0 to 11) and old (12 to 23)."""
    return table(EQUAL, np.random.default_rng(0))


def pairs(table, columns=COLUMNS, a="new", b="old"):
    return matched(table, columns, a.split(","), b.split(","))


def test_a_pair_is_one_size_and_one_seed_in_any_order_of_rows(drawn):
    found = pairs(drawn.sample(frac=1, random_state=1))
    new, old = (drawn[drawn["design"] == d].reset_index() for d in ("new", "old"))
    assert found.a.tolist() == new["fid"].tolist()
    assert found.b.tolist() == old["fid"].tolist()
    assert found.x.tolist() == new["parameters"].tolist()
    assert found.size == new["size"].tolist()
    assert (found.seeds, found.warnings) == (3, [])
    assert drawn.attrs == {}


def test_sizes_that_differ_by_a_convolution_are_paired_by_their_name(drawn):
    drawn.loc[drawn["design"] == "old", "parameters"] *= 1.01
    assert pairs(drawn).x[0] == pytest.approx(1e6 * math.sqrt(1.01))
    drawn.loc[drawn["design"] == "old", "parameters"] *= 1.3
    with pytest.raises(
        LabError, match=r"parameters must be nearly equal for both designs at size size0, not 1\.31 to 1"
    ):
        pairs(drawn)


@pytest.mark.slow
def test_without_names_sizes_are_paired_by_equal_x_then_by_order(drawn):
    plain = drawn[NOTHING_ELSE]
    assert pairs(plain).size[0] == "1,000,000"
    fewer = pairs(plain.drop(index=[21, 22, 23]))
    assert len(fewer.a) == 9
    assert fewer.warnings == [
        "left out, the other design has no such cell: A at 27,000,000, 0; A at 27,000,000, 1; A at 27,000,000, 2"
    ]
    near = plain.assign(parameters=plain["parameters"] * np.where(plain["design"] == "old", 1.2, 1))
    assert pairs(near).x[0] == pytest.approx(1e6 * math.sqrt(1.2))
    far = plain.assign(parameters=plain["parameters"] * np.where(plain["design"] == "old", 1.3, 1))
    with pytest.raises(LabError, match=r"do not match within 25 %; parameters of A: 1,000,000, .*; of B: 1,300,000, "):
        pairs(far)
    with pytest.raises(LabError, match="do not match within 25 %"):
        pairs(near.drop(index=[21, 22, 23]))


@pytest.mark.slow
def test_two_cells_in_one_place_are_refused_with_what_differs(drawn):
    double = pd.concat([drawn.assign(kv_gate="none", steps=1), drawn.assign(kv_gate="key", steps=2)], ignore_index=True)
    double["eval/kid"] = range(len(double))
    with pytest.raises(
        LabError, match=r"2 rows are design A at size0, 0 \(row 0, 24\); they differ in kv_gate, steps:"
    ):
        pairs(double)
    assert len(pairs(double, Columns("parameters", "fid", ("design", "steps"), None), "new,1", "old,1").a) == 12
    again = pd.concat([drawn, drawn], ignore_index=True)
    with pytest.raises(LabError, match="nothing tells them apart: name the column that does with --pair"):
        pairs(again)
    seedless = drawn.drop(columns="seed")
    with pytest.raises(LabError, match=r"3 rows are design A at size0 \(row 0, 1, 2\) .* --pair"):
        pairs(seedless)
    assert pairs(seedless.iloc[::3]).seeds == 1


def test_a_design_of_two_convolutions_is_refused_without_names_of_sizes_too(drawn):
    """The two differ by 1 % in x, so that no two rows of a design are in one place."""
    plain = drawn[NOTHING_ELSE].assign(conv="none")
    other = plain.assign(conv="depthwise", parameters=plain["parameters"] * 1.01)
    with pytest.raises(LabError, match=r"2 rows are design A at 1,000,000, 0 .*; they differ in conv: add what makes"):
        pairs(pd.concat([plain, other], ignore_index=True))


@pytest.mark.parametrize("name", ["mean", "at", "row", "design", "share"])
def test_no_name_of_a_column_is_in_the_way(drawn, name):
    named = drawn.rename(columns={"design": "variant", "fid": name})
    assert pairs(named, Columns("parameters", name, ("variant",), None)).a.tolist() == drawn["fid"].tolist()[:12]


def test_another_column_can_say_what_a_pair_shares(drawn):
    named = drawn.rename(columns={"seed": "run"})
    assert pairs(named, COLUMNS._replace(pair="run")).seeds == 3
    with pytest.raises(LabError, match="no column seed in the table; it has design, size, run, "):
        pairs(named, COLUMNS._replace(pair="seed"))


def test_what_is_not_done_or_not_there_is_left_out_and_said(drawn):
    drawn.loc[0, "state"] = "failed"
    drawn.loc[13, "fid"] = math.nan
    drawn.loc[14, "state"] = "diverged"
    found = pairs(drawn)
    assert len(found.a) == 9
    assert found.warnings == [
        "left out, not done: A at size0, 0 (failed); B at size0, 2 (diverged)",
        "left out, no parameters or no fid: B at size0, 1",
        "left out, the other design has no such cell: A at size0, 1; A at size0, 2; B at size0, 0",
    ]
    assert found.diverged == ["B at size0, 2 (diverged)"]
    drawn.loc[drawn["design"] == "old", "seed"] += 7
    with pytest.raises(LabError, match="new and old share no size and seed; parameters of A: 1,000,000, "):
        pairs(drawn)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("fid", 0.0, r"fid must be positive and finite, not 0 \(row 2\)"),
        ("fid", -2.5, r"fid must be positive and finite, not -2.5 \(row 2\)"),
        ("parameters", math.inf, r"parameters must be positive and finite, not inf \(row 2\)"),
        ("fid", "bad", r"fid must be a number, not bad \(row 2\)"),
    ],
)
def test_a_value_without_a_logarithm_is_refused_by_row(drawn, column, value, message):
    drawn[column] = drawn[column].astype(object)
    drawn.loc[2, column] = value
    with pytest.raises(LabError, match=message):
        pairs(drawn)


@pytest.mark.slow
@pytest.mark.parametrize("column", ["extractor", "num_generated", "guidance_scale", "flow_steps", "sampling_precision"])
def test_values_measured_differently_are_refused(drawn, column):
    drawn[column] = 1
    assert len(pairs(drawn).a) == 12
    drawn.loc[3, column] = 2
    with pytest.raises(LabError, match=f"fid of cells with different {column} cannot be compared: 1, 2"):
        pairs(drawn)


def test_a_measure_that_makes_the_design_may_differ_and_rows_of_other_designs_may_too(drawn):
    drawn["guidance_scale"] = np.where(drawn["design"] == "new", 1.0, 2.5)
    assert len(pairs(drawn, Columns("parameters", "fid", ("guidance_scale",), None), "1", "2.5").a) == 12
    other = drawn.assign(guidance_scale=1.0)
    foreign = drawn[drawn["design"] == "new"].assign(design="third", guidance_scale=9.0)
    assert len(pairs(pd.concat([other, foreign], ignore_index=True)).a) == 12


def test_a_design_that_is_not_there_is_answered_with_those_that_are(drawn):
    with pytest.raises(LabError, match="no row has design = newest; there are new; old"):
        pairs(drawn, a="newest")
    with pytest.raises(LabError, match="A and B must be two designs, not old twice"):
        pairs(drawn, a="old")
    with pytest.raises(LabError, match="new,5 must have a value for each of design, not 2"):
        pairs(drawn, a="new,5")
    with pytest.raises(LabError, match="no column colour in the table; it has design, size"):
        pairs(drawn, COLUMNS._replace(by=("colour",)))


@pytest.mark.slow
def test_the_results_table_of_a_sweep_is_read_as_it_is(study):
    made = study(seeds=[0, 1])
    made.unfinish(0, "waiting")
    columns = Columns("parameters", "eval/fid/digits-cnn", ("normalization", "conv_kernel"), None)
    found = pairs(results_table(made.runs, made.stored), columns, "division,5", "division,0")
    assert found.size == ["nano", "micro", "micro"]
    assert (found.a / found.b).tolist() == pytest.approx([0.5] * 3)
    assert found.x[0] == pytest.approx(100_000 * math.sqrt(1.05))
    assert found.warnings[0] == "left out, not done: B at nano, 0 (waiting)"

"""`lab compare`: what it prints is true, is one document with --json, and a mistake is one message."""

import json
import math

import numpy as np
import pytest
from typer.testing import CliRunner

from lina_lab.analysis import gap_model
from lina_lab.cli.main import app
from lina_lab.errors import LabError
from tests.analysis.simulated import Case, Truth, table
from tests.lab import lab

CASE = Case(Truth(40, 0.5), Truth(40, 0.4))
DESIGNS = ["--y", "fid", "--by", "design", "--a", "new", "--b", "old"]


@pytest.fixture
def csv(tmp_path, monkeypatch):
    """A study as a file."""
    monkeypatch.setattr(gap_model, "DRAWS", 50)
    path = tmp_path / "table.csv"
    table(CASE, np.random.default_rng(0)).to_csv(path, index=False)
    return path


def compare(*words) -> str:
    result = CliRunner().invoke(app, ["compare", *map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


@pytest.mark.slow
def test_a_reader_gets_gaps_predictions_slope_and_both_claims(csv):
    output = compare(csv, *DESIGNS)
    document = json.loads(compare(csv, *DESIGNS, "--json"))
    lines = [line.split() for line in output.splitlines()]
    for size in document["sizes"]:
        numbers = [f"{size[name]:.4g}" for name in ("ratio", "low", "high")]
        assert any(line[:1] == [size["size"]] and line[3:] == [*numbers[:2], "to", numbers[2]] for line in lines)
    for form, words in zip(document["predictions"], ("as a power law", "with a floor"), strict=True):
        row = next(line for line in output.splitlines() if line.startswith(words)).removeprefix(words)
        numbers = [f"{form[name]:.4g}" for name in ("ratio", "low", "high")]
        assert row.split()[1:5] == [*numbers[:2], "to", numbers[2]]
    power, offset = document["predictions"]
    for form in (power, offset):
        assert f"{100 * math.expm1(form['holdout_error']):.3g} %" in output
    assert f"slope of log(A / B) over log parameters: {document['slope']['value']:.4g} (95 % interval" in output
    for claim in (document["better"], document["scales_better"]):
        assert claim["winner"] == "A"
        assert claim["sentence"] in output
    table(CASE, np.random.default_rng(0)).drop(index=0).to_csv(csv, index=False)
    assert "warning: left out, the other design has no such cell: B at size0, 0" in compare(csv, *DESIGNS)


@pytest.mark.slow
def test_options_reach_the_verdict(csv):
    def verdict(*options) -> dict:
        return json.loads(compare(csv, *DESIGNS, "--json", *options))

    assert verdict("--comparisons", 5)["level"] == pytest.approx(0.99)
    assert verdict("--higher-is-better")["better"]["winner"] == "B"
    drawn = table(CASE, np.random.default_rng(0)).rename(columns={"seed": "run", "parameters": "n"})
    drawn.drop(columns=["learning_rate", "tune_trials"]).to_csv(csv, index=False)
    options = ["--x", "n", "--pair", "run"]
    assert verdict(*options)["scales_better"]["reasons"] == ["the learning rate was not tuned for every size"]
    assert verdict(*options, "--lr-tuned")["scales_better"]["winner"] == "A"
    assert verdict(*options)["seeds"] == 3


@pytest.mark.slow
def test_several_columns_make_a_design_and_none_is_a_value(csv):
    drawn = table(CASE, np.random.default_rng(0)).assign(kv_gate="none", conv_kernel=5.0)
    drawn.loc[drawn["design"] == "old", "conv_kernel"] = 0.0
    drawn.to_csv(csv, index=False)
    output = compare(
        *(csv, "--y", "fid", "--by", "kv_gate", "--by", "conv_kernel", "--a", "none,5", "--b", "none,0", "--json")
    )
    assert (json.loads(output)["a"], json.loads(output)["num_pairs"]) == ("none, 5", 12)


@pytest.mark.slow
def test_notes_before_the_heading_are_skipped(csv):
    csv.write_text(f"# a note, with a comma\n# another\n{csv.read_text()}")
    assert json.loads(compare(csv, *DESIGNS, "--json"))["num_pairs"] == 12
    rest = "," * (csv.read_text().splitlines()[2].count(",") - 5)
    csv.write_text(csv.read_text() + f"\nnew,size0,7,done,1000000,-1{rest}\n")
    with pytest.raises(LabError, match=r"fid must be positive and finite, not -1 \(line 29\)"):
        compare(csv, *DESIGNS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be a table with a heading"),
        ("a,b\n", "must have rows below its heading, not none"),
        ("a,b\n1,2\n1,2,3,4\n", r"table\.csv:3: must have the 2 fields of the heading, not 4"),
        ("design,fid\nnew,1\n", r"--x parameters: .*table\.csv has no such column, only design, fid"),
    ],
)
def test_a_file_that_is_no_table_is_refused(csv, text, message):
    csv.write_text(text)
    with pytest.raises(LabError, match=message):
        compare(csv, *DESIGNS)


def test_a_mistake_is_one_message_and_exit_code_2(csv):
    done = lab(csv.parent, "compare", "table.csv", *DESIGNS[:-1], "older", code=2)
    assert done.stderr == "error: no row has design = older; there are new; old\n"
    assert done.stdout == ""
    assert lab(csv.parent, "compare", "nothing.csv", *DESIGNS, code=2).stderr.startswith(
        "error: nothing.csv: cannot be read: No such file"
    )


@pytest.mark.slow
def test_an_export_of_other_people_is_compared_without_its_gaps(csv, tmp_path):
    """Their states exclude nothing, their headings have another case, and a word is no number."""
    ours = table(CASE, np.random.default_rng(0)).rename(columns={"fid": "FID", "parameters": "Parameters"})
    ours = ours.assign(state="finished", FID=ours["FID"].astype(object)).drop(columns="samples_seen", errors="ignore")
    ours.loc[0, "FID"] = "diverged"
    ours.to_csv(csv, index=False)
    with pytest.raises(LabError, match=r"FID must be a number, not diverged \(line 2\)"):
        compare(csv, *DESIGNS)
    assert json.loads(compare(csv, *DESIGNS, "--json", "--drop-missing"))["num_pairs"] == 11
    assert "warning: left out, no Parameters or no FID: " in compare(csv, *DESIGNS, "--drop-missing")


@pytest.mark.slow
def test_compute_is_told_of_each_cost_of_the_table_or_of_those_that_are_named(csv):
    drawn = table(CASE, np.random.default_rng(0))
    drawn = drawn.assign(flops_training=1e6 * drawn["parameters"], training_seconds=drawn["parameters"] / 1e5)
    drawn.assign(hours=drawn["flops_training"], machine="a").to_csv(csv, index=False)
    output, document = compare(csv, *DESIGNS), json.loads(compare(csv, *DESIGNS, "--json"))
    flops, seconds = document["compute"]
    assert (flops["cost"], seconds["cost"]) == ("flops_training", "training_seconds")
    whole = flops["overall"]
    assert 1 < whole["low"] < whole["times"] < whole["high"]
    ends = f"{whole['low']:.3g} to {whole['high']:.3g}"
    sentence = (
        f"For the same fid old needs {whole['times']:.3g} times (95 % interval {ends}) the training FLOPs of new."
    )
    assert sentence in output
    assert sentence in document["sentence"]
    (row,) = [line.split() for line in output.splitlines() if line.startswith("at all sizes")]
    assert row[4:8] == [f"{whole['times']:.4g}", *ends.split()]
    assert seconds["overall"] is None
    assert "the table does not say on which machine the seconds passed (cpu)" in output
    (own,) = json.loads(compare(csv, *DESIGNS, "--json", "--cost", "hours"))["compute"]
    assert own["overall"] == whole
    with pytest.raises(LabError, match="--cost machine: must be a number, not a"):
        compare(csv, *DESIGNS, "--cost", "machine")
    with pytest.raises(LabError, match=r"--cost days: .* has no such column"):
        compare(csv, *DESIGNS, "--cost", "days")

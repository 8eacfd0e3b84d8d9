"""`lab fit`: a readable table, exact JSON, and every refusal by file, line and column."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from lina_lab.cli.main import app, main

FID = "eval/fid/digits-cnn"


def results(num_sizes: int = 5, floor: float = 5.0, **columns: object) -> pd.DataFrame:
    """A results table of two designs, three seeds."""
    rng = np.random.default_rng(0)
    rows = [
        {"state": "done", "normalization": n, "parameters": p, "seed": s, FID: (floor + a * (p / 1e6) ** -0.4)}
        for n, a in (("division", 10.0), ("subtraction", 12.0))
        for p in np.geomspace(1e5, 6.4e6, num_sizes).round()
        for s in range(3)
    ]
    table = pd.DataFrame(rows).assign(**columns)
    table[FID] *= np.exp(rng.normal(0, 0.005, len(table)))
    return table


def one(num_sizes: int = 5, floor: float = 5.0) -> pd.DataFrame:
    """The results of one design alone."""
    return results(num_sizes, floor).query("normalization == 'division'")


@pytest.fixture
def lab_fit(tmp_path, capsys, monkeypatch):
    """`lab_fit(table, *words)`: exit code, stdout, stderr of the command on a table written as table.csv."""
    monkeypatch.chdir(tmp_path)

    def run(table: pd.DataFrame | str, *words: str, y: str = FID, x: str = "parameters") -> tuple[int, str, str]:
        if isinstance(table, str):
            (tmp_path / "table.csv").write_text(table)
        else:
            table.to_csv(tmp_path / "table.csv", index=False)
        monkeypatch.setattr(sys, "argv", ["lab", "fit", "table.csv", "--x", x, "--y", y, *words])
        with pytest.raises(SystemExit) as exit_:
            main()
        printed = capsys.readouterr()
        return int(exit_.value.code or 0), printed.out, printed.err

    return run


@pytest.mark.slow
def test_json_is_one_document_with_exactly_these_keys(lab_fit):
    code, out, err = lab_fit(results(), "--by", "normalization", "--holdout-largest", "--json")
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert list(document) == ["document", "version", "fits"]
    assert [(f["by"], f["form"]) for f in document["fits"]] == [
        ({"normalization": n}, form) for n in ("division", "subtraction") for form in ("power", "offset")
    ]
    offset = document["fits"][1]
    assert list(offset) == (
        ["by", "form", "params", "intervals", "loss", "objective", "n", "holdout", "rolling", "at_bound", "notes"]
    )
    assert (offset["at_bound"], offset["notes"]) == ({}, [])
    assert list(offset["params"]) == list(offset["intervals"]) == ["E", "A", "alpha"]
    assert list(offset["holdout"]) == ["x", "y", "predicted", "relative_error"]
    assert list(offset["rolling"]) == ["parameters"]
    assert offset["rolling"]["parameters"] == [offset["holdout"]]
    power = document["fits"][0]["rolling"]["parameters"]
    assert [size["x"] for size in power] == pytest.approx([8e5, 2262742, 6.4e6], rel=1e-3)
    assert power[-1] == document["fits"][0]["holdout"]
    assert offset["n"] == 15
    assert offset["params"]["E"] == pytest.approx(5, rel=0.1)
    low, high = offset["intervals"]["E"]
    assert 0 < low < 5 < high
    assert abs(offset["holdout"]["relative_error"]) < 0.02 < abs(document["fits"][0]["holdout"]["relative_error"])


def test_the_command_runs_in_typers_runner(tmp_path):
    one().to_csv(tmp_path / "t.csv", index=False)
    words = ["fit", str(tmp_path / "t.csv"), "--x", "parameters", "--y", FID, "--form", "power", "--json"]
    assert json.loads(CliRunner().invoke(app, words, catch_exceptions=False).stdout)["fits"][0]["n"] == 15


def test_holdout_is_null_unless_asked(lab_fit):
    _, out, _ = lab_fit(one(), "--json", "--form", "power")
    assert json.loads(out)["fits"][0]["holdout"] is None
    assert json.loads(out)["fits"][0]["rolling"] == {}


def test_errors_at_every_size_are_printed(lab_fit):
    _, out, _ = lab_fit(one(), "--form", "power", "--holdout-largest")
    line = next(line for line in out.splitlines() if "predicts from all smaller" in line)
    assert line.startswith("all rows: power predicts from all smaller parameters: 8e+05 -")
    assert line.count("%") == 3


@pytest.mark.slow
def test_four_sizes_have_an_offset_but_no_hold_out_of_it(lab_fit):
    code, out, _ = lab_fit(one(4), "--holdout-largest", "--form", "offset")
    assert code == 0
    assert (
        "all rows: offset has no hold-out error: without the largest parameters, it needs 4 distinct sizes, not 3"
        in out
    )


@pytest.mark.slow
def test_three_sizes_have_a_power_law_and_the_reason_for_no_offset(lab_fit):
    code, out, _ = lab_fit(one(3))
    assert code == 0
    assert "all rows: no fit of the form offset: it needs 4 distinct sizes, not 3" in out
    assert "alpha" in out
    code, _, err = lab_fit(one(3), "--form", "offset")
    assert code == 2
    assert "needs 4 distinct sizes, not 3" in err


@pytest.mark.slow
def test_a_floor_that_is_not_there_is_said_not_to_be_identified(lab_fit):
    _, out, _ = lab_fit(one(floor=0.0))
    assert "all rows: E not identified by offset: 0 and any floor up to" in out
    _, out, _ = lab_fit(results(), "--by", "normalization")
    assert "not identified" not in out


@pytest.mark.slow
def test_what_a_bound_set_is_marked_in_text_and_json(lab_fit):
    table = pd.DataFrame({"parameters": [3.3e7, 1.3e8, 4.58e8, 6.75e8], FID: [68.4, 43.47, 23.33, 19.47]})
    _, out, _ = lab_fit(table, "--form", "offset")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "offset 4 E 0 (bound) at most 19.47 least squares 0.004675" in lines
    _, out, err = lab_fit(table, "--form", "offset", "--json")
    found = json.loads(out)["fits"][0]
    assert found["intervals"]["E"] == [0, 19.47]
    assert found["at_bound"]["E"] == ["value", "low", "high"]
    assert found["notes"] == [
        "E not identified by offset: 0 and any floor up to 19.47, the lowest y, fit the data (95 %)"
    ]
    assert found["notes"][0] in err


@pytest.mark.slow
def test_a_curve_that_rises_gets_no_floor(lab_fit):
    table = pd.DataFrame({"parameters": [1e6, 3e6, 1e7, 3e7, 1e8], FID: [10, 11, 12.5, 14, 15.5]})
    _, out, _ = lab_fit(table, "--json")
    power, offset = json.loads(out)["fits"]
    assert offset["params"] == {"E": 0} | power["params"]
    assert offset["objective"] == pytest.approx(power["objective"])
    assert offset["intervals"] == {"E": None} | power["intervals"]
    assert "y does not fall with x" in offset["notes"][0]


def test_two_sizes_are_said_to_have_no_check(lab_fit):
    two = results(2)
    two = two[two["normalization"] == "division"]
    sentence = "all rows: power has two sizes alone: a line through two points always fits, so that nothing checks"
    assert sentence in lab_fit(two)[1]
    _, out, err = lab_fit(two, "--json")
    assert "two sizes alone" in json.loads(out)["fits"][0]["notes"][0]
    assert sentence in err


def test_a_surface_needs_its_second_column(lab_fit):
    code, _, err = lab_fit(results(), "--form", "surface")
    assert code == 2
    assert "--form surface needs --d" in err


@pytest.mark.slow
def test_a_surface_is_fitted(lab_fit):
    x = np.array([(n, d) for n in np.geomspace(1e5, 1e8, 5) for d in np.geomspace(1e8, 1e11, 5)])
    y = 1.7 + 60 * x[:, 0] ** -0.34 + 800 * x[:, 1] ** -0.28
    table = pd.DataFrame({"parameters": x[:, 0], "tokens": x[:, 1], "loss": y})
    code, out, _ = lab_fit(table, "--form", "surface", "--d", "tokens", "--json", "--holdout-largest", y="loss")
    assert code == 0
    found = json.loads(out)["fits"][0]
    assert found["params"] == pytest.approx({"E": 1.7, "A": 60, "alpha": 0.34, "B": 800, "beta": 0.28}, rel=1e-5)
    assert found["holdout"]["relative_error"] == pytest.approx(0, abs=1e-5)
    assert list(found["rolling"]) == ["parameters", "tokens"]
    assert [size["x"] for size in found["rolling"]["tokens"]] == pytest.approx([1e8 * 1000**0.75, 1e11])


def test_cells_that_are_not_done_are_left_out_and_counted(lab_fit):
    table = one()
    table.loc[[0, 1], ["state", FID]] = ["failed", None]
    table.loc[4, ["state", FID]] = ["diverged", None]
    code, out, err = lab_fit(table, "--json", "--form", "power")
    assert code == 0
    assert json.loads(out)["fits"][0]["n"] == 12
    assert "table.csv: 2 failed, 1 diverged of 15 cells left out" in err


@pytest.mark.parametrize(("value", "said"), [(None, "missing"), (-1.0, "-1.0"), (0.0, "0.0"), (np.inf, "inf")])
def test_a_value_that_cannot_be_fitted_is_named_with_its_line(lab_fit, value, said):
    table = results()
    table.loc[7, FID] = value
    code, out, err = lab_fit(table)
    assert (code, out) == (2, "")
    assert f"table.csv:9: {FID} must be a positive number, not {said}" in err


def test_lines_are_counted_over_comments_and_empty_lines(lab_fit):
    code, _, err = lab_fit("# source\nn,loss\n1,3\n\n2,x\n", x="n", y="loss")
    assert code == 2
    assert "table.csv:5: loss must be a positive number, not x" in err


def test_a_column_that_does_not_exist_has_a_suggestion(lab_fit):
    code, _, err = lab_fit(results(), x="parameter")
    assert code == 2
    assert "--x parameter: table.csv has no such column; did you mean parameters?" in err


@pytest.mark.slow
@pytest.mark.parametrize("name", ["extractor", "num_generated", "guidance_scale", "flow_steps", "sampling_precision"])
def test_values_measured_differently_are_refused_unless_fitted_apart(lab_fit, name):
    table = results(**{name: [1, 2] * 15})
    code, _, err = lab_fit(table, "--by", "normalization")
    assert code == 2
    assert f"normalization division: {FID} with different {name} cannot be fitted together: 1, 2" in err
    assert lab_fit(table, "--by", name, "--form", "power")[0] == 0


def test_sizes_trained_on_different_numbers_of_samples_are_warned_of(lab_fit):
    table = one().assign(batch_size=64)
    table["samples_seen"] = np.where(table["parameters"] > 1e6, 2000, 1000)
    code, _, err = lab_fit(table, "--form", "power")
    assert code == 0
    assert err == "warning: all rows: samples_seen differs between sizes (1000, 2000)\n"


@pytest.mark.slow
def test_a_group_with_one_size_does_not_hide_the_others(lab_fit):
    table = results()
    table = table[(table["normalization"] == "division") | (table["parameters"] == 1e5)]
    code, out, _ = lab_fit(table, "--by", "normalization")
    assert code == 0
    assert "normalization subtraction: no fit of the form power: it needs 2 distinct sizes, not 1" in out
    assert lab_fit(table[table["parameters"] == 1e5])[0] == 2


TRAILING = "run,params,loss,seconds\n" + "".join(
    f"{run},{params},{2 * (params / 1e6) ** -0.25!r},{100 * params},\n"
    for run, params in enumerate([1e6, 3e6, 1e7, 3e7], start=1)
)


@pytest.mark.parametrize("ends", ["every row", "the first row"])
def test_a_comma_too_many_shifts_no_column(lab_fit, ends):
    text = TRAILING if ends == "every row" else TRAILING.replace(",\n", "\n").replace("\n2,", ",\n2,")
    assert text.count(",\n") == (4 if ends == "every row" else 1)
    code, out, _ = lab_fit(text, "--form", "power", "--json", x="params", y="loss")
    assert code == 0
    assert json.loads(out)["fits"][0]["params"] == pytest.approx({"A": 2 * 1e6**0.25, "alpha": 0.25})


def test_a_row_with_a_field_more_is_refused_by_its_line(lab_fit):
    code, out, err = lab_fit(TRAILING.replace(",\n2", ",7\n2"), x="params", y="loss")
    assert (code, out) == (2, "")
    assert "table.csv:2: must have the 4 fields of the heading, not 5" in err


def test_a_column_that_stands_twice_is_ambiguous(lab_fit):
    code, _, err = lab_fit("params,loss,loss\n1,2,3\n2,1,2\n", x="params", y="loss")
    assert code == 2
    assert "--y loss: table.csv has two such columns (fields 2 and 3): rename the one that is meant" in err


def test_an_export_with_states_and_gaps_of_its_own_is_fitted_without_its_gaps(lab_fit):
    cells = ["finished,1M,2.0", "finished,16M,1.0", "crashed,4M,NaN", "finished,2M,diverged", "finished,4M,1.4142135"]
    text = "Name,State,Params,Val Loss\n" + "".join(f"r{number},{cell}\n" for number, cell in enumerate(cells))
    words = ["--form", "power", "--json"]
    code, _, err = lab_fit(text, *words, x="params", y="val_loss")
    assert code == 2
    assert "table.csv:4: Val Loss must be a positive number, not missing" in err
    assert "table.csv:5: Val Loss must be a positive number, not diverged" in err
    assert "--drop-missing leaves out rows where one is missing or a word" in err
    code, out, err = lab_fit(text, *words, "--drop-missing", x="params", y="val_loss")
    assert code == 0
    assert err == "table.csv: 2 of 5 rows left out: 1 with Val Loss missing, 1 with Val Loss diverged\n"
    found = json.loads(out)["fits"][0]
    assert (found["n"], found["params"]["alpha"]) == (3, pytest.approx(0.25))


@pytest.mark.slow
@pytest.mark.parametrize("words", [[], ["--by", "normalization"]])
def test_two_designs_in_one_curve_are_refused_as_lab_compare_does(lab_fit, words):
    table = pd.concat([results().assign(conv_kernel=k, run=f"r{k}") for k in (0, 5)], ignore_index=True)
    code, out, err = lab_fit(table, *words)
    assert (code, out) == (2, "")
    columns = "conv_kernel, run" if words else "normalization, conv_kernel, run"
    lines = "2, 32" if words else "2, 17, 32, 47"
    assert f"at 100,000, 0 (line {lines}); they differ in {columns}: add what makes the design to --by" in err
    assert lab_fit(table, "--by", "normalization", "--by", "conv_kernel", "--form", "power")[0] == 0


@pytest.mark.slow
def test_a_convolution_that_adds_parameters_is_another_design_still(lab_fit):
    plain, other = one().assign(conv_kernel="none"), one().assign(conv_kernel="depthwise")
    table = pd.concat([plain, other.assign(parameters=other["parameters"] * 1.01)])
    assert "they differ in conv_kernel" in lab_fit(table)[2]
    assert lab_fit(table, "--by", "conv_kernel", "--form", "power")[0] == 0
    sizes = np.tile(np.repeat(["nano", "micro", "tiny", "small", "base"], 3), 2)
    numbered = table.assign(conv_kernel=np.where(table["conv_kernel"] == "none", 0, 5), size=sizes)
    assert "they differ in conv_kernel" in lab_fit(numbered)[2]
    assert lab_fit(plain.assign(size=sizes[:15]), "--form", "power")[0] == 0


def test_repetitions_without_a_seed_and_further_metrics_and_names_are_no_designs(lab_fit):
    rows = one().drop(columns="seed").assign(name=[f"run {i}" for i in range(15)], is_=np.linspace(1, 2, 15))
    code, out, _ = lab_fit(rows, "--form", "power", "--json")
    assert (code, json.loads(out)["fits"][0]["n"]) == (0, 15)


def test_a_run_that_stands_twice_is_refused(lab_fit):
    code, _, err = lab_fit(pd.concat([one(), one().tail(1)]))
    assert code == 2
    assert "2 rows are of one design at 6,400,000, 2 (line 16, 17) and nothing tells them apart: count each run" in err


def along_runs(num_runs: int = 6, shared: float = 0.1) -> pd.DataFrame:
    """Runs of one design with three points before their ends; noise moves whole runs, and points a tenth as much.

    The middle of the lengths is 1, where A is the height of the curve.
    """
    rng = np.random.default_rng(0)
    rows = [
        {"key": f"{run:012x}", "state": "done", "seed": run, "at": at, "parameters": 1e5, "samples_seen": 8**0.5 * at}
        for run in range(num_runs)
        for at in (1.0, 0.125, 0.25, 0.5)
    ]
    table = pd.DataFrame(rows).sort_values("at", ascending=False, kind="stable")
    noise = rng.normal(0, shared, num_runs)[table["seed"]] + rng.normal(0, shared / 10, len(table))
    return table.assign(**{FID: 500 * table["samples_seen"] ** -0.5 * np.exp(noise)})


@pytest.mark.slow
def test_over_lengths_all_points_are_fitted_and_whole_runs_resampled(lab_fit):
    """By points, 24 of 6 runs would be taken for 24 runs, and the height be known twice as well as it is."""
    words = ("--form", "power", "--json")
    _, out, _ = lab_fit(along_runs(), *words, x="samples_seen")
    fit = json.loads(out)["fits"][0]
    assert fit["n"] == 24
    assert fit["notes"] == ["intervals resample 6 runs, whose points go together"]
    _, out, _ = lab_fit(along_runs().drop(columns="at").assign(key=range(24), seed=range(24)), *words, x="samples_seen")
    alone = json.loads(out)["fits"][0]
    assert alone["params"] == fit["params"]

    def width(fit):
        return np.log(fit["intervals"]["A"][1] / fit["intervals"]["A"][0])

    assert fit["intervals"]["alpha"][0] < 0.5 < fit["intervals"]["alpha"][1]
    assert fit["intervals"]["A"][0] < 500 < fit["intervals"]["A"][1]
    assert width(fit) > 1.5 * width(alone)


def test_over_sizes_only_the_ends_of_runs_are_fitted(lab_fit):
    table = along_runs().assign(parameters=lambda t: 1e5 * 4.0 ** (t["seed"] % 3))
    code, out, _ = lab_fit(table, "--form", "power", "--json")
    assert code == 0
    assert json.loads(out)["fits"][0]["n"] == 6


def test_points_of_two_runs_give_no_interval(lab_fit):
    _, out, _ = lab_fit(along_runs(2), "--form", "power", "--json", x="samples_seen")
    fit = json.loads(out)["fits"][0]
    assert set(fit["intervals"].values()) == {None}
    assert "power has no intervals: points of too few runs" in fit["notes"]

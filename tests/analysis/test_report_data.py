"""A study comes back from its report as it was in the ledger, and says the same."""

import html
import json
from pathlib import Path

import pandas as pd
import pytest
from safetensors.numpy import save_file

from lina_lab.analysis import gap_model
from lina_lab.analysis.comparison import UNDETERMINED
from lina_lab.analysis.findings import findings, sentences, verdicts_table
from lina_lab.analysis.report_data import make_way, read_report_data, report_data_of_ledger, write_report_data
from lina_lab.analysis.scaling import design_fits, readable_fits
from lina_lab.analysis.study_metric import metric_of
from lina_lab.errors import LabError
from lina_lab.ledger.plan import store_plan
from tests.study import AXES, PROVENANCE

FID = "eval/fid/digits-cnn"
REPORTS = Path(__file__).parents[2] / "reports"
FOUR = AXES | {"model.size": ["nano", "micro", "tiny", "small"]}


def noisy(table: pd.DataFrame) -> pd.DataFrame:
    """FID with a little noise that differs by cell, so that intervals have a width."""
    return table.assign(**{FID: table[FID] * [1 + 0.002 * (i * 7 % 5) for i in range(len(table))]})


def plain(table: pd.DataFrame) -> pd.DataFrame:
    """Whatever is missing is None."""
    return table.astype(object).where(table.notna(), None)


@pytest.mark.slow
def test_a_report_holds_the_whole_study(study, tmp_path):
    made = study(seeds=[1, 2])
    gated = made.folder(0)
    weights = {"decoder.0.attention.gates.key": pd.Series(range(40), dtype="float32").to_numpy().reshape(2, 20)}
    save_file(weights, gated / "ema.safetensors")
    before = report_data_of_ledger(made.runs, made.stored)
    write_report_data(before, tmp_path / "out")
    after = read_report_data(tmp_path / "out")
    assert after.plan == before.plan
    assert after.settings == before.settings
    assert after.settings["training.steps"] == [100]
    assert after.settings["model.size"] == ["nano", "micro"]
    for name in ("table", "curves", "gates"):
        pd.testing.assert_frame_equal(plain(getattr(after, name)), plain(getattr(before, name)))
    assert before.gates["weight"].tolist() == list(range(40))
    assert set(before.gates["key"]) == {gated.name}
    assert after.trials.empty
    assert after.table.attrs["axes"] == list(made.stored.axes)


@pytest.mark.parametrize("folder", sorted(path.parent.name for path in REPORTS.glob("*/plan.json")))
def test_committed_reports_are_read_with_where_their_results_come_from(folder):
    data = read_report_data(REPORTS / folder)
    assert {cell.key for cell in data.plan.cells} == set(data.table["key"])
    page = html.unescape((REPORTS / folder / "index.html").read_text())
    told = {name: words for name, words in data.provenance.items() if name not in {"hardware", "Python"}}
    assert len(told) == 7
    assert all(words in page for words in told.values())


def test_a_folder_that_is_no_report_is_named_with_what_makes_one(tmp_path):
    with pytest.raises(LabError, match=r"is no report: it has no plan.json; lab report SWEEP writes one"):
        read_report_data(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 half of one"])
def test_a_damaged_file_of_samples_is_named(study, tmp_path, content):
    made = study()
    write_report_data(report_data_of_ledger(made.runs, made.stored), tmp_path)
    (tmp_path / "samples.npz").write_bytes(content)
    with pytest.raises(LabError, match=r"samples\.npz: must be a whole \.npz"):
        read_report_data(tmp_path)


@pytest.mark.slow
def test_a_report_of_other_cells_is_moved_aside_whole_and_one_that_has_grown_is_not(study, tmp_path):
    made = study()
    out = tmp_path / "reports" / "fake"
    whole = report_data_of_ledger(made.runs, made.stored)
    few = report_data_of_ledger(
        made.runs, store_plan(made.runs, made.plan._replace(cells=made.plan.cells[:3]), PROVENANCE)
    )
    assert make_way(out, few.plan) is None
    write_report_data(few, out)
    assert make_way(out, few.plan) is None
    assert make_way(out, whole.plan) is None
    for count, ending in enumerate(("", "-2", "-3")):
        write_report_data(whole, out)
        (out / "notebook.ipynb").write_text(str(count))
        aside = make_way(out, few.plan)
        assert aside == out.with_name(f"fake@{made.stored.id}{ending}")
        assert (aside / "notebook.ipynb").read_text() == str(count)
        assert read_report_data(aside).plan == made.stored
        assert not out.exists()


def test_a_damaged_plan_of_a_report_is_moved_aside_and_a_report_that_one_stands_in_is_refused(
    study, tmp_path, monkeypatch
):
    made = study()
    out = tmp_path / "out"
    write_report_data(report_data_of_ledger(made.runs, made.stored), out)
    few = made.stored._replace(cells=made.stored.cells[:3])
    monkeypatch.chdir(out)
    with pytest.raises(LabError, match=r"plan.json: is of another plan, out@.*give --out another folder"):
        make_way(Path(), few)
    monkeypatch.chdir(tmp_path)
    (out / "plan.json").write_text("{")
    assert make_way(Path("out"), few) == Path("out@damaged")


def test_a_report_does_not_say_where_the_sweeps_file_lies(study, tmp_path):
    made = study()
    plan = made.stored._replace(file="../secret/gates.yaml")
    write_report_data(report_data_of_ledger(made.runs, plan), tmp_path / "out")
    assert "secret" not in (tmp_path / "out" / "plan.json").read_text()


@pytest.mark.slow
def test_every_value_is_held_against_the_first_of_its_axis_with_all_else_equal(study, monkeypatch):
    monkeypatch.setattr(gap_model, "DRAWS", 10)
    made = study(seeds=[0, 1, 2], axes=FOUR)
    table = noisy(report_data_of_ledger(made.runs, made.stored).table)
    found, missing = findings(table, made.stored, metric_of(FID))
    assert missing == []
    assert [finding.name for finding in found] == [
        "normalization subtraction against division",
        "conv_kernel 5 against 0",
    ]
    others = [[contrast.pair.others for contrast in finding.contrasts] for finding in found]
    assert others == [
        [{"conv_kernel": 0}, {"conv_kernel": 5}],
        [{"normalization": "division"}, {"normalization": "subtraction"}],
    ]
    convolution = found[1].contrasts[0].verdict
    assert convolution.gaps[-1].ratio.mean == pytest.approx(0.5, rel=0.01)
    assert convolution.better.winner == "A"
    assert convolution.level == pytest.approx(1 - 0.05 / 4)  # four contrasts hold together
    assert convolution.scales_better.winner == UNDETERMINED
    text = " ".join(sentences(found[1]))
    assert "at 6.4M parameters FID is 0.5" in text
    assert "lower beyond chance in 2 of 2 designs, higher in 0." in text
    rows = verdicts_table(found)
    assert rows["better"].tolist() == ["B", "B", "A", "A"]
    assert rows["ratio"].tolist() == [c.verdict.gaps[-1].ratio.mean for f in found for c in f.contrasts]


@pytest.mark.slow
def test_a_design_without_results_is_not_compared_and_named(study):
    made = study(seeds=[0, 1])
    for index in (0, 1, 2, 3):
        made.unfinish(index, "waiting")
    found, missing = findings(report_data_of_ledger(made.runs, made.stored).table, made.stored, metric_of(FID))
    assert [len(finding.contrasts) for finding in found] == [1, 1]
    assert len(missing) == 2
    assert missing[0].startswith("normalization subtraction against division, no conv: ")


@pytest.mark.slow
def test_every_design_has_both_curves_where_its_sizes_allow_them(study):
    made = study(seeds=[0, 1], axes=FOUR)
    table = report_data_of_ledger(made.runs, made.stored).table
    exact = table.assign(**{FID: 3 + 1e4 * table["parameters"] ** -0.5})
    fits = design_fits(exact, made.stored, FID)
    assert fits["form"].tolist() == ["power", "offset"] * 4
    offset = fits[fits["form"] == "offset"]
    assert offset["E"].to_numpy() == pytest.approx(3, rel=1e-3)
    assert offset["alpha"].to_numpy() == pytest.approx(0.5, rel=1e-3)
    assert offset["E_identified"].all()
    power = fits[fits["form"] == "power"]
    errors = power["rolling_errors"].map(json.loads)
    assert {len(held) for held in errors} == {2}  # the third and the fourth size
    assert [held[-1][1] for held in errors] == power["holdout_error"].tolist()
    two = design_fits(table[table["size"].isin(["nano", "micro"])], made.stored, FID)
    assert two["form"].tolist() == ["power"] * 4
    assert two["notes"].str.contains("nothing checks the law").all()
    rising = table.assign(**{FID: 3 * table["parameters"] ** 0.2})
    fits = design_fits(rising, made.stored, FID)
    assert not fits.loc[fits["form"] == "offset", "E_identified"].any()
    shown = readable_fits(fits, ["normalization", "conv_kernel"])
    assert set(shown.loc[fits["form"] == "offset", "E (95 %)"]) == {"not identified"}
    assert shown["α (95 %)"].str.match(r"-0.2 \(-0.2 to -0.2\)").all()

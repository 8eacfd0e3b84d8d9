"""Every measurement of a cell is one row, wherever it is kept, and a point of a scan is one row, not two."""

import json
import logging

import pandas as pd
import pytest

from lina_lab import cost
from lina_lab.analysis.evaluations import evaluations_table
from lina_lab.analysis.fid_points import fid_points, scans_table
from lina_lab.analysis.guidance import add_point
from lina_lab.analysis.report_data import read_report_data, report_data_of_ledger, write_report_data
from lina_lab.analysis.table import extractor_name
from lina_lab.design.extractors import FEATURES
from lina_lab.errors import LabError
from lina_lab.figures.sampling import scanned_cells, write_sampling
from lina_lab.ledger.cells import read_experiment
from lina_lab.ledger.result import add_to_result
from tests.analysis.test_guidance import point

FID = "eval/fid/digits-cnn"


def evaluate(folder, name, fid, *, seed=0, num_samples=500, **sampling):
    """Write what `lab evaluate` writes."""
    experiment = read_experiment(folder)
    sampling = experiment.sampling.model_dump() | sampling
    drawn = {name: value for name, value in sampling.items() if name != "precision"}
    record = {
        "metrics": {FID: fid, "eval/kid/digits-cnn": fid / 100},
        "fid_deviations": [0.3, -0.4],
        "evaluation": {
            "extractor": "digits-cnn-1a2b3c4d",
            "num_generated": num_samples,
            "data_sha256": "d" * 64,
            **drawn,
            "sampling_precision": sampling["precision"],
            "weights": "ema",
        },
        "settings": {"sampling": sampling, "evaluation": {"num_samples": num_samples}, "seed": seed},
        "seconds": {"sampling": 2.0, "evaluation": 0.5},
    }
    path = folder / "evaluations" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record))


@pytest.fixture
def measured(study):
    """A study whose first cell was measured in every way, and whose others only by themselves."""
    made = study()
    folder = made.folder(0)
    (folder / "trained.json").write_text(json.dumps({"seconds": 1.0, "sha256": "a" * 64}))
    evaluate(folder, "0123456789ab", 3.5, guidance_scale=2.0, guidance_min=2.0)
    # A point of a scan, and the file that it was made from.
    add_point(folder / "guidance.csv", point(1.5, fid=3.25, guidance_min=1.0, recall=0.5))
    drawn = {"autoregressive_steps": 16, "flow_steps": 25, "precision": "fp32"}
    evaluate(folder, "1123456789ab", 3.25, guidance_scale=1.5, **drawn)
    (folder / "evaluations" / "failed.json").write_text(json.dumps({"state": "failed", "failed": "NaN"}))
    record = {"seed": 3, "sampling": read_experiment(folder).sampling.model_dump(), "each": 4, "num_prompts": 50}
    add_to_result(folder, "eval/geneval", {"eval/geneval/overall": 0.25}, record)
    return made


def test_every_measurement_is_a_row_with_what_it_was_measured_with(measured):
    folder = measured.folder(0)
    table = evaluations_table([folder])
    assert table["source"].tolist() == ["result", "geneval", "evaluate", "guidance"]
    assert set(table["key"]) == {folder.name}
    rows = {row["source"]: row for row in table.to_dict("records")}
    assert rows["result"][FID] == 80.0
    assert pd.isna(rows["result"]["eval/geneval/overall"])
    assert rows["geneval"]["eval/geneval/overall"] == 0.25
    assert (rows["geneval"]["seed"], rows["geneval"]["num_samples"]) == (3, 200)
    assert pd.isna(rows["geneval"][FID])
    assert (rows["evaluate"][FID], rows["evaluate"]["guidance_scale"], rows["evaluate"]["num_samples"]) == (3.5, 2, 500)
    assert rows["evaluate"]["fid_sd"] == pytest.approx((0.125) ** 0.5)
    assert rows["evaluate"]["seconds"] == 2.5
    assert rows["evaluate"]["weights_sha256"] == "a" * 12
    experiment = read_experiment(folder)
    assert rows["evaluate"]["flops_sampling"] == pytest.approx(
        2 * cost.sampling_flops(experiment), rel=1e-3
    )  # with and without a label
    assert (rows["guidance"][FID], rows["guidance"]["eval/recall/digits-cnn"]) == (3.25, 0.5)
    assert rows["guidance"]["weights_sha256"] == "0123456789ab"
    assert rows["evaluate"]["flow_steps_last"] == rows["guidance"]["flow_steps_last"] == 25


def test_a_damaged_file_is_named_and_no_report_fails_for_it(measured, caplog):
    path = measured.folder(0) / "evaluations" / "0123456789ab.json"
    path.write_text("{")
    with pytest.raises(LabError, match=r"0123456789ab\.json: damaged: .*; delete it, and lab evaluate"):
        scans_table([measured.folder(0)])
    with caplog.at_level(logging.WARNING):
        table = report_data_of_ledger(measured.runs, measured.stored).evaluations
    assert "0123456789ab.json: damaged" in caplog.text
    assert table.empty


@pytest.mark.slow
def test_a_report_has_the_table_where_it_says_more_than_the_results(measured, tmp_path):
    out = tmp_path / "out"
    write_report_data(report_data_of_ledger(measured.runs, measured.stored), out)
    before, after = report_data_of_ledger(measured.runs, measured.stored).evaluations, read_report_data(out).evaluations
    assert after["source"].value_counts().to_dict() == {"result": 8, "geneval": 1, "evaluate": 1, "guidance": 1}
    assert scanned_cells(after) == scanned_cells(before)
    folder = measured.folder(0)
    (folder / "guidance.csv").unlink()
    for path in folder.glob("evaluations/*.json"):
        path.unlink()
    assert len(report_data_of_ledger(measured.runs, measured.stored).evaluations) == 9


@pytest.mark.slow
def test_results_alone_make_no_file_and_a_file_of_an_earlier_report_goes(study, tmp_path):
    made = study()
    data = report_data_of_ledger(made.runs, made.stored)
    assert data.evaluations.empty
    (tmp_path / "evaluations.csv").write_text("old")
    write_report_data(data, tmp_path)
    assert not (tmp_path / "evaluations.csv").exists()


@pytest.mark.slow
def test_what_lab_evaluate_measured_is_a_point_of_the_sampling_figure(measured, tmp_path):
    folder = measured.folder(0)
    for scale in (1.0, 2.0, 4.0):
        evaluate(folder, f"{scale:012}", 5 - scale / 2, guidance_scale=scale, autoregressive_steps=16)
    table = scans_table([folder])
    points = [p for p in fid_points(table) if p.source == "evaluate" and p.autoregressive_steps == 16]
    assert [(p.guidance_scale, p.fid) for p in points] == [(1.0, 4.5), (2.0, 4.0), (4.0, 3.0)]
    paths = write_sampling(table, tmp_path, {})
    assert [path.name for path in paths] == ["guidance_scale.png", "sampling.csv"]
    written = pd.read_csv(paths[-1])
    assert written["source"].value_counts().to_dict() == {"evaluate": 4, "guidance": 1}
    evaluate(folder, "other", 9.0, guidance_scale=1.0, num_samples=100)  # cannot be compared with the scan
    evaluate(folder, "further", 8.0, guidance_scale=2.0, num_samples=100)
    again = write_sampling(scans_table([folder]), tmp_path / "again", {})
    assert again[0].read_bytes() == paths[0].read_bytes()


def test_a_cell_that_was_sampled_in_one_way_alone_is_named(study):
    made = study()
    with pytest.raises(LabError, match=rf"guidance\.csv: no points yet; lab guidance {made.folder(0).name} measures"):
        scans_table([made.folder(0)])


@pytest.mark.parametrize("name", sorted(FEATURES))
def test_the_id_of_an_extractor_has_its_name(name):
    assert extractor_name(f"{name}-1a2b3c4d") == name

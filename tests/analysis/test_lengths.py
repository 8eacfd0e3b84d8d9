"""Points along a run in tables: rows of their own, which nothing takes for cells but what asks about length."""

import pandas as pd
import pytest

from lina_lab.analysis.comparison import compare_designs
from lina_lab.analysis.lengths import before_the_end, ends, rows_about, runs
from lina_lab.analysis.match_cells import Columns
from lina_lab.analysis.report_data import read_report_data, report_data_of_ledger, write_report_data
from lina_lab.analysis.table import all_rows, results_table
from lina_lab.analysis.table_file import read_table
from lina_lab.ledger.result import read_result
from tests.study import FID, TWO


def test_a_point_is_a_row_of_its_run_with_its_own_length_and_metrics(study):
    made = study(axes=TWO)
    assert "at" not in all_rows(made.runs, made.stored)
    made.add_points()
    rows = all_rows(made.runs, made.stored)
    assert rows["key"].tolist() == [made.plan.cells[i].key for i in (0, 1, 0, 0, 1, 1)]
    first = rows[rows["key"] == rows["key"][0]].set_index("at")
    assert first.index.tolist() == [1, 0.25, 0.5]
    assert first["steps"].tolist() == [100, 25, 50]
    assert first["samples_seen"].tolist() == [800, 200, 400]
    assert first["flops_training"].tolist() == [6e5, 1.5e5, 3e5]
    assert first[FID].tolist() == pytest.approx([80, 160, 80 * 2**0.5])
    assert first["ema_share"].tolist() == [0.25, 1, 0.5]
    assert first["num_generated"].nunique() == first["parameters"].nunique() == 1
    assert first["val/loss"].isna().tolist() == [False, True, True]  # those of the fake study have none


@pytest.mark.slow
def test_cells_are_compared_at_the_ends_of_runs(study):
    made = study(seeds=[0, 1, 2])
    before = results_table(made.runs, made.stored)
    columns = Columns(x="parameters", y=FID, by=("normalization", "conv_kernel"), pair="seed")

    def verdict(table):
        return compare_designs(table, columns, ["division", "5"], ["division", "0"]).as_json()

    made.add_points()
    rows = all_rows(made.runs, made.stored)
    pd.testing.assert_frame_equal(results_table(made.runs, made.stored).drop(columns="at"), before)
    assert len(rows) == 3 * len(before)
    assert verdict(rows) == verdict(before)


def test_only_a_question_of_length_takes_the_points(study):
    made = study(axes=TWO)
    made.add_points()
    rows = all_rows(made.runs, made.stored)
    assert len(rows_about(rows, ["parameters"])) == 2
    assert len(rows_about(rows, ["parameters", "samples_seen"])) == len(rows_about(rows, ["flops_training"])) == 6
    assert runs(rows).tolist() == [runs(rows)[i] for i in (0, 1, 0, 0, 1, 1)]
    assert runs(ends(rows)) is None
    foreign = pd.DataFrame({"at": ["home", "sea"], "fid": [1.0, 2.0]})
    assert ends(foreign) is foreign
    assert before_the_end(foreign).empty


def test_a_report_keeps_ends_and_points_in_one_table(study, tmp_path):
    made = study(axes=TWO)
    made.add_points()
    data = report_data_of_ledger(made.runs, made.stored)
    write_report_data(data, tmp_path)
    table = read_table(tmp_path / "table.csv")
    assert table["at"].tolist() == [1, 1, 0.25, 0.5, 0.25, 0.5]
    again = read_report_data(tmp_path)
    assert (len(again.table), len(again.points)) == (2, 4)
    assert again.points[FID].tolist() == data.points[FID].tolist()
    assert data.curves.equals(again.curves)


def test_a_result_without_points_is_stored_as_before(study):
    made = study(axes=TWO)
    before = (made.folder(0) / "result.json").read_text()
    assert '"points"' not in before
    made.add_points()
    result = read_result(made.folder(0))
    assert [(point.at, point.step) for point in result.points] == [(0.25, 25), (0.5, 50)]

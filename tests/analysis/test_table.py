"""The results table and the comparisons made from it."""

from dataclasses import replace

import pandas as pd
import pytest

from lina_lab.analysis.provenance_facts import facts_of_ledger, facts_of_table
from lina_lab.analysis.table import (
    main_metric,
    readable,
    refuse_mixtures,
    results_table,
    to_markdown,
    unequal_exposure,
    write_table,
)
from lina_lab.analysis.table_file import read_table
from lina_lab.errors import LabError
from lina_lab.ledger import result
from lina_lab.ledger.result import Continued, read_result

FID = "eval/fid/digits-cnn"


@pytest.mark.slow
def test_a_row_for_each_cell_in_the_order_of_the_plan(study):
    made = study(seeds=[0, 1])
    table = results_table(made.runs, made.stored)
    assert table["key"].tolist() == [cell.key for cell in made.plan.cells]
    assert table["conv_kernel"].tolist()[:6] == [0, 0, 0, 0, 5, 5]
    assert table[FID].iloc[0] == 80.0
    assert table["num_generated"].unique().tolist() == [1000]


def test_what_is_missing_is_missing_and_never_zero(study):
    made = study()
    made.unfinish(2, "failed", "no memory")
    made.change(3, metrics={FID: 3.0})
    table = results_table(made.runs, made.stored)
    assert table["state"].tolist()[:4] == ["done", "done", "failed", "done"]
    assert table["reason"].iloc[2] == "no memory"
    assert pd.isna(table[FID].iloc[2])
    assert pd.isna(table["eval/kid/digits-cnn"].iloc[3])
    assert "| nano |" in to_markdown(readable(table, made.stored.axes))
    assert " nan " not in to_markdown(readable(table, made.stored.axes))


def test_a_damaged_result_is_a_failed_row_and_the_others_stay(study):
    made = study()
    (made.folder(0) / "result.json").write_text('{"schema": 1, "trunc')
    table = results_table(made.runs, made.stored)
    assert table["state"].tolist()[:2] == ["failed", "done"]
    assert "damaged" in table["reason"].iloc[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_generated", 500),
        ("extractor", "digits-cnn-other"),
        ("guidance_scale", 2.0),
        ("sampling_precision", "bf16"),
        ("flow_steps_last", 5),
    ],
)
def test_values_measured_differently_are_refused_by_name(study, name, value):
    made = study()
    table = results_table(made.runs, made.stored)
    refuse_mixtures(table, FID)
    table.loc[1, name] = value
    with pytest.raises(LabError, match=rf"different {name} cannot be compared: .*{value}"):
        refuse_mixtures(table, FID)


def test_values_against_another_reference_are_refused(study):
    made = study()
    table = results_table(made.runs, made.stored).assign(reference_sha256="c0ffee")
    refuse_mixtures(table, FID)
    table.loc[1, "reference_sha256"] = "0ther"
    with pytest.raises(LabError, match="different reference_sha256 cannot be compared: 0ther, c0ffee"):
        refuse_mixtures(table, FID)


def test_euler_steps_that_fall_are_told_from_those_that_do_not_and_older_results_had_none_that_fall(study):
    made = study()
    record = read_result(made.folder(0)).evaluation
    for index, last in ((0, None), (1, 5)):
        made.change(index, evaluation=replace(record, flow_steps_last=last))
    table = results_table(made.runs, made.stored)
    assert table["flow_steps_last"].tolist()[:4] == [25, 5, 25, 25]
    with pytest.raises(LabError, match="different flow_steps_last cannot be compared: 25, 5"):
        refuse_mixtures(table, FID)


def test_an_axis_of_euler_steps_keeps_its_own_values(study):
    made = study()
    first, second, *_ = made.stored.cells
    cells = [c._replace(values=c.values | {"flow_steps_last": last}) for c, last in ((first, None), (second, 5))]
    axes = made.stored.axes | {"flow_steps_last": "sampling.flow_steps_last"}
    table = results_table(made.runs, made.stored._replace(cells=cells, axes=axes))
    assert table["flow_steps_last"].isna().tolist() == [True, False]
    refuse_mixtures(table, FID)


def test_the_extractor_that_decides_is_the_one_of_the_record_where_others_measured_the_same_images(study):
    made = study()
    table = results_table(made.runs, made.stored)
    both = table.assign(**{"eval/fid/inception": table[FID] + 1})
    assert main_metric(both) == FID
    shown = readable(both, ["normalization"])
    assert {"FID (digits-cnn)", "FID (inception)"} <= set(shown)
    assert "FID" in readable(table, ["normalization"])


def test_two_extractors_are_refused_and_none_is_said(study):
    made = study()
    made.change(1, metrics={"eval/fid/inception": 9.0})
    with pytest.raises(LabError, match="different extractors"):
        main_metric(results_table(made.runs, made.stored))
    for index in range(8):
        made.unfinish(index, "waiting")
    with pytest.raises(LabError, match="no cell has a FID yet"):
        main_metric(results_table(made.runs, made.stored))


def test_unequal_numbers_of_samples_seen_are_warned_of(study):
    made = study()
    assert unequal_exposure(results_table(made.runs, made.stored)) is None
    made.change(0, samples_seen=1600)
    assert "800, 1,600" in unequal_exposure(results_table(made.runs, made.stored))


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_comes_back_from_a_file_as_it_was(study, tmp_path, ending):
    made = study()
    made.unfinish(2, "failed", "no memory")
    table = results_table(made.runs, made.stored).assign(kv_gate=["none", "key"] * 4)
    write_table(table, tmp_path / f"t.{ending}")
    again = read_table(tmp_path / f"t.{ending}").reset_index(drop=True)
    pd.testing.assert_frame_equal(again, table, check_dtype=False)
    assert set(again["kv_gate"]) == {"none", "key"}


def test_an_axis_of_words_and_numbers_is_words_in_parquet(tmp_path):
    write_table(pd.DataFrame({"axis": ["none", 3], "y": [1.0, 2.0]}), tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet")["axis"].tolist() == ["none", "3"]


def test_another_kind_of_file_and_a_damaged_one_are_named(tmp_path):
    with pytest.raises(LabError, match=r"t\.xlsx: a table's name must end in \.csv or \.parquet, not \.xlsx"):
        write_table(pd.DataFrame({"a": [1]}), tmp_path / "t.xlsx")
    (tmp_path / "t.parquet").write_text("no parquet")
    with pytest.raises(LabError, match=r"t\.parquet must be Parquet: "):
        read_table(tmp_path / "t.parquet")


def test_every_result_is_read_and_checked_once(study, monkeypatch):
    made, read, parse = study(), [], result.parse_result

    def counted(text, path):
        read.append(path)
        return parse(text, path)

    monkeypatch.setattr(result, "parse_result", counted)
    results_table(made.runs, made.stored)
    assert read == [made.runs / cell.key / "result.json" for cell in made.plan.cells]


def test_a_continued_cell_says_where_it_began_and_earlier_seconds_are_counted_once(study):
    made = study()
    without = results_table(made.runs, made.stored)
    assert not {"continued_from", "continued_step", "seconds_before"} & set(without)
    made.change(1, continued=Continued(cell="0123456789ab", step=50, seconds=4.0))
    table = results_table(made.runs, made.stored)
    assert table.loc[1, ["continued_from", "continued_step", "seconds_before"]].tolist() == ["0123456789ab", 50, 4.0]
    assert table["continued_from"].isna().sum() == len(table) - 1
    assert table.loc[1, "training_seconds"] == 10.0, "of the whole training"
    minutes = f"{(11.5 * len(table) - 4) / 60:.1f} minutes of one core"
    assert facts_of_ledger(made.runs, table)["time"].startswith(minutes)
    assert facts_of_table(table)["time"].startswith(minutes)

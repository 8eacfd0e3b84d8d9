"""The largest size comes last, and is forecast once, before its first cell starts."""

from pathlib import Path

import pytest

from lina_lab.ledger.forecasts import forecasts_of
from lina_lab.sweep.foresight import Foresight, largest
from lina_lab.sweep.longer import in_order
from lina_lab.sweep.run import Steering
from tests.analysis.test_forecast import THREE
from tests.study import AXES, FakeStudy
from tests.sweep.test_local_engine import plan, sweep


@pytest.fixture
def half_done(tmp_path):
    """A study whose largest size has no results."""
    made = FakeStudy(tmp_path / "runs", [0, 1], THREE)
    for index, cell in enumerate(made.plan.cells):
        if cell.values["size"] == "tiny":
            made.unfinish(index, "waiting")
    return made


def sizes_of(cells) -> list[str]:
    return [cell.values["size"] for cell in cells]


def foresight(made: FakeStudy) -> Foresight:
    last = largest(made.plan.cells, made.planned.experiments.__getitem__)
    return Foresight(made.runs, lambda: made.stored, lambda: last)


def folder_of(made: FakeStudy, size: str) -> Path:
    return made.folder(sizes_of(made.plan.cells).index(size))


def test_the_largest_size_is_that_of_most_parameters_however_short_it_is_trained():
    planned = plan(model__size=["micro", "nano", "tiny"], training__steps=[6, 900])
    found = largest(planned.plan.cells, planned.experiments.__getitem__)
    assert {cell.values["size"] for cell in planned.plan.cells if cell.key in found} == {"tiny"}
    cells = in_order(planned.plan.cells, {}, found)
    assert sizes_of(cells) == ["micro", "nano", "micro", "nano", "tiny", "tiny"]
    assert [cell.values["steps"] for cell in cells] == [900, 900, 6, 6, 900, 6]


@pytest.mark.parametrize("axes", [{"model__size": ["tiny"]}, {"training__steps": [6, 900]}])
def test_a_sweep_of_one_size_has_no_largest(axes):
    planned = plan(**axes)
    assert largest(planned.plan.cells, planned.experiments.__getitem__) == set()


def test_a_sweep_hands_out_the_largest_size_last(tmp_path):
    planned = plan(model__size=["micro", "nano", "tiny"])
    folders, _ = Steering(tmp_path, planned, 0).advance()
    keys = {cell.key: cell.values["size"] for cell in planned.plan.cells}
    assert [keys[folder.name] for folder in folders] == ["micro", "nano", "tiny"]


def test_the_first_cell_of_the_largest_size_is_forecast_and_no_other_calls_for_it_again(half_done, capsys):
    look = foresight(half_done).before
    look(folder_of(half_done, "micro"))
    assert forecasts_of(half_done.runs, half_done.stored) == ()
    look(folder_of(half_done, "tiny"))
    (made,) = forecasts_of(half_done.runs, half_done.stored)
    assert sizes_of(made.cells) == ["tiny"] * 4
    assert "fake: 4 cells are forecast from 8 of 8 smaller cells: " in capsys.readouterr().out
    look(folder_of(half_done, "tiny"))
    foresight(half_done).before(folder_of(half_done, "tiny"))
    assert len(forecasts_of(half_done.runs, half_done.stored)) == 1
    assert capsys.readouterr().out == ""


def test_it_is_made_again_when_the_last_smaller_cell_has_ended_and_no_more(half_done, capsys):
    late = sizes_of(half_done.plan.cells).index("micro")
    text = (half_done.folder(late) / "result.json").read_bytes()
    half_done.unfinish(late, "running")
    look = foresight(half_done)
    look.before(folder_of(half_done, "tiny"))
    look.after([folder_of(half_done, "nano")])
    assert "5 cells are forecast from 7 of 8 smaller cells" in capsys.readouterr().out
    (half_done.folder(late) / "result.json").write_bytes(text)
    look.after([half_done.folder(late)])
    assert "4 cells are forecast from 8 of 8 smaller cells" in capsys.readouterr().out
    look.after([half_done.folder(late)])
    assert len(forecasts_of(half_done.runs, half_done.stored)) == 2


def test_an_early_forecast_is_no_reason_to_make_none_before_the_largest_size(half_done):
    late = sizes_of(half_done.plan.cells).index("micro")
    text = (half_done.folder(late) / "result.json").read_bytes()
    half_done.unfinish(late, "waiting")
    foresight(half_done).before(folder_of(half_done, "tiny"))
    (half_done.folder(late) / "result.json").write_bytes(text)
    foresight(half_done).before(folder_of(half_done, "tiny"))
    assert [len(made.data) for made in forecasts_of(half_done.runs, half_done.stored)] == [7, 8]


def test_once_the_largest_size_has_a_result_it_is_not_made_again(half_done):
    late, first = (sizes_of(half_done.plan.cells).index(size) for size in ("micro", "tiny"))
    text = (half_done.folder(late) / "result.json").read_bytes()
    half_done.unfinish(late, "waiting")
    look = foresight(half_done)
    look.before(half_done.folder(first))
    half_done.change(first)
    (half_done.folder(late) / "result.json").write_bytes(text)
    look.after([half_done.folder(late)])
    assert len(forecasts_of(half_done.runs, half_done.stored)) == 1


def test_then_the_start_of_a_cell_that_was_forecast_reads_nothing(half_done, capsys, monkeypatch):
    """Of a grid of thousands every start would else read the states of all."""
    first, *others = (half_done.folder(i) for i, size in enumerate(sizes_of(half_done.plan.cells)) if size == "tiny")
    look = foresight(half_done)
    look.before(first)
    half_done.change(sizes_of(half_done.plan.cells).index("tiny"))
    look.before(others[0])
    capsys.readouterr()
    monkeypatch.setattr("lina_lab.sweep.foresight.read_status", None)
    monkeypatch.setattr("lina_lab.sweep.foresight.forecasts_of", None)
    for folder in others:
        look.before(folder)
    assert capsys.readouterr().out == ""


def test_a_forecast_that_cannot_be_made_is_told_in_a_line_and_stops_nothing(half_done, capsys, monkeypatch):
    def fail(*_: object) -> None:
        raise RuntimeError("the disk is full\nand more")

    monkeypatch.setattr("lina_lab.analysis.forecast.write_forecast", fail)
    look = foresight(half_done)
    look.before(folder_of(half_done, "tiny"))
    look.before(folder_of(half_done, "tiny"))
    assert capsys.readouterr().out == "fake: no forecast of its largest size: the disk is full\n"


def test_sizes_that_cannot_be_read_stop_nothing_either(half_done, capsys):
    def fail() -> set[str]:
        raise OSError("no such disk")

    look = Foresight(half_done.runs, lambda: half_done.stored, fail)
    look.before(folder_of(half_done, "tiny"))
    assert capsys.readouterr().out == "fake: no forecast of its largest size: no such disk\n"


def test_too_few_results_are_told_with_what_is_missing(tmp_path, capsys):
    made = FakeStudy(tmp_path / "runs", [0], AXES)
    for index, cell in enumerate(made.plan.cells):
        if cell.values["size"] == "micro":
            made.unfinish(index, "waiting")
    foresight(made).before(folder_of(made, "micro"))
    assert "no forecast from 4 of 4 smaller cells: division at" in capsys.readouterr().out
    assert forecasts_of(made.runs, made.stored) == ()


@pytest.mark.slow
def test_a_sweep_forecasts_its_largest_size_by_itself_before_it_has_a_result(tmp_path, capsys):
    planned = plan(model__size=["nano", "micro", "pico"])
    planned = planned._replace(plan=planned.plan._replace(metric=planned.plan.metric._replace(name="val/loss")))

    ended = sweep(tmp_path, planned, workers=1)
    assert [finished.state for finished in ended] == ["done"] * 3
    assert "test: no forecast from 2 of 2 smaller cells: division at" in capsys.readouterr().out

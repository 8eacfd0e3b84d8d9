"""The ledger: nothing half written, nothing invented, everything damaged named."""

import json
import math
from dataclasses import replace

import pytest

from lina_lab.config.experiment import Experiment
from lina_lab.errors import LabError
from lina_lab.ledger import cells, plan, result, status
from lina_lab.ledger.leases import Watch, claim, forgive
from lina_lab.ledger.metrics import append_metrics, read_metrics, rewind_metrics
from tests.study import fake_result

EXPERIMENT = Experiment.model_validate(
    {
        "name": "x",
        "model": {"size": "nano", "patch": 2},
        "training": {"steps": 5, "batch_size": 2, "learning_rate": 1e-3},
    }
)

RESULT = fake_result("0123456789ab", 0, 100, 5.0)


@pytest.fixture
def cell(tmp_path):
    return cells.create_cell(tmp_path, EXPERIMENT)


def test_a_cell_comes_back_as_it_was_written(cell, tmp_path):
    assert cells.read_experiment(cell) == EXPERIMENT
    assert cells.create_cell(tmp_path, EXPERIMENT) == cell


def test_metrics_come_back_exactly_and_a_half_written_row_is_passed_over(cell):
    assert read_metrics(cell) == []
    append_metrics(cell, 3, {"train/loss": 0.1 + 0.2, "val/loss": 1e-30})
    with (cell / "metrics.csv").open("a") as file:
        file.write("4,train/lo")
    rows = read_metrics(cell)
    assert [(r.step, r.metric, r.value) for r in rows] == [(3, "train/loss", 0.1 + 0.2), (3, "val/loss", 1e-30)]


def test_a_damaged_row_of_metrics_is_named_with_its_line(cell):
    append_metrics(cell, 3, {"train/loss": 1.0})
    with (cell / "metrics.csv").open("a") as file:
        file.write("4,train/loss,abc,1.0\n")
    with pytest.raises(LabError, match=r"metrics\.csv:3: must be step,metric,value,time"):
        read_metrics(cell)


def test_rewinding_drops_later_rows_and_keeps_the_others_exactly(cell):
    for step in (2, 4, 6):
        append_metrics(cell, step, {"train/loss": step / 3})
    before = read_metrics(cell)
    rewind_metrics(cell, 4)
    assert read_metrics(cell) == before[:2]
    append_metrics(cell, 6, {"train/loss": 2.0})
    assert [r.step for r in read_metrics(cell)] == [2, 4, 6]


def test_a_result_leaves_out_what_is_not_finite(cell):
    result.write_result(cell, replace(RESULT, metrics={"a": 1.5, "b": math.nan, "c": math.inf}))
    assert result.read_result(cell).metrics == {"a": 1.5}
    assert result.is_done(cell)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[: len(text) // 2], "damaged"),
        (lambda text: "", "damaged"),
        (lambda text: text.replace("1.5", "1.6"), "checksum is wrong"),
        (lambda text: text.replace('"schema": 1', '"schema": 0'), "reads schema 1, not 0"),
        (lambda text: "[1, 2]", "damaged"),
        (lambda text: "\x00" * 40, "damaged"),
    ],
)
def test_a_damaged_result_is_named_and_set_aside(cell, damage, message):
    result.write_result(cell, replace(RESULT, metrics={"a": 1.5}))
    path = cell / "result.json"
    path.write_text(damage(path.read_text()))
    with pytest.raises(LabError, match=message):
        result.read_result(cell)
    assert status.read_status(cell).state == "failed"
    assert not result.is_done(cell)
    assert not path.exists()
    assert (cell / "result.json.damaged").exists()


def test_a_cell_is_found_by_key_start_of_key_or_folder(cell, tmp_path):
    assert cells.find_cell(tmp_path, cell.name) == cell
    assert cells.find_cell(tmp_path, cell.name[:4]) == cell
    assert cells.find_cell(tmp_path / "elsewhere", str(cell)) == cell
    with pytest.raises(LabError, match="no such cell"):
        cells.find_cell(tmp_path, "zzz")
    cells.create_cell(tmp_path, EXPERIMENT.model_copy(update={"seed": 1}))
    with pytest.raises(LabError, match="stands for 2 cells"):
        cells.find_cell(tmp_path, "")


def test_a_state_is_what_the_attempts_say(cell):
    assert status.read_status(cell) == status.CellStatus(state="waiting")
    claimed = claim(cell, Watch())
    status.write_state(cell, step=3)
    now = status.read_status(cell)
    assert (now.state, now.step, now.attempt) == ("running", 3, 1)
    (cell / "state.json").write_text("{")
    assert status.read_status(cell).state == "running"
    claimed.end("failed", "OSError: no space")
    now = status.read_status(cell)
    assert (now.state, now.reason) == ("failed", "OSError: no space")
    forgive(cell)
    assert status.read_status(cell).state == "waiting"
    claim(cell, Watch()).end("stopped")
    assert status.read_status(cell).reason == "stopped; it will continue"


def test_a_plan_comes_back_and_a_damaged_one_is_named(study):
    made = study(seeds=[0, 1])
    stored = plan.load_plan(made.runs, "fake")
    assert [c.key for c in stored.cells] == [c.key for c in made.plan.cells]
    assert (stored.name, stored.question, stored.axes) == ("fake", "Which is better?", made.plan.axes)
    path = made.runs / "sweeps" / "fake.json"
    body = json.loads(path.read_text())
    path.write_text(json.dumps(body | {"schema": 0}))
    with pytest.raises(LabError, match="reads schema 1, not 0"):
        plan.load_plan(made.runs, "fake")
    path.write_text("{")
    with pytest.raises(LabError, match="damaged"):
        plan.load_plan(made.runs, "fake")
    with pytest.raises(LabError, match=r"no sweep of that name has run .*there: fake"):
        plan.load_plan(made.runs, "other")


@pytest.mark.parametrize("text", ["12345e678901", "000000000000", "0b1010101010", "1_000e5", "null", "2026-01-01"])
def test_text_that_looks_like_another_value_stays_text(tmp_path, text):
    """Digests and names, as YAML might read them: 12345e678901 is a number to it."""
    named = EXPERIMENT.model_copy(update={"name": text, "contents": {text: "0" * 64}})
    assert cells.read_experiment(cells.create_cell(tmp_path, named)) == named

"""`lab forecast`: a table for people, one document for programs, and a message where nothing can be said."""

import json

import pytest
from typer.testing import CliRunner

from lina_lab.cli.main import app
from lina_lab.ledger.forecasts import forecasts_of
from tests.analysis.test_forecast import THREE


@pytest.fixture
def half_done(study):
    made = study([0, 1], THREE)
    for index, cell in enumerate(made.plan.cells):
        if cell.values["size"] == "tiny":
            made.unfinish(index, "waiting")
    return made


def test_it_prints_every_cell_and_ratio_and_where_it_wrote(lab, half_done):
    said = lab("forecast", "fake", "--runs", str(half_done.runs))
    lines = said.splitlines()
    assert lines[0] == "fake: FID (digits-cnn), from 8 cells that are done"
    assert sum("division, tiny" in line and "curve" in line for line in lines) == 2
    assert any(line.startswith("subtraction") and "division" in line and "tiny" in line for line in lines)
    (made,) = forecasts_of(half_done.runs, half_done.stored)
    assert lines[-1].startswith(f"wrote {half_done.runs}/sweeps/fake.forecasts/")
    assert f"{made.cells[0].predicted.low:.4g} to {made.cells[0].predicted.high:.4g}" in said


def test_json_is_the_document_that_was_written(lab, half_done):
    printed = json.loads(lab("forecast", "fake", "--json", "--runs", str(half_done.runs)))
    (made,) = forecasts_of(half_done.runs, half_done.stored)
    assert printed == {"document": "lab forecast", "version": 1} | json.loads(json.dumps(made.as_json()))


def test_what_cannot_be_forecast_is_said_and_nothing_is_written(lab, study):
    made = study([0], THREE)
    for index, cell in enumerate(made.plan.cells):
        if cell.values["size"] == "tiny":
            made.unfinish(index, "waiting")
    lines = lab("forecast", "fake", "--runs", str(made.runs)).splitlines()
    assert any(line.startswith("not forecast: division at") and "a second seed is missing" in line for line in lines)
    assert lines[-1] == "nothing was forecast, and nothing written"


def test_a_sweep_that_never_ran_is_named(tmp_path):
    result = CliRunner().invoke(app, ["forecast", "nothing", "--runs", str(tmp_path)])
    assert "no sweep of that name has run" in str(result.exception)

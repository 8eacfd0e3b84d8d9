"""One attempt at a cell: how it ends, and what is said of it."""

import threading

import pytest

from lina_lab.cell.attempt import attempt_cell
from lina_lab.ledger.cells import create_cell
from lina_lab.ledger.status import read_status
from tests.cells import experiment, rows


@pytest.mark.slow
def test_samples_that_are_not_finite_end_a_cell_as_failed_without_a_number(tmp_path, caplog):
    wild = experiment(sampling__guidance_scale=1e30)
    folder = create_cell(tmp_path, wild)
    ended, reason = attempt_cell(folder, threading.Event())
    assert (ended, reason) == ("refused", reason)  # no retry can help: the draws are the same
    assert reason.startswith("samples not finite: 50 of 50 images hold NaN or infinite values")
    status = read_status(folder)
    assert (status.state, status.reason) == ("failed", reason)
    assert not (folder / "result.json").exists()
    assert not [row for row in rows(folder) if row[1].startswith("eval/")]
    assert {step for step, metric, _ in rows(folder) if metric == "val/loss"} == {8, 12}  # training itself is sound
    assert "step 8: no sheet of samples: samples not finite" in caplog.text

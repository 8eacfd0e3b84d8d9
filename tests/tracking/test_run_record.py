"""What MLflow is given of a cell."""

import pytest

from lina_lab.ledger import result
from lina_lab.ledger.result import Continued
from lina_lab.tracking.run_record import read_facts


def test_a_result_is_read_once_and_told_as_rows_at_its_last_step(study, monkeypatch):
    made, read, parse = study(), [], result.parse_result

    def counted(text, path):
        read.append(path)
        return parse(text, path)

    monkeypatch.setattr(result, "parse_result", counted)
    cell = made.plan.cells[0]
    facts = read_facts(made.folder(0), cell, made.stored)
    assert read == [made.folder(0) / "result.json"]
    assert (facts.state, facts.tags["lab.commit"], facts.tags["lab.attempt"]) == ("done", "c0ffee", "1")
    last = {row.metric: row.value for row in facts.rows if row.step == 100}
    assert last["model/parameters_total"] == 100_000
    assert last["model/flops_training"] == 600_000
    assert last["model/samples_seen"] == 800
    assert last["seconds/training"] == 10
    assert last["eval/fid/digits-cnn"] == pytest.approx(80)


def test_a_continued_cell_says_from_which_cell_and_step_and_what_that_took(study):
    made = study()
    made.change(0, continued=Continued(cell="0123456789ab", step=50, seconds=4.0))
    facts = read_facts(made.folder(0), made.plan.cells[0], made.stored)
    assert facts.tags["lab.continued"] == "0123456789ab, step 50"
    assert {row.metric: row.value for row in facts.rows}["seconds/before"] == 4.0
    assert "lab.continued" not in read_facts(made.folder(1), made.plan.cells[1], made.stored).tags


def test_without_a_result_the_commit_is_that_of_the_plan_and_there_are_no_last_rows(study):
    made = study()
    made.unfinish(0, "running")
    facts = read_facts(made.folder(0), made.plan.cells[0], made.stored)
    assert (facts.state, facts.tags["lab.commit"]) == ("running", "c0ffee")
    assert {row.metric for row in facts.rows} == {"val/loss"}

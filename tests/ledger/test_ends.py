"""Kept ends of trainings, as the ledger tells of them."""

import json

import pytest

from lina_lab.ledger.ends import ends, write_end
from lina_lab.ledger.result import read_result


def test_ends_of_finished_cells_are_found_the_longest_first(study):
    made = study()
    for index, (training, step) in enumerate([("a", 10), ("b", 30), ("a", 20)]):
        write_end(made.folder(index), training, step, 1.5)
    assert [(end.folder.name, end.step) for end in ends(made.runs, "a")] == [
        (made.folder(2).name, 20),
        (made.folder(0).name, 10),
    ]
    assert [end.step for end in ends(made.runs)] == [30, 20, 10]
    assert ends(made.runs, "a")[0].result == read_result(made.folder(2))
    assert ends(made.runs / "nowhere") == []


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", json.dumps({"training": "a", "step": "x", "seconds": 0})])
def test_a_damaged_record_is_no_end(study, text):
    made = study()
    write_end(made.folder(0), "a", 10, 1.5)
    (made.folder(0) / "end" / "end.json").write_text(text)
    assert ends(made.runs) == []


def test_a_cell_without_a_result_or_one_that_diverged_has_no_end_to_go_on_from(study):
    made = study()
    for index in (0, 1):
        write_end(made.folder(index), "a", 10, 1.5)
    made.change(0, state="diverged", diverged_at=3)
    (made.folder(1) / "result.json").unlink()
    assert ends(made.runs) == []

"""Files of the ledger that other versions have written come back byte for byte."""

import json
import time
from pathlib import Path

import pytest

from lina_lab.ledger.plan import parse_plan, plan_text
from lina_lab.ledger.result import parse_result, write_result
from lina_lab.ledger.status import write_state

GOLDEN = Path(__file__).parent / "golden"
REPORTS = Path(__file__).parents[2] / "reports"


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("result*.json")), ids=lambda path: path.stem)
def test_a_result_that_is_read_and_written_is_the_same_file(path, tmp_path):
    write_result(tmp_path, parse_result(path.read_text(), path))
    assert (tmp_path / "result.json").read_bytes() == path.read_bytes()


def test_a_plan_that_is_read_and_written_is_the_same_file():
    path = GOLDEN / "plan.json"
    assert plan_text(parse_plan(path.read_text(), path)).encode() == path.read_bytes()


@pytest.mark.parametrize("path", [GOLDEN / "plan-old.json", *sorted(REPORTS.glob("*/plan.json"))], ids=str)
def test_a_plan_from_before_plans_had_ids_gets_an_id_and_keeps_the_rest(path):
    written = json.loads(plan_text(parse_plan(path.read_text(), path)))
    old = json.loads(path.read_text())
    assert written == old | {"id": written["id"], "file": written["file"]}
    before = [name for name in old if name != "fixed"]  # some were given what their base fixes later
    assert list(written) == list(dict.fromkeys([*before, "id", "file", *old]))


def test_an_older_plan_gets_the_id_that_it_always_got():
    path = GOLDEN / "plan-old.json"
    assert parse_plan(path.read_text(), path).id == "3fefdf47"


def test_a_state_has_its_details_in_the_order_given(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1795814043.536865)
    write_state(tmp_path, phase="training", step=4, steps=6, loss=1.25, seconds_left=2.5, step_seconds=0.5)
    assert (tmp_path / "state.json").read_bytes() == (GOLDEN / "state.json").read_bytes()

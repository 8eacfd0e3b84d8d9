"""What a sweep as a whole does, from the states of its cells."""

import pytest

from lina_lab.config.sweep import Omission
from lina_lab.sweep.state import counts, sweep_state
from lina_lab.tracking.driver import STATUS


@pytest.mark.parametrize(
    ("states", "state"),
    [
        (["done", "done"], "done"),
        (["done", "diverged"], "done"),
        (["diverged", "diverged"], "diverged"),
        (["failed", "failed"], "failed"),
        (["diverged", "failed"], "failed"),
        (["failed", "waiting"], "stopped"),
        (["diverged", "waiting"], "stopped"),
        (["waiting", "waiting"], "stopped"),
        (["running", "failed"], "running"),
    ],
)
def test_what_a_sweep_does(study, states, state):
    made = study()
    plan = made.stored._replace(cells=made.stored.cells[:2])
    found = dict(zip([cell.key for cell in plan.cells], states, strict=True))
    assert sweep_state(made.runs, plan, found) == state
    assert state in STATUS


def test_a_sweep_between_its_trials_and_its_cells_has_not_ended(study):
    made = study()
    first, other, *_ = made.stored.cells
    trial = first._replace(key="trial", trial=0)
    plan = made.stored._replace(trials=[trial], cells=[])
    assert sweep_state(made.runs, plan, {"trial": "done"}) == "stopped"
    assert sweep_state(made.runs, plan._replace(trials=[]), {}) == "stopped"
    given_up = plan._replace(cells=[other], omitted=[Omission(first.values, "no trial ended")])
    assert sweep_state(made.runs, given_up, {"trial": "diverged", other.key: "done"}) == "done"
    assert sweep_state(made.runs, given_up, {"trial": "done", other.key: "diverged"}) == "diverged"


def test_a_sweep_whose_jobs_are_in_the_queue_waits(study, monkeypatch):
    made = study()
    monkeypatch.setattr("lina_lab.sweep.state.queued", lambda runs, name: {runs / name})
    assert sweep_state(made.runs, made.stored, {}) == "waiting"


def test_counts_are_of_all_cells_and_one_that_nobody_has_seen_waits(study):
    made = study()
    assert counts(made.stored, {made.stored.cells[0].key: "done"}) == {"done": 1, "waiting": 7}

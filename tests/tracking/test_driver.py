"""What MLflow says of a sweep as a whole, on a real sqlite store."""

import shutil

import pytest

from lina_lab.config.sweep import Omission
from lina_lab.ledger.forecasts import forecasts_text, store_forecast
from lina_lab.ledger.leases import Watch, claim
from lina_lab.ledger.plan import driven, plan_text
from lina_lab.tracking.driver import STATUS, driver_files, sweep_state
from lina_lab.tracking.shipper import Shipper, sync
from lina_lab.tracking.store import connect, locked
from tests.ledger.test_forecasts import made as made_forecast


def driver(runs):
    """The run of the sweep, as MLflow holds it."""
    with locked(runs):
        client = connect(runs)
    experiment = client.get_experiment_by_name("fake").experiment_id
    (run,) = client.search_runs([experiment], "tags.`lab.role` = 'driver'")
    return run


@pytest.fixture
def made(study, empty_store, monkeypatch):
    """A sweep of eight finished cells, and an empty store."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    found = study()
    shutil.copy(empty_store, found.runs / "mlflow.db")
    return found


def test_the_run_of_a_sweep_has_its_plan_and_its_forecasts(study):
    made = study()
    plan = {"fake.json": plan_text(made.stored)}
    assert driver_files(made.runs, made.stored) == plan
    forecast = made_forecast(sweep="fake")
    store_forecast(made.runs, forecast)
    assert driver_files(made.runs, made.stored) == plan | {"forecast.json": forecasts_text([forecast])}


@pytest.mark.slow
def test_a_sweep_that_was_killed_is_killed_until_it_goes_on_and_ends(made):
    runs, plan = made.runs, made.stored
    made.unfinish(0, "waiting")
    made.unfinish(1, "waiting")
    claimed = claim(made.folder(0), Watch())
    sync(runs, plan)
    assert driver(runs).info.status == "RUNNING"
    claimed.end("stopped")
    sync(runs, plan)
    killed = driver(runs)
    assert (killed.info.status, killed.data.tags["lab.state"]) == ("KILLED", "stopped")
    assert killed.info.end_time is not None
    assert "- 6 done\n- 2 waiting\n" in killed.data.tags["mlflow.note.content"]
    with driven(runs, "fake"):  # the same command again; no cell has begun
        sync(runs, plan)
        assert driver(runs).info.status == "RUNNING"
        made.change(0)
        made.change(1)
    sync(runs, plan)
    done = driver(runs)
    assert (done.info.status, done.data.tags["lab.state"]) == ("FINISHED", "done")
    assert done.info.run_id == killed.info.run_id


@pytest.mark.slow
def test_a_launcher_that_stops_leaves_a_killed_sweep_behind(made):
    made.unfinish(0, "waiting")
    with Shipper(made.runs, made.stored, every=0.05), driven(made.runs, "fake"):
        pass
    assert driver(made.runs).info.status == "KILLED"


@pytest.mark.slow
def test_a_sweep_whose_cells_all_diverged_is_told_as_that(made):
    for index in range(8):
        made.change(index, state="diverged", diverged_at=3, metrics={})
    sync(made.runs, made.stored)
    run = driver(made.runs)
    assert (run.info.status, run.data.tags["lab.state"]) == ("FINISHED", "diverged")
    assert run.data.tags["mlflow.note.content"].endswith("\n\n- 8 diverged\n")


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
    monkeypatch.setattr("lina_lab.tracking.driver.queued", lambda runs, name: {runs / name})
    assert sweep_state(made.runs, made.stored, {}) == "waiting"

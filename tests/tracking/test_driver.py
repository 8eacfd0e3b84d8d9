"""What MLflow says of a sweep as a whole, on a real sqlite store."""

import io
import shutil
from pathlib import Path

import pytest
from PIL import Image

from lina_lab.ledger.forecasts import forecasts_text, store_forecast
from lina_lab.ledger.leases import Watch, claim
from lina_lab.ledger.plan import driven, plan_text
from lina_lab.ledger.report_place import note_report, report_of
from lina_lab.tracking.driver import driver_texts, note
from lina_lab.tracking.mirror import Synced
from lina_lab.tracking.shipper import Shipper, ship_report, sync
from lina_lab.tracking.store import connect, locked
from tests.ledger.test_forecasts import made as made_forecast


def driver(runs):
    """The run of the sweep, as MLflow holds it."""
    with locked(runs):
        client = connect(runs)
    experiment = client.get_experiment_by_name("fake").experiment_id
    (run,) = client.search_runs([experiment], "tags.`lab.role` = 'driver'")
    return run


def files(runs):
    """Its files by path."""
    with locked(runs):
        client = connect(runs)
    run = driver(runs).info.run_id
    found = [file.path for file in client.list_artifacts(run) if not file.is_dir]
    found += [file.path for file in client.list_artifacts(run, "report")]
    return {path: Path(client.download_artifacts(run, path)).read_bytes() for path in found}


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
    assert driver_texts(made.runs, made.stored, None) == plan
    forecast = made_forecast(sweep="fake")
    store_forecast(made.runs, forecast)
    assert driver_texts(made.runs, made.stored, None) == plan | {"forecast.json": forecasts_text([forecast])}


def test_a_note_says_what_was_asked_what_came_out_how_far_it_is_and_how_to_open_it(study, tmp_path):
    made = study()
    (tmp_path / "index.html").touch()
    assert "`lab report fake` writes verdict and figures" in note(made.stored, None, {"done": 8})
    note_report(made.runs, made.stored, tmp_path, ["conv_kernel 5 helps", *(f"line {n}" for n in range(20))])
    text = note(made.stored, report_of(made.runs, made.stored), {"done": 7, "failed": 1})
    assert text.startswith("Which is better?\n\n- conv_kernel 5 helps\n- line 0\n")
    assert "9 more in report/verdict.md" in text
    assert "\n\n- 7 done\n- 1 failed\n\n" in text
    assert "`report/`: open `index.html` there" in text


@pytest.mark.slow
def test_the_run_of_a_sweep_holds_its_report_once_and_nothing_that_the_report_no_longer_has(made, tmp_path):
    folder = tmp_path / "reports"
    folder.mkdir()
    (folder / "index.html").write_text("<p>first")
    for name in ("scaling", "gap"):
        Image.new("RGB", (7, 5)).save(folder / f"{name}.png")
    note_report(made.runs, made.stored, folder, ["a is better than b"])
    sync(made.runs, made.stored)
    first = files(made.runs)
    names = {"fake.json", "report/verdict.md", "report/index.html", "report/scaling.png", "report/gap.png"}
    assert first.keys() == names
    assert first["report/index.html"] == b"<p>first"
    assert first["report/verdict.md"] == b"Which is better?\n\n- a is better than b\n"
    before = driver(made.runs).info.run_id
    (folder / "index.html").write_text("<p>second")
    assert sync(made.runs, made.stored).created == 0
    assert (driver(made.runs).info.run_id, files(made.runs)["report/index.html"]) == (before, b"<p>second")
    assert sync(made.runs, made.stored) == Synced(cells=8)
    (folder / "gap.png").unlink()
    sync(made.runs, made.stored)
    assert files(made.runs).keys() == names - {"report/gap.png"}


@pytest.mark.slow
def test_the_run_of_a_sweep_shows_the_last_sheets_of_all_designs_side_by_side(made):
    """Each keeps its aspect: 60 to 20 pixels."""
    for index in range(8):
        folder = made.folder(index) / "samples"
        folder.mkdir()
        for step, grey in ((50, 0), (100, 10 + 30 * index)):
            Image.new("RGB", (60, 20), (grey, grey, grey)).save(folder / f"step-{step:07d}.png")
    sync(made.runs, made.stored)
    whole = Image.open(io.BytesIO(files(made.runs)["samples.png"])).convert("L")
    counts = dict(enumerate(whole.histogram()))
    shown = [10 + 30 * index for index in range(8) if made.plan.cells[index].seed == 0]
    assert shown
    assert all(counts[grey] >= 60 * 20 for grey in shown)


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
    assert "\n\n- 8 diverged\n\n" in run.data.tags["mlflow.note.content"]


@pytest.mark.slow
def test_a_report_goes_to_the_run_of_its_sweep_where_there_is_one_and_never_fails(made, tmp_path, monkeypatch):
    runs, plan = made.runs, made.stored
    (tmp_path / "index.html").write_text("<p>page")
    note_report(runs, plan, tmp_path, ["a is better"])
    assert ship_report(runs, plan) == ""  # the store has no such sweep
    sync(runs, plan)
    (tmp_path / "index.html").write_text("<p>anew")
    assert ship_report(runs, plan) == "the run of the sweep in MLflow has it, too: lab ui fake"
    assert files(runs)["report/index.html"] == b"<p>anew"
    (tmp_path / "index.html").write_text("<p>while it was away")
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        said = ship_report(runs, plan)
    assert said.startswith("MLflow is behind: ")
    assert said.endswith("lab sync fake will catch up")
    assert "secret" not in said
    sync(runs, plan)
    assert files(runs)["report/index.html"] == b"<p>while it was away"
    (runs / "mlflow.db").unlink()
    assert ship_report(runs, plan) == ""  # nobody tracks here
    assert not (runs / "mlflow.db").exists()

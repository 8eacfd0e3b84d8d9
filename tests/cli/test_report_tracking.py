"""`lab report` keeps in the ledger where its page lies, and brings it to MLflow where that has the sweep."""

import shutil

import pytest

from lina_lab.cli.report_tracking import write_tracked
from lina_lab.ledger.report_place import report_of
from lina_lab.report import page
from lina_lab.tracking.shipper import sync
from lina_lab.tracking.store import connect, locked
from tests.study import TWO

pytestmark = pytest.mark.slow


def test_a_report_is_found_again_and_its_verdict_is_the_note_of_the_sweep(
    study, empty_store, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(page, "FORMATS", ("png",))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    made, out = study(axes=TWO), tmp_path / "reports" / "fake"
    write_tracked(made.runs, made.stored, out, lambda share: None, tracking=True)
    said = capsys.readouterr().out.splitlines()
    assert report_of(made.runs, made.stored).verdict == said  # no store: nothing more is said
    shutil.copy(empty_store, made.runs / "mlflow.db")
    sync(made.runs, made.stored)
    with locked(made.runs):
        client = connect(made.runs)
    (run,) = client.search_runs([client.get_experiment_by_name("fake").experiment_id], "tags.`lab.role` = 'driver'")
    assert f"Which is better?\n\n- {said[0][:40]}" in run.data.tags["mlflow.note.content"]
    held = {file.path for file in client.list_artifacts(run.info.run_id, "report")}
    assert held == {
        "report/verdict.md",
        *(f"report/{path.name}" for path in out.iterdir() if path.suffix in {".png", ".html"}),
    }
    write_tracked(made.runs, made.stored, out, lambda share: None, tracking=True)
    assert capsys.readouterr().out.splitlines() == [*said, "the run of the sweep in MLflow has it, too: lab ui fake"]
    write_tracked(made.runs, made.stored, out, lambda share: None, tracking=False)
    assert capsys.readouterr().out.splitlines() == said

"""`lab report`: from the ledger by a sweep's name, or again from a report's own folder."""

import shutil
from pathlib import Path

import pytest

from lina_lab.report import page as report
from tests.lab import lab
from tests.study import TWO


@pytest.fixture(autouse=True)
def one_format(monkeypatch):
    monkeypatch.setattr(report, "FORMATS", ("png",))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
def test_a_report_is_drawn_again_from_its_folder_alone(study, tmp_path):
    made = study()
    lab(tmp_path, "report", "fake", "--runs", made.runs)
    folder = tmp_path / "reports" / "fake"
    written = contents(folder)
    shutil.rmtree(made.runs)
    for name in ("index.html", "scaling.png", "table.md"):
        (folder / name).unlink()
    assert "wrote reports/fake/index.html" in lab(tmp_path, "report", "reports/fake").stdout
    assert contents(folder) == written


@pytest.mark.slow
def test_a_report_that_is_drawn_again_stays_where_it_is(study, tmp_path):
    lab(tmp_path, "report", "fake", "--runs", study(axes=TWO).runs)
    refused = lab(tmp_path, "report", "reports/fake", "--out", "elsewhere", code=2)
    assert "--out: goes with the name of a sweep" in refused.stderr


def test_a_folder_that_is_no_report_is_named(tmp_path):
    (tmp_path / "reports" / "none").mkdir(parents=True)
    assert "reports/none" in lab(tmp_path, "report", "reports/none", code=2).stderr

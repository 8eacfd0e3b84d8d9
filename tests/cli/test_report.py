"""`lab report`: from the ledger by a sweep's name, or again from a report's own folder."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

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


@pytest.mark.parametrize("option", ["--follow", "--cells", "--cell=ab"])
def test_what_needs_the_ledger_is_refused_of_a_folder(tmp_path, option):
    (tmp_path / "reports" / "none").mkdir(parents=True)
    refused = lab(tmp_path, "report", "reports/none", option, code=2).stderr
    assert f"{option.partition('=')[0]}: goes with the name of a sweep" in refused


def test_where_a_page_is_served_goes_with_following(study, tmp_path):
    made = study(axes=TWO)
    for words in (["--port", "8000"], ["--host", "::1"]):
        refused = lab(tmp_path, "report", "fake", "--runs", made.runs, *words, code=2).stderr
        assert f"{words[0]}: goes with --follow" in refused


def test_the_page_of_one_cell_alone(study, tmp_path):
    made = study(axes=TWO)
    key = made.plan.cells[0].key
    said = lab(tmp_path, "report", "fake", "--runs", made.runs, "--cell", key[:8]).stdout
    assert said == f"wrote reports/fake/cells/{key}.html\n"
    assert [path.name for path in (tmp_path / "reports" / "fake").iterdir()] == ["cells"]
    assert "no such cell in fake" in lab(tmp_path, "report", "fake", "--runs", made.runs, "--cell=zz", code=2).stderr


@pytest.mark.slow
def test_pages_of_all_cells_beside_the_report(study, tmp_path):
    made = study(axes=TWO)
    said = lab(tmp_path, "report", "fake", "--runs", made.runs, "--cells").stdout
    assert "wrote 2 pages to reports/fake/cells" in said
    assert len(list((tmp_path / "reports" / "fake" / "cells").iterdir())) == 2
    assert (tmp_path / "reports" / "fake" / "index.html").exists()


def test_a_sweep_that_never_ran_cannot_be_followed(tmp_path):
    assert "no sweep of that name" in lab(tmp_path, "report", "never", "--follow", code=2).stderr


@pytest.mark.slow
def test_following_serves_the_page_writes_the_report_and_ends_well_at_ctrl_c(study, tmp_path):
    made = study(axes=TWO)
    made.unfinish(0, "waiting")
    command = [sys.executable, "-m", "lina_lab.cli.main", "report", "fake", "--follow", "--no-open"]
    command += ["--runs", str(made.runs), "--out", str(tmp_path / "out")]
    variables = os.environ | {"PYTHONUNBUFFERED": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, env=variables, **pipes) as process:
        try:
            name, address = process.stdout.readline().split()
            assert (name, process.stdout.readline()) == ("fake", "Ctrl-C stops the server.\n"), process.stderr.read()
            assert "no cell is at work" in urlopen(address, timeout=60).read().decode()  # noqa: S310, our own
            made.change(0)
            lines = list(iter(process.stdout.readline, f"wrote {tmp_path / 'out' / 'index.html'}\n"))
            assert "Is subtraction better than division?" in lines[-1]
            assert b"Is subtraction better" in urlopen(f"{address}/report/index.html", timeout=60).read()  # noqa: S310
        finally:
            process.send_signal(signal.SIGINT)
            try:
                out, errors = process.communicate(timeout=60)
            finally:
                process.kill()
    assert (process.returncode, out, errors) == (0, "", "")

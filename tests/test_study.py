"""A study from Python says and does what the commands do, in scripts, threads and notebooks."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import pytest

from lina_lab import study as api
from lina_lab.bundle.merge import _difference
from lina_lab.config.sweep import parse_settings
from lina_lab.errors import LabError
from lina_lab.ledger.result import read_result
from lina_lab.study_options import as_command, folder_of, setting_words, where_words
from tests.cli.test_sweep import EXPERIMENT, SWEEP
from tests.lab import lab

ROOT = Path(__file__).parents[1]


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder to work in, with a sweep of two cells."""
    (tmp_path / "small.yaml").write_text(EXPERIMENT)
    (tmp_path / "little.yaml").write_text(SWEEP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LAB_RUNS", raising=False)
    return tmp_path


def results(folder: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in sorted(folder.glob("runs/*/result.json"))}


@pytest.mark.slow
def test_importing_it_imports_nothing_heavy():
    heavy = ["torch", "pandas", "matplotlib", "mlflow", "scipy", "pydantic", "rich", "typer"]
    code = f"import lina_lab.study, sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"training.steps": 600}, ["training.steps=600"]),
        ({"model.size": ["nano", "micro"], "evaluation.reference": None}, None),
        (["a=1", "b=[2]"], ["a=1", "b=[2]"]),
        ({"training.learning_rate": 1e-3, "x": "a b", "y": True}, None),
    ],
)
def test_settings_are_the_words_of_set_and_mean_the_same(given, words):
    found = setting_words(given)
    assert words is None or found == words
    if isinstance(given, dict):
        assert parse_settings(found) == given


def test_a_part_is_the_words_of_where():
    assert where_words({"seed": 0, "model.size": ["nano", "micro"], "x": None}) == [
        "seed=0",
        "model.size=nano,micro",
        "x=null",
    ]
    assert where_words(["seed=0"]) == ["seed=0"]
    assert where_words({"seed": range(3)}) == ["seed=0,1,2"]


def test_the_ledger_is_where_the_command_looks_for_it(monkeypatch):
    monkeypatch.delenv("LAB_RUNS", raising=False)
    assert folder_of(None) == Path("runs")
    monkeypatch.setenv("LAB_RUNS", "/somewhere")
    assert folder_of(None) == Path("/somewhere")
    assert folder_of("here") == Path("here")


def interrupted() -> None:
    with as_command("sweep", "a.yaml"):
        assert sys.argv == ["lab", "sweep", "a.yaml"]
        raise KeyboardInterrupt


def test_the_words_of_this_process_are_its_own_again_whatever_happens():
    own = list(sys.argv)
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert sys.argv == own


def test_mistakes_are_errors_and_not_the_end_of_the_process(files):
    with pytest.raises(LabError, match="no such file"):
        api.run("nothing.yaml")
    with pytest.raises(LabError, match="seed never takes 7 here"):
        api.run("little.yaml", where={"seed": 7})
    with pytest.raises(LabError, match="no sweep of that name has run"):
        api.status("little")
    with pytest.raises(LabError, match="no sweep of that name has run"):
        api.verdict("little")
    with pytest.raises(LabError, match=r"nothing\.csv"):
        api.compare("nothing.csv", "fid", ["design"], ["a"], ["b"])
    assert not (files / "runs").exists()


def test_status_and_table_are_those_of_the_commands(study, tmp_path):
    made = study([0, 1])
    made.unfinish(3, "failed", "no reason")
    found = api.status("fake", runs=made.runs)
    assert found.counts == {"done": 15, "failed": 1}
    assert repr(found) == "fake: 15 done, 1 failed of 16 cells"
    assert lab(tmp_path, "status", "fake").stdout.splitlines()[-1] == repr(found)
    assert found.frame["state"].value_counts().to_dict() == found.counts
    assert found.frame.loc[3, "reason"] == "no reason"
    assert "no reason" in found._repr_html_()
    table = api.table("fake", runs=made.runs)
    lab(tmp_path, "table", "fake", "--out", "table.csv")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "table.csv")[["key", "val/loss"]], table[["key", "val/loss"]])


@pytest.mark.slow
def test_verdict_report_and_comparison_are_those_of_the_commands(study, tmp_path, monkeypatch):
    made = study([0, 1, 2])
    monkeypatch.chdir(tmp_path)
    page = api.report("fake", runs=made.runs)
    assert page == Path("reports/fake/index.html")
    before = page.read_bytes()
    lab(tmp_path, "report", "fake")
    assert page.read_bytes() == before
    from_ledger, from_report = api.verdict("fake", runs=made.runs), api.verdict(page.parent)
    assert repr(from_ledger) == repr(from_report)
    assert len(from_ledger.findings) == 2
    assert repr(from_ledger).startswith(from_ledger.lines[0])
    assert from_ledger._repr_markdown_() == (page.parent / "verdict.md").read_text()
    by = ["normalization", "conv_kernel"]
    designs = (["subtraction", 5], ["division", 5])
    found = api.compare(api.data("fake", runs=made.runs).table, "fid", by, *designs)
    words = ["--y", "fid", "--by", by[0], "--by", by[1], "--a", "subtraction,5", "--b", "division,5", "--json"]
    told = json.loads(lab(tmp_path, "compare", "reports/fake/table.csv", *words).stdout)
    assert told["better"]["sentence"] == found.better.sentence
    assert [size["ratio"] for size in told["sizes"]] == pytest.approx([gap.ratio.mean for gap in found.gaps])


@pytest.mark.slow
def test_a_plan_is_the_one_that_the_command_prints(files):
    assert len(api.planned("little.yaml").plan.cells) == 2
    (files / "little.yaml").write_text(SWEEP.replace("axes:", "axes:\n  model.size: [nano, micro]"))
    found = api.plan("little.yaml")
    assert found.answer == "pilot"
    assert found.yaml == json.loads(lab(files, "plan", "little.yaml", "--json").stdout)["yaml"]


SCRIPT = """\
import sys
from lina_lab import study

ran = study.run("little.yaml", {"training.steps": 4, "name": "little"}, workers=2, tracking=False)
print(ran, sys.argv)
"""


@pytest.mark.slow
def test_a_script_needs_no_guard_and_its_results_name_the_command_that_would_do_the_same(files):
    (files / "script.py").write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    words = [sys.executable, "script.py"]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("little: 2 cells on 2 workers") == 1
    assert done.stdout.splitlines()[-1] == "little: 2 cells, 0 failed ['script.py']"
    found = [read_result(files / "runs" / key) for key in results(files)]
    command = 'lab sweep little.yaml --set training.steps=4 --set name="little" --workers 2 --no-tracking'
    assert {result.provenance.command for result in found} == {f"{command} --retries 2 --runs runs"}
    before = results(files)
    (files / "again").mkdir()
    for name in ("small.yaml", "little.yaml"):
        (files / "again" / name).write_text((files / name).read_text())
    lab(files / "again", "sweep", *command.split()[2:])
    for key in before:
        assert _difference(read_result(files / "runs" / key), read_result(files / "again" / "runs" / key)) == ""


@pytest.mark.slow
def test_it_runs_in_a_thread_that_may_not_set_signals(files):
    before, ran = signal.getsignal(signal.SIGTERM), []
    thread = threading.Thread(target=lambda: ran.append(api.run("little.yaml", workers=2, tracking=False)))
    thread.start()
    thread.join(240)
    assert not ran[0].failed
    assert len(results(files)) == 2
    assert signal.getsignal(signal.SIGTERM) is before
    assert api.run("little.yaml", tracking=False).failed == {}
    assert signal.getsignal(signal.SIGTERM) is before


STOPPED = """\
from lina_lab import study

try:
    study.run("little.yaml", {"training.steps": 4000, "name": "little"}, workers=2, tracking=False)
except KeyboardInterrupt:
    print("interrupted:", study.status("little").counts)
"""


@pytest.mark.slow
def test_an_interrupt_leaves_checkpoints_and_the_same_call_continues(files):
    (files / "script.py").write_text(STOPPED)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen([sys.executable, "script.py"], stdout=-1, stderr=-1, text=True, env=environment) as process:
        deadline = time.monotonic() + 240
        while not list(files.glob("runs/*/checkpoints/*.ckpt")) and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, out + errors
    assert "stopped; the same command continues little where it is" in out
    assert "interrupted: {'waiting': 2}" in out
    assert list(files.glob("runs/*/checkpoints/*.ckpt"))


@pytest.mark.slow
def test_a_notebook_shows_one_table_that_changes_in_place(files):
    pytest.importorskip("papermill")
    import nbformat

    from lina_lab.cli.notebook import run_notebook

    (files / "report").mkdir()
    (files / "report" / "plan.json").write_text("{}")
    code = (
        "from lina_lab import study\nran = study.run('../little.yaml', workers=2, tracking=False, runs='../runs')\nran"
    )
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbformat.write(book, files / "own.ipynb")
    out = run_notebook("own.ipynb", "report")
    outputs = [output for cell in nbformat.read(out, 4).cells for output in cell.outputs]
    tables = [o for o in outputs if o.output_type == "display_data" and "text/html" in o.data]
    assert len(tables) == 2  # and the results
    assert "2 done of 2 cells" in tables[0].data["text/html"]
    assert outputs[-1].data["text/plain"] == "little: 2 cells, 0 failed"
    assert len(results(files)) == 2

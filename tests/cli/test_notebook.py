"""The notebooks of analysis/ run from top to bottom on the committed report, and are kept without outputs."""

import json
import re
import shutil
import socket
from pathlib import Path

import pytest

from lina_lab.analysis.report_data import find_report
from lina_lab.cli.notebook import run_notebook
from lina_lab.errors import LabError

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "analysis").glob("*.ipynb"))
REPORT = ROOT / "reports" / "digits"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder as a user has it, with a copy of the report."""
    shutil.copytree(ROOT / "analysis", tmp_path / "analysis")
    kept = shutil.ignore_patterns("*.png", "*.pdf", "*.svg", "*.html")
    shutil.copytree(REPORT, tmp_path / "reports" / "digits", ignore=kept)
    table = tmp_path / "reports" / "digits" / "table.csv"
    heading, *rows = table.read_text().splitlines(keepends=True)
    table.write_text(
        heading + "".join(row for row in rows if ",division," in row)
    )  # fewer verdicts: each takes seconds
    monkeypatch.chdir(tmp_path)
    return tmp_path


def cells(path: Path) -> list[dict]:
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


def test_there_are_four():
    assert [path.stem[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_stripped_in_git(path):
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells(path))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_from_top_to_bottom_and_shows_its_figures(here, path):
    out = run_notebook(path.stem, "digits")
    assert out == Path("reports/digits") / path.name
    outputs = [output for cell in cells(out) for output in cell["outputs"]]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not any(output["output_type"] == "error" for output in outputs)
    assert str(here) not in out.read_text()
    assert [cell["execution_count"] for cell in cells(out)] == list(range(1, len(cells(out)) + 1))


@pytest.mark.slow
def test_it_runs_from_anywhere_in_our_own_interpreter(here, monkeypatch):
    """No notebook in the working folder; Jupyter and IPython of the user would end it."""
    shutil.rmtree(here / "analysis")
    for name in ("jupyter/kernels/python3/kernel.json", "ipython/profile_default/startup/first.py", "first.py"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text("raise SystemExit")
    other = {"argv": ["/bin/false", "{connection_file}"], "display_name": "other", "language": "python"}
    (here / "jupyter/kernels/python3/kernel.json").write_text(json.dumps(other))
    (here / "reports/digits/statistics.py").write_text("raise SystemExit")
    variables = {"JUPYTER_PATH": "jupyter", "IPYTHONDIR": "ipython", "PYTHONSTARTUP": "first.py", "MPLBACKEND": "none"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value if name == "MPLBACKEND" else str(here / value))
    out = run_notebook("02", "digits")
    assert any("image/png" in output.get("data", {}) for cell in cells(out) for output in cell["outputs"])
    assert json.loads(out.read_text())["metadata"]["kernelspec"]["name"] == "python3"


@pytest.mark.slow
def test_it_runs_although_another_process_takes_the_port_that_jupyter_found_free(here, monkeypatch):
    from jupyter_client.provisioning.local_provisioner import LocalPortCache

    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(LocalPortCache, "find_available_port", lambda self, ip: taken.getsockname()[1])
        assert run_notebook("02", "digits").is_file()


def test_a_report_is_found_from_the_root_of_a_checkout_and_from_its_folder_of_notebooks(here, monkeypatch):
    assert find_report("reports/digits") == Path("reports/digits")
    monkeypatch.chdir(here / "analysis")
    assert find_report("reports/digits") == here / "reports/digits"
    assert find_report("reports/none") == Path("reports/none")
    assert all(
        re.search(r"find_report\(report\)|study\.data\(report\)", path.read_text())
        and '"report = \\"reports/digits' in path.read_text()
        for path in NOTEBOOKS
    )


@pytest.mark.slow
def test_a_name_a_report_and_a_cell_that_are_wrong_are_named(here):
    with pytest.raises(LabError, match=r"0: must name one notebook of analysis/, not 4 \(there: 01_scaling_curves"):
        run_notebook("0", "digits")
    with pytest.raises(LabError, match=r"reports/other: is no report: .*lab report other writes one"):
        run_notebook("01", "other")
    (here / "reports" / "digits" / "table.csv").write_text("key\n")
    with pytest.raises(
        LabError, match=r"02_ablation_table\.ipynb: cell \d failed: LabError: table\.csv must have rows"
    ):
        run_notebook("02", "digits")

"""The worked examples run as their page says."""

import json
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lina_lab.cli.main import app
from lina_lab.interpreter import command, environment
from tests.plugins.conftest import nothing_stays  # noqa: F401

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_all_that_an_example_claims_holds(path):
    run = CliRunner().invoke(app, ["check", str(path)], catch_exceptions=False)
    assert run.exit_code == 0
    assert "FAILS" not in run.output


@pytest.mark.slow
def test_the_sweep_of_an_example_runs_to_its_report(tmp_path):
    def lab(*words: str) -> None:
        line = command("lina_lab.cli.main", *words)
        done = subprocess.run(line, env=environment(), cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    lab("sweep", str(EXAMPLES / "lion.yaml"), "--workers", "2", "--no-tracking")
    lab("report", "lion")
    results = [json.loads(path.read_text()) for path in (tmp_path / "runs").glob("*/result.json")]
    assert [result["state"] for result in results] == ["done"] * 3
    assert all(result["metrics"]["eval/class_accuracy/digits-cnn"] > 0.8 for result in results)  # by chance 0.1
    with (tmp_path / "reports" / "lion" / "table.csv").open() as table:
        rows = table.read()
    assert all(f",{word}," in rows for word in ("division", "lion-s", "lion-d"))

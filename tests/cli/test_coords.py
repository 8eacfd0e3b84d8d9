"""`lab coords`: what it prints and writes, on a check that is shorter than the real one."""

import json

import pytest
from typer.testing import CliRunner

from lina_lab.cli.main import app
from lina_lab.training import coordinates
from tests.test_docs import ROOT


@pytest.mark.slow
def test_coords_says_that_mup_passes_and_the_standard_parametrization_does_not(tmp_path, monkeypatch):
    monkeypatch.setattr(coordinates, "TIMES", (1, 2, 4))
    monkeypatch.setattr(coordinates, "STEPS", (1, 4))
    settings = ["--set", "training.learning_rate=2e-3", "--set", "model.size=micro"]
    found = CliRunner().invoke(
        app, ["coords", str(ROOT / "experiments" / "digits.yaml"), *settings, "--out", str(tmp_path)]
    )
    assert found.exit_code == 0, found.output
    assert "standard: the coordinate check failed: " in found.output
    assert "mup: passed, all slopes within ±0.3" in found.output
    assert "decoder.attention.qkv" in found.output
    document = json.loads((tmp_path / "coordinates.json").read_text())
    assert (document["document"], document["version"]) == ("lab coords", 1)
    assert [(check["parametrization"], check["passed"]) for check in document["checks"]] == [
        ("standard", False),
        ("mup", True),
    ]
    assert set(document["checks"][0]["layers"][0]["change"]) == {"32", "64", "128"}
    assert (tmp_path / "coordinates.png").stat().st_size > 10_000


def test_a_folder_that_is_a_file_and_a_missing_experiment_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for words in (["missing.yaml"], [str(ROOT / "experiments" / "digits.yaml"), "--out", str(tmp_path / "file")]):
        found = CliRunner().invoke(app, ["coords", *words])
        assert found.exit_code != 0

"""The worked examples run as their page says."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
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


def lab(folder: Path, *words: str) -> None:
    line = command("lina_lab.cli.main", *words)
    done = subprocess.run(line, env=environment(), cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def metrics(folder: Path) -> list[dict[str, float]]:
    results = [json.loads(path.read_text()) for path in (folder / "runs").glob("*/result.json")]
    assert {result["state"] for result in results} == {"done"}
    return [result["metrics"] for result in results]


@pytest.mark.slow
def test_lion_runs_to_its_report_and_learns(tmp_path):
    lab(tmp_path, "sweep", str(EXAMPLES / "lion.yaml"), "--workers", "2", "--no-tracking")
    lab(tmp_path, "report", "lion")
    found = metrics(tmp_path)
    assert len(found) == 3
    assert all(values["eval/class_accuracy/digits-cnn"] > 0.8 for values in found)  # by chance 0.1
    rows = (tmp_path / "reports" / "lion" / "table.csv").read_text()
    assert all(f",{word}," in rows for word in ("division", "lion-s", "lion-d"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["folder", "features"])
def test_a_data_set_and_a_feature_network_run_a_few_steps(name, tmp_path):
    if name == "folder":
        subprocess.run([sys.executable, str(EXAMPLES / "folder.py"), "my_digits"], cwd=tmp_path, check=True)
    few = ("training.steps=20", "training.warmup_steps=5", "evaluation.num_samples=200", "sampling.flow_steps=4")
    settings = [word for setting in few for word in ("--set", setting)]
    lab(tmp_path, "sweep", str(EXAMPLES / f"{name}.yaml"), "--workers", "2", "--no-tracking", *settings)
    found = metrics(tmp_path)
    assert len(found) == 2
    wanted = ["eval/fid/digits-cnn"] + ["eval/fid/resnet18-random"] * (name == "features")
    assert all(values[metric] > 0 for values in found for metric in wanted)


def test_the_folder_holds_the_digits_that_scikit_learn_has(tmp_path):
    """Each picture once, under its own label; every fifth of them held out."""
    example = runpy.run_path(str(EXAMPLES / "folder.py"))
    example["main"](tmp_path)
    splits = example["load"](str(tmp_path))
    digits = load_digits()
    pairs = zip(digits.images.astype("u1"), digits.target, strict=True)
    expected = {(label, image.tobytes()) for image, label in pairs}
    images, labels = (np.concatenate(parts) for parts in zip(*splits, strict=True))
    found = {
        (label, np.round(image[0] * (16 / 255)).astype("u1").tobytes())
        for image, label in zip(images, labels, strict=True)
    }
    assert found == expected
    assert [len(own) for _, own in splits] == [example["TRAIN"], example["HELDOUT"]]

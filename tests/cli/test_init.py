"""`lab init`: an empty folder and the package make a study that runs, and nothing of the user's is written over."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lina_lab.cli.init import study_files
from lina_lab.cli.main import app
from lina_lab.shipped import shipped

ROOT = Path(__file__).parents[2]
SWEEPS = sorted(path.stem for path in (ROOT / "sweeps").glob("*.yaml"))


def lab(*words):
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


def test_a_study_has_sweep_experiment_notebook_and_gitignore(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = lab("init", "my-study")
    assert done.exit_code == 0
    written = sorted(str(p.relative_to("my-study")) for p in Path("my-study").rglob("*") if p.is_file())
    assert written == [
        ".gitignore",
        "analysis/01_scaling_curves.ipynb",
        "experiments/digits.yaml",
        "sweeps/first.yaml",
    ]
    assert "lab sweep sweeps/first.yaml --dry-run" in done.stdout
    monkeypatch.chdir(tmp_path / "my-study")
    plan = lab("sweep", "sweeps/first.yaml", "--dry-run", "--no-timing")
    assert "12 cells" in plan.stdout


@pytest.mark.parametrize("name", SWEEPS)
def test_every_sweep_comes_with_the_experiment_that_it_names(name):
    files = study_files(name)
    assert files[f"sweeps/{name}.yaml"] == (ROOT / "sweeps" / f"{name}.yaml").read_bytes()
    assert len([path for path in files if path.startswith("experiments/")]) == 1


def test_what_is_there_is_not_written_over_and_nothing_else_is_written(tmp_path):
    (tmp_path / ".gitignore").write_text("mine")
    done = CliRunner().invoke(app, ["init", str(tmp_path)])
    assert done.exit_code != 0
    assert [p.name for p in tmp_path.iterdir()] == [".gitignore"]
    assert (tmp_path / ".gitignore").read_text() == "mine"


def test_a_sweep_that_does_not_exist_is_named_with_those_that_do(tmp_path):
    error = CliRunner().invoke(app, ["init", str(tmp_path / "s"), "--sweep", "digit"]).exception
    assert "digits-quick" in str(error)
    assert not (tmp_path / "s").exists()


@pytest.mark.slow
def test_the_wheel_alone_makes_a_study_in_an_empty_folder(tmp_path):
    """The built package, unpacked, in a process whose path has no checkout."""
    wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", str(ROOT)]
    subprocess.run([*wheel, "--wheel-dir", str(tmp_path)], check=True, cwd=tmp_path)
    (built,) = tmp_path.glob("*.whl")
    site, empty = tmp_path / "site", tmp_path / "empty"
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(built), str(site)], check=True)
    empty.mkdir()
    environment = os.environ | {"PYTHONPATH": str(site)}

    def run(*words):
        command = [sys.executable, "-P", "-m", "lina_lab.cli.main", *words]
        return subprocess.run(command, check=True, cwd=empty, env=environment, capture_output=True, text=True).stdout

    where = [sys.executable, "-P", "-c", "import lina_lab; print(lina_lab.__file__)"]
    found = subprocess.run(where, check=True, cwd=empty, env=environment, capture_output=True, text=True).stdout
    assert Path(found.strip()).is_relative_to(site)
    run("init", ".", "--sweep", "digits-quick")
    assert "12 cells" in run("sweep", "sweeps/digits-quick.yaml", "--dry-run", "--no-timing")
    for folder in ("experiments", "sweeps", "analysis"):
        names = {path.name for path in shipped(folder).iterdir() if path.is_file()}
        assert {path.name for path in (site / "lina_lab" / "shipped" / folder).iterdir()} == names

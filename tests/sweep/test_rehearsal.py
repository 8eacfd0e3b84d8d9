"""A cell is timed by as many processes at once as there will be workers, each in its place."""

import importlib
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from lina_lab.config.experiment import Experiment
from lina_lab.errors import LabError
from lina_lab.sweep import rehearsal
from lina_lab.sweep.rehearsal import rehearse


def todo(*sizes):
    training = {"steps": 1, "batch_size": 1, "learning_rate": 1.0}
    return [
        Experiment.model_validate({"name": "x", "model": {"size": size, "patch": 2}, "training": training})
        for size in sizes
    ]


@pytest.fixture
def places(monkeypatch):
    """A module that the processes can import."""
    monkeypatch.setattr(rehearsal, "PRELOADED", [])
    monkeypatch.syspath_prepend(Path(__file__).parent)
    return importlib.import_module("places")


@pytest.mark.slow
def test_every_worker_times_a_cell_of_every_size_in_its_own_place_beside_the_others(places, tmp_path, monkeypatch):
    monkeypatch.setattr(rehearsal, "_timed", partial(places.beside_others, tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    found = rehearse(todo("nano", "nano", "micro"), [{"PLACE": "2"}, {"PLACE": "4"}])
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert written == dict.fromkeys(["2-nano", "2-micro", "4-nano", "4-micro"], "1")
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert found.by_size == {"nano": 13, "micro": 13}, "the mean of what both took"
    assert found.total == pytest.approx(found.start + 2 * 13), "three cells on two workers"


@pytest.mark.slow
def test_a_process_that_is_killed_is_an_error_with_a_reason(places, monkeypatch):
    monkeypatch.setattr(rehearsal, "_timed", places.dies)
    with pytest.raises(LabError, match="was killed: there may be too little memory"):
        rehearse(todo("nano"), [{}, {}])


REHEARSAL = """\
from lina_lab.config.experiment import Experiment
from lina_lab.sweep.rehearsal import rehearse
if __name__ == "__main__":
    training = {"steps": 1, "batch_size": 4, "learning_rate": 1e-3}
    model = {"size": "nano", "patch": 2}
    values = {"name": "x", "model": model, "training": training, "evaluation": {"num_samples": 50}}
    values["sampling"] = {"autoregressive_steps": 1, "flow_steps": 1}
    print(rehearse([Experiment.model_validate(values)], [{}]).by_size)
"""


@pytest.mark.slow
def test_the_processes_that_time_cells_import_nothing_from_the_working_folder(tmp_path, tmp_path_factory):
    """Nor may they start an unguarded fork server, which workers of the same command would come from."""
    for name in ("statistics", "signal"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a script of the user')")
    script = tmp_path_factory.mktemp("scripts") / "rehearsal.py"
    script.write_text(REHEARSAL)
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("{'nano': ")

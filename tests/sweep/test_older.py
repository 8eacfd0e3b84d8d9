"""Cells whose keys were made from paths keep their keys, and stand for what they measured and for nothing else."""

import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lina_lab.cell.contents import settler
from lina_lab.config.data import DIGITS
from lina_lab.config.experiment import Experiment, cell_key
from lina_lab.data.datasets import load_dataset
from lina_lab.data.examples import fingerprint
from lina_lab.files import CACHE_VARIABLE
from lina_lab.ledger.cells import create_cell, read_experiment
from lina_lab.ledger.result import Evaluation, write_result
from lina_lab.sweep.older import keys_in
from tests.study import fake_result

RUNS = Path("runs")


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def reference(path: str, mean: float = 0.0) -> str:
    np.savez(path, mu=np.full(32, mean), sigma=np.eye(32))
    return sha256(Path(path).read_bytes()).hexdigest()


def digits(path: str) -> Experiment:
    return Experiment.model_validate(
        {
            "name": "digits",
            "model": {"size": "nano", "patch": 2},
            "training": {"steps": 4, "batch_size": 8, "learning_rate": 1e-3},
            "evaluation": {"num_samples": 40, "reference": path},
        }
    )


def images(path: str) -> Experiment:
    return Experiment.model_validate(
        {
            "name": "images",
            "data": {"name": "images", "path": path, "num_classes": 2, "side": 16, "held_out": 0.4},
            "model": {"size": "nano", "patch": 4},
            "training": {"steps": 4, "batch_size": 8, "learning_rate": 1e-3},
            "evaluation": {"extractor": "inception"},
        }
    )


def folder(path: str) -> None:
    generator = np.random.default_rng(0)
    for name in ("few", "many"):
        (Path(path) / name).mkdir(parents=True)
        for number in range(8):
            pixels = generator.integers(0, 256, (16, 16, 3), np.uint8)
            Image.fromarray(pixels).save(Path(path) / name / f"{number}.png")


def older_cell(experiment: Experiment, **result: object) -> str:
    """The key of a cell as it was before keys held contents: with a result, if there is one."""
    made = create_cell(RUNS, experiment)
    (made / "data.sha256").write_text(fingerprint(load_dataset(experiment.data)))
    if result:
        write_result(made, replace(fake_result(made.name, 0, 100, 5.0), **result))
    return made.name


def planned(experiment: Experiment) -> str:
    """The key under which it would run today."""
    settled, problems = settler()(experiment)
    assert not problems
    return keys_in(RUNS)(settled)


def own(experiment: Experiment) -> str:
    return cell_key(settler()(experiment)[0])


def test_a_key_of_a_path_is_what_it_was():
    """Made at a commit without contents."""
    assert cell_key(digits("ref.npz")) == "393f59b50f32"
    assert cell_key(images("pictures")) == "3ebfb2a52418"


@pytest.mark.slow
def test_a_finished_cell_is_done_while_its_reference_is_what_it_was_measured_with():
    measured = Evaluation(reference_sha256=reference("r.npz"))
    key = older_cell(digits("r.npz"), state="done", evaluation=measured)
    assert planned(digits("r.npz")) == key
    Path("r.npz").rename("moved.npz")
    assert planned(digits("moved.npz")) == key
    reference("moved.npz", mean=3.0)
    assert planned(digits("moved.npz")) == own(digits("moved.npz")) != key


def test_a_finished_cell_of_other_data_or_without_a_note_of_them_is_another():
    measured = Evaluation(reference_sha256=reference("r.npz"))
    key = older_cell(digits("r.npz"), state="done", evaluation=measured)
    noted = RUNS / key / "data.sha256"
    assert noted.read_text() == fingerprint(load_dataset(DIGITS))
    noted.write_text("0" * 64)
    assert planned(digits("r.npz")) != key
    noted.unlink()
    assert planned(digits("r.npz")) != key


def test_a_diverged_cell_was_not_measured():
    reference("r.npz")
    key = older_cell(digits("r.npz"), state="diverged")
    reference("r.npz", mean=3.0)
    assert planned(digits("r.npz")) == key


def test_a_cell_that_was_stopped_goes_on_under_its_key_at_the_same_path():
    reference("r.npz")
    key = older_cell(digits("r.npz"))
    before = (RUNS / key / "config.yaml").read_text()
    assert planned(digits("r.npz")) == key
    assert create_cell(RUNS, settler()(digits("r.npz"))[0], key) == RUNS / key
    assert (RUNS / key / "config.yaml").read_text() == before
    assert read_experiment(RUNS / key) == digits("r.npz")
    shutil.copy("r.npz", "copy.npz")
    assert planned(digits("copy.npz")) != key


@pytest.mark.slow
def test_a_finished_cell_of_images_is_done_wherever_the_same_images_lie():
    folder("pictures")
    key = older_cell(images("pictures"), state="done")
    assert planned(images("pictures")) == key
    Path("pictures").rename("moved")
    assert planned(images("moved")) == key
    Image.new("RGB", (16, 16)).save("moved/few/0.png")
    assert planned(images("moved")) == own(images("moved")) != key


def test_a_cell_that_differs_in_more_than_paths_is_another():
    measured = Evaluation(reference_sha256=reference("r.npz"))
    key = older_cell(digits("r.npz"), state="done", evaluation=measured)
    other = digits("r.npz").model_copy(update={"seed": 1})
    assert planned(other) == own(other) != key


def test_a_newer_cell_is_known_by_its_own_key():
    measured = Evaluation(reference_sha256=reference("r.npz"))
    older_cell(digits("r.npz"), state="done", evaluation=measured)
    new = create_cell(RUNS, settler()(digits("r.npz"))[0])
    assert planned(digits("r.npz")) == new.name == own(digits("r.npz"))

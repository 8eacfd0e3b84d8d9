"""A data set of the user's own: what a config takes of it, what is refused, and what its key holds."""

import json
import subprocess

import numpy as np
import pytest
import torch

from lina_lab.cell.contents import settler
from lina_lab.config.experiment import cell_key
from lina_lab.config.load import load_experiment
from lina_lab.config.problems import ConfigError
from lina_lab.data.datasets import load_dataset
from lina_lab.errors import LabError
from lina_lab.interpreter import command, environment
from lina_lab.ledger.cells import create_cell, read_experiment
from lina_lab.plugins import load

BARS = '''
"""Bars of three widths, from a folder."""
from pathlib import Path

import numpy as np

from lina_lab.plugins.data import DataSet


def bars(path):
    images = np.load(Path(path) / "images.npy")  # (90, 1, 8, 8) uint8
    labels = np.arange(90) % 3
    return (images[:51], labels[:51]), (images[51:], labels[51:])


PROVIDES = [
    DataSet("bars", channels=1, side=8, num_classes=3, train=51, heldout=39, load=bars, needs_path=True, balanced=True)
]
'''
EXPERIMENT = """\
name: own
plugins: [bars.py]
data: {name: bars, path: bars}
model: {size: pico, patch: 2}
training: {steps: 4, batch_size: 8, learning_rate: 1e-3, warmup_steps: 1}
sampling: {autoregressive_steps: 2, flow_steps: 2}
evaluation: {num_samples: 39}
"""


def pixels() -> np.ndarray:
    images = np.zeros((90, 1, 8, 8), np.uint8)
    for number in range(90):
        images[number, 0, :, : 2 * (number % 3) + 1] = 200 + number // 3
    return images


@pytest.fixture
def bars(folder):
    (folder / "bars").mkdir()
    np.save(folder / "bars" / "images.npy", pixels())
    (folder / "bars.py").write_text(BARS)
    (folder / "own.yaml").write_text(EXPERIMENT)
    return folder


def test_its_images_are_those_of_the_loader_in_one_range(bars):
    data = load_experiment(bars / "own.yaml").data
    assert (data.title, data.shape.side, data.shape.num_classes) == ("bars", 8, 3)
    found = load_dataset(data)
    torch.testing.assert_close(found.train.images, torch.from_numpy(pixels()[:51]) / 127.5 - 1)
    assert found.heldout.labels.tolist() == [n % 3 for n in range(51, 90)]


def test_the_key_holds_the_file_and_what_lies_in_its_folder(bars):
    def key() -> str:
        experiment, problems = settler()(load_experiment(bars / "own.yaml"))
        assert problems == []
        return cell_key(experiment)

    first = key()
    (bars / "bars").rename(bars / "moved")
    (bars / "own.yaml").write_text(EXPERIMENT.replace("path: bars", "path: moved"))
    assert key() == first
    np.save(bars / "moved" / "images.npy", pixels()[::-1])
    assert key() != first
    np.save(bars / "moved" / "images.npy", pixels())
    (bars / "bars.py").write_text(BARS + "# a thought\n")
    assert key() != first


def test_a_cell_reads_its_own_copy(bars):
    experiment = load_experiment(bars / "own.yaml")
    cell = create_cell(bars / "runs", experiment)
    (bars / "bars.py").unlink()
    load.LOADED.clear()
    assert read_experiment(cell) == experiment


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (", path: bars", "", r"own\.yaml:3: data\.path: is missing: bars needs path, the folder of its files"),
        ("name: bars,", "name: bar,", r"own\.yaml:3: data\.name: must be 'digits', .* or 'bars', not 'bar'"),
        ("path: bars", "path: bars, root: x", "root describes a set of torchvision: bars has none"),
        ("path: bars", "path: bars, side: 9", "side of bars must be 8, not 9"),
        ("num_samples: 39", "num_samples: 40", "must be a multiple of the 3 classes of bars"),
    ],
)
def test_a_config_that_does_not_fit_is_told_with_its_line(bars, old, new, message):
    (bars / "own.yaml").write_text(EXPERIMENT.replace(old, new))
    with pytest.raises(ConfigError, match=message):
        load_experiment(bars / "own.yaml")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("images[:51], labels", "images[:50], labels", r"images trained on must be \(51, 1, 8, 8\) .*, not \(50, 1, 8"),
        ("% 3", "% 4", "have whole labels from 0 to 2, not 0 to 3"),
        ("np.arange(90) % 3", "np.arange(90) % 3 / 1.0", "have whole labels from 0 to 2"),
        ('"images.npy")', '"images.npy") / 127.5', "be uint8, or floats in .-1, 1., not torch.float64 from 0.0"),
        ('"images.npy"', '"absent.npy"', "data set bars: load: FileNotFoundError: "),
        ("    return (images", "    return None, (images", "data set bars: load: ValueError: too many"),
    ],
)
def test_what_a_loader_must_not_give_is_told(bars, old, new, message):
    assert old in BARS
    (bars / "bars.py").write_text(BARS.replace(old, new))
    data = load_experiment(bars / "own.yaml").data
    with pytest.raises(LabError, match=message):
        load_dataset(data)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"bars", ch', '"mnist", ch', r"bars\.py:17: data\.name mnist is shipped with LINA Lab"),
        ("channels=1", "channels=2", r"bars\.py:17: bars: channels must be 1 or 3, not 2"),
        ("side=8", "side=8.0", r"bars: side must be a whole number above 0, not 8\.0"),
        ("load=bars", "load=3", "bars: load must be a function of 1 arguments, not 3"),
    ],
)
def test_what_is_wrong_with_a_set_is_told_with_its_line(bars, old, new, message):
    (bars / "bars.py").write_text(BARS.replace(old, new))
    with pytest.raises(LabError, match=message):
        load.load(bars / "bars.py")


@pytest.mark.slow
def test_a_cell_trains_on_it_and_is_measured_against_it(bars):
    line = command("lina_lab.cli.main", "train", "own.yaml", "--no-tracking")
    done = subprocess.run(line, env=environment(), cwd=bars, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = (bars / "runs").glob("*/result.json")
    result = json.loads(path.read_text())
    assert result["metrics"]["eval/fid/digits-cnn"] > 0
    assert "eval/class_accuracy/digits-cnn" not in result["metrics"], "its classes are not those of the digits"

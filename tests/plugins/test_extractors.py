"""A feature network of the user's own: what a config takes of it, what it must give, and what FID says of it."""

import json
import subprocess

import numpy as np
import pytest
import torch

from lina_lab.config.experiment import cell_key, digests
from lina_lab.config.load import load_experiment
from lina_lab.config.problems import ConfigError
from lina_lab.errors import LabError
from lina_lab.evaluation.extractors import load_extractor
from lina_lab.evaluation.metrics import fid
from lina_lab.interpreter import command, environment
from lina_lab.plugins import load
from tests.plugins.files import EXPERIMENT

MOMENTS = '''
"""Pixels through a fixed matrix."""
from pathlib import Path

import numpy as np
import torch

from lina_lab.plugins.extractors import FeatureNetwork

FILES = ["matrix.npy"]


def network():
    matrix = torch.from_numpy(np.load(Path(__file__).with_name("matrix.npy"))).float()
    return lambda images: images[:, 0].flatten(1).float() / 255 @ matrix


PROVIDES = [FeatureNetwork("projected", features=5, load=network)]
'''
OWN = EXPERIMENT.replace("num_samples: 40", "num_samples: 40, extractor: projected, also: [digits-cnn]")


@pytest.fixture
def moments(folder):
    np.save(folder / "matrix.npy", np.random.default_rng(0).normal(size=(64, 5)))
    (folder / "moments.py").write_text(MOMENTS)
    (folder / "own.yaml").write_text("plugins: [moments.py]\n" + OWN)
    return folder


def test_its_distance_is_that_of_its_features(moments):
    experiment = load_experiment(moments / "own.yaml")
    (digest,) = digests(experiment)
    found = load_extractor(experiment.evaluation.extractor)
    assert (found.name, found.id, found.dim) == ("projected", f"projected-{digest}", 5)
    images = torch.randint(256, (300, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images = images[:, :1].expand(-1, 3, -1, -1)
    matrix = torch.from_numpy(np.load(moments / "matrix.npy")).float()
    features = found.extract(images).features
    torch.testing.assert_close(features, images[:, 0].flatten(1) / 255 @ matrix)
    # Moved by a vector, and nothing else: the distance is its squared length.
    assert fid(features, features + torch.arange(5.0)) == pytest.approx(30, rel=1e-4)


def test_the_key_holds_its_file_and_its_weights(moments):
    first = cell_key(load_experiment(moments / "own.yaml"))
    np.save(moments / "matrix.npy", np.random.default_rng(1).normal(size=(64, 5)))
    assert cell_key(load_experiment(moments / "own.yaml")) != first


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("own.yaml", "projected,", "project,", r"own\.yaml:6: evaluation\.extractor: must be .* or 'projected', not"),
        ("own.yaml", "[digits-cnn]", "[projected]", "also must name further extractors, each once"),
        ("moments.py", "features=5", "features=0", "projected: features must be a whole number above 0, not 0"),
        ("moments.py", '"projected"', '"clip"', "evaluation.extractor clip is shipped with LINA Lab"),
    ],
)
def test_what_does_not_fit_is_told(moments, file, old, new, message):
    text = (moments / file).read_text()
    assert old in text
    (moments / file).write_text(text.replace(old, new))
    with pytest.raises(ConfigError, match=message):
        load_experiment(moments / "own.yaml")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("features=5", "features=6", r"extractor projected: must give features \(2, 6\), not \(2, 5\)"),
        ("/ 255 @", "/ 0 @", "extractor projected: gives features that are not finite"),
        (
            "    matrix =",
            "    raise OSError('no weights')\n    matrix =",
            "extractor projected: load: OSError: no weights",
        ),
    ],
)
def test_what_a_network_must_not_give_is_told(moments, old, new, message):
    (moments / "moments.py").write_text(MOMENTS.replace(old, new))
    ((_, word),) = load.load(moments / "moments.py").words["evaluation.extractor"].items()
    with pytest.raises(LabError, match=message):
        load_extractor(word).extract(torch.ones(2, 3, 8, 8, dtype=torch.uint8))


@pytest.mark.slow
def test_a_cell_is_measured_by_it(moments):
    line = command("lina_lab.cli.main", "train", "own.yaml")
    done = subprocess.run(line, env=environment(), cwd=moments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = (moments / "runs").glob("*/result.json")
    metrics = json.loads(path.read_text())["metrics"]
    assert metrics["eval/fid/projected"] > 0
    assert metrics["eval/fid/digits-cnn"] > 0
    assert (path.parent / "plugins").exists()

"""A cell on a folder of images: its result belongs to what the folder held when it began."""

import numpy as np
import pytest
from PIL import Image

from lina_lab.cell.run import run_cell
from lina_lab.config.experiment import Experiment
from lina_lab.data.datasets import load_dataset
from lina_lab.data.examples import fingerprint, labels_as
from lina_lab.errors import LabError
from lina_lab.ledger.cells import create_cell
from lina_lab.ledger.result import read_result

IMAGES = {"few": 160, "many": 400}


@pytest.fixture
def pictures(tmp_path):
    generator = np.random.default_rng(0)
    for name, count in IMAGES.items():
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(count):
            pixels = generator.integers(0, 256, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{number}.png", compress_level=0)
    return tmp_path / "pictures"


def experiment(pictures, **evaluation: object) -> Experiment:
    return Experiment.model_validate(
        {
            "name": "folder",
            "data": {"name": "images", "path": str(pictures), "num_classes": 2, "side": 32},
            "model": {"size": "nano", "patch": 8},
            "training": {"steps": 4, "batch_size": 4, "learning_rate": 1e-3},
            "sampling": {"autoregressive_steps": 2, "flow_steps": 2},
            "evaluation": {"extractor": "emoji-cnn-32", "num_samples": 77} | evaluation,
        }
    )


@pytest.mark.slow
def test_a_cell_goes_on_only_over_the_images_that_it_began_with(pictures, tmp_path):
    described = experiment(pictures)
    folder = create_cell(tmp_path / "runs", described)
    assert run_cell(folder, until=2) == "paused"
    changed = pictures / "few" / "0.png"
    kept = changed.read_bytes()
    Image.new("RGB", (32, 32)).save(changed)
    with pytest.raises(LabError, match=r"data\.sha256: the cell began with other images, labels or captions"):
        run_cell(folder)
    changed.write_bytes(kept)
    assert run_cell(folder) == "done"

    data, result = load_dataset(described.data), read_result(folder)
    record = result.evaluation
    assert record.data_sha256 == fingerprint(data)
    assert record.labels == "as the held-out split"
    assert "eval/class_accuracy/emoji-cnn-32" not in result.metrics
    with np.load(folder / "samples" / "generated.npz") as file:
        labels = file["labels"][np.argsort(file["numbers"])]
    assert labels.tolist() == labels_as(data.heldout.labels, 77).tolist()
    share = data.heldout.labels.double().mean().item()
    assert labels.mean() == pytest.approx(share, abs=1 / 77)
    assert 0.55 < share < 0.8


@pytest.mark.slow
def test_a_cell_that_could_not_be_measured_is_refused_before_it_is_trained(pictures, tmp_path):
    folder = create_cell(tmp_path / "runs", experiment(pictures, num_samples=64))
    with pytest.raises(LabError, match=r"evaluation\.num_samples must be at least 65, not 64"):
        run_cell(folder)
    assert not (folder / "metrics.csv").exists()

"""Whether cells can end as they are described is known before any is started."""

import re

import pytest
from PIL import Image

from lina_lab.config.engine import Group
from lina_lab.config.experiment import Experiment
from lina_lab.data.datasets import load_dataset
from lina_lab.errors import LabError
from lina_lab.model.random_streams import WHOLE, step_streams
from lina_lab.profiling.memory import activation_bytes
from lina_lab.sweep.ready import check_data, least_bytes, memory_bytes, too_large
from lina_lab.training.train import build_model
from tests.data.test_torchvision_sets import write_mnist


def experiment(**sections):
    training = {"steps": 2, "batch_size": 16, "learning_rate": 1e-3} | sections.pop("training", {})
    model = {"size": "nano", "patch": 8 if "data" in sections else 2} | sections.pop("model", {})
    return Experiment.model_validate({"name": "x", "model": model, "training": training} | sections)


@pytest.fixture
def folder(tmp_path):
    """150 images of two classes."""
    for number in range(150):
        path = tmp_path / "photos" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32)).save(path)
    return tmp_path / "photos"


def of_folder(folder, **data):
    data = {"name": "images", "path": str(folder), "num_classes": 2, "held_out": 0.5} | data
    return experiment(data=data, evaluation={"extractor": "emoji-cnn-32", "num_samples": 70})


def test_a_folder_is_held_against_what_its_cells_need(folder):
    assert check_data([of_folder(folder)]) == []
    with pytest.raises(LabError, match=r"photos: must have 65 images in each split, not \d+ for training"):
        check_data([of_folder(folder), of_folder(folder, held_out=0.8)])
    with pytest.raises(LabError, match=r"data\.num_classes must be 2, its classes, not 3"):
        check_data([of_folder(folder, num_classes=3)])
    prompts = {"text": {"encoder": "hf", "path": "t5", "features": 8}}
    with pytest.raises(LabError, match=r"has no metadata\.jsonl: data\.text needs a caption"):
        check_data([of_folder(folder, **prompts)])


def test_what_is_not_here_is_told_and_the_rest_is_checked(tmp_path):
    away = of_folder(tmp_path / "away")
    known = {"reference": str(tmp_path / "adm.npz"), "num_samples": 40}
    assert check_data([away, experiment(evaluation=known)]) == [
        f"{tmp_path}/away: no such folder, or no finished cache",
        f"evaluation.reference: {tmp_path}/adm.npz: no such file",
    ]
    few = away.model_copy(update={"evaluation": away.evaluation.model_copy(update={"num_samples": 64})})
    with pytest.raises(LabError, match=r"evaluation\.num_samples must be at least 65"):
        check_data([few])


def test_a_set_of_torchvision_is_held_against_what_its_cells_need(tmp_path):
    data = {"name": "torchvision", "dataset": "MNIST", "root": str(tmp_path)}
    wanted = experiment(data=data, model={"patch": 4}, evaluation={"extractor": "mnist-cnn", "num_samples": 70})
    assert check_data([wanted]) == [f"{tmp_path}: no such folder, or no MNIST"]
    write_mnist(tmp_path, "MNIST")
    with pytest.raises(LabError, match="MNIST: must have 65 images in each split, not 24 for training and 12 held out"):
        check_data([wanted])
    by_file = {"evaluation": {"extractor": "mnist-cnn", "num_samples": 70, "reference": "adm.npz"}}
    with pytest.raises(
        LabError, match=r"training\.batch_size must be at most 24, the training images of MNIST, not 25"
    ):
        check_data([experiment(data=data, model={"patch": 4}, training={"batch_size": 25}, **by_file)])


def test_a_batch_larger_than_the_set_is_refused():
    with pytest.raises(LabError, match=r"training\.batch_size must be at most 1,297"):
        check_data([experiment(), experiment(training={"batch_size": 2048})])


@pytest.mark.slow
@pytest.mark.parametrize("checkpointing", ["none", "mlp", "block"])
@pytest.mark.parametrize("size", ["nano", "tiny"])
def test_the_least_memory_is_less_than_what_a_step_keeps_but_not_by_far(checkpointing, size):
    small = experiment(
        model={"size": size},
        training={"batch_size": 64, "loss_repeat": 1},
        execution={"activation_checkpointing": checkpointing},
    )
    model, train = build_model(small), load_dataset(small.data).train
    batch = (train.images[:64], train.labels[:64])
    kept = activation_bytes(lambda: model.loss(batch, small.training, step_streams(0, 0), WHOLE), model.parameters())
    weights = sum(parameter.numel() for parameter in model.parameters()) * 20
    assert 0.1 < least_bytes(small) / (kept + weights) < 1


def test_a_step_that_no_memory_holds_is_told_with_numbers():
    assert not too_large([experiment()], gpus=False)
    assert not too_large([], gpus=False)
    images = memory_bytes(gpus=False) // least_bytes(experiment(training={"batch_size": 1})) * 100
    large = experiment(training={"batch_size": images})
    told = too_large([experiment(), large], gpus=False)
    assert re.match(r"x: a step of training\.batch_size [\d,]+ with model\.size nano needs at least [\d,.]+ GiB", told)
    assert not too_large([large], gpus=False, group=Group(images))
    parts = experiment(training={"batch_size": images}, execution={"accumulate": images})
    assert not too_large([parts], gpus=False)

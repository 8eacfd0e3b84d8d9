"""What is drawn to measure a model, and that prompts on shapes are scored for their composition too."""

import pytest
import torch

from lina_lab.cell.score import measure
from lina_lab.config.data import DataConfig
from lina_lab.data.datasets import Examples, load_dataset, to_uint8
from lina_lab.evaluation.extractors import load_extractor
from lina_lab.sampling.request import requested


def test_prompts_are_captions_of_their_class_in_turn():
    labels = torch.tensor([1, 0, 1, 1])
    heldout = Examples(torch.zeros(4, 1, 2, 2), labels, ["one a", "zero", "one b", "one c"])
    found = requested(heldout, 8, prompts=True)
    assert found.labels.tolist() == [0, 0, 1, 1, 1, 1, 1, 1]
    assert found.prompts == ["zero", "zero", "one a", "one b", "one c", "one a", "one b", "one c"]
    without = requested(heldout, 8, prompts=False)
    assert torch.equal(without.labels, found.labels)
    assert without.prompts == ()


def test_labels_are_balanced_over_all_classes_where_the_reference_is_a_file():
    heldout = Examples(torch.zeros(3, 1, 2, 2), torch.tensor([0, 2, 2]), ["a", "b", "c"])
    assert requested(heldout, 8, prompts=False, num_classes=4).labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert requested(heldout, 3, prompts=True, num_classes=4).labels.tolist() == [0, 2, 2]


@pytest.fixture(scope="module")
def shapes():
    return load_dataset(DataConfig.model_validate({"name": "shapes", "side": 32}))


@pytest.mark.slow
def test_held_out_scenes_are_right_and_shuffled_ones_are_not(shapes):
    """Real scenes for their own captions, and the same scenes one place on: only the prompts differ."""
    extractor = load_extractor("shapes-cnn-32")
    request = requested(shapes.heldout, 120, prompts=True)
    place = {caption: number for number, caption in enumerate(shapes.heldout.captions)}
    own = torch.tensor([place[prompt] for prompt in request.prompts])
    images = to_uint8(shapes.heldout.images)[own]
    right = measure([images], request, shapes, extractor, 0)
    wrong = measure(images.roll(7, 0).split(50), request, shapes, extractor, 0)
    assert right.metrics["eval/composition/overall"] > 0.9
    assert wrong.metrics["eval/composition/overall"] < 0.5
    assert right.metrics["eval/fid/shapes-cnn-32"] == pytest.approx(wrong.metrics["eval/fid/shapes-cnn-32"], rel=1e-6)
    assert "detector_accuracy" in right.evaluation.composition


@pytest.mark.slow
def test_labels_alone_have_no_composition(shapes):
    request = requested(shapes.heldout, 120, prompts=False)
    images = to_uint8(shapes.heldout.images)[:120]
    found = measure([images], request, shapes, load_extractor("shapes-cnn-32"), 0)
    assert not [name for name in found.metrics if "composition" in name]


@pytest.mark.slow
def test_single_objects_are_judged_by_the_detector_and_not_by_an_extractor_of_other_classes():
    data = load_dataset(DataConfig.model_validate({"name": "shapes", "labels": "object"}))
    request = requested(data.heldout, 96, prompts=False)
    assert request.labels.bincount().tolist() == [2] * 48
    order = data.heldout.labels.argsort(stable=True).view(48, -1)[:, :2].flatten()
    images = to_uint8(data.heldout.images)[order]
    found = measure(images.split(40), request, data, load_extractor("shapes-cnn-32"), 0)
    assert {name: value for name, value in found.metrics.items() if "accuracy" in name} == {
        "eval/class_accuracy/objects-detector": pytest.approx(1, abs=0.03)
    }
    assert found.evaluation.composition["rule"] == "one object alone, of the shape and colour of its class"
    assert "eval/fid/shapes-cnn-32" in found.metrics

"""The evaluation of a set of images: equal to torch-fidelity's own front door, with a record of what it was."""

import hashlib

import pytest
import torch
from torch.utils.data import Dataset as TorchDataset

from lina_lab.config.data import DIGITS
from lina_lab.data.datasets import load_dataset, to_uint8
from lina_lab.data.examples import labels_as, repeats
from lina_lab.errors import LabError
from lina_lab.evaluation.evaluate import evaluate
from lina_lab.evaluation.extractors import load_extractor
from lina_lab.evaluation.reference import Eye, read_reference, reference_images, write_reference
from lina_lab.ledger.result import RepeatedImages


@pytest.fixture(scope="module")
def data():
    return load_dataset(DIGITS)


@pytest.fixture(scope="module")
def digits():
    return load_extractor("digits-cnn")


@pytest.fixture(scope="module")
def generated(data):
    """40 blurred images of every class, in one chunk, and their labels."""
    index = torch.cat([(data.train.labels == c).nonzero().flatten()[:40] for c in range(10)])
    images = data.train.images[index]
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    return [to_uint8((images + 0.2 * noise).clamp(-1, 1))], data.train.labels[index]


class Images(TorchDataset):
    """As torch-fidelity wants them: one uint8 tensor an item."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index]


@pytest.mark.slow
def test_every_number_is_torch_fidelitys_own(data, digits, generated):
    """The same features through `calculate_metrics`, by registering the extractor there."""
    import torch_fidelity
    from torch_fidelity.feature_extractor_base import FeatureExtractorBase

    class Registered(FeatureExtractorBase):
        def __init__(self, name, features_list, **_):
            super().__init__(name, features_list)

        @staticmethod
        def get_provided_features_list():
            return ("32",)

        @staticmethod
        def get_default_feature_layer_for_metric(metric):
            return "32"

        def forward(self, images):
            return (digits.extract(images).features,)

    torch_fidelity.register_feature_extractor("digits-cnn-test", Registered)
    (images,), labels = generated
    ours = evaluate([images], labels, data, digits, seed=0).metrics
    with torch.random.fork_rng():
        theirs = torch_fidelity.calculate_metrics(
            input1=Images(images),
            input2=Images(to_uint8(data.heldout.images)),
            feature_extractor="digits-cnn-test",
            feature_layer_fid="32",
            feature_layer_kid="32",
            feature_layer_prc="32",
            fid=True,
            kid=True,
            prc=True,
            kid_subset_size=200,
            rng_seed=0,
            cuda=False,
            cache=False,
            verbose=False,
            save_cpu_ram=True,
        )
    for name, other in [
        ("fid", "frechet_inception_distance"),
        ("kid", "kernel_inception_distance_mean"),
        ("precision", "precision"),
        ("recall", "recall"),
    ]:
        assert ours[f"eval/{name}/digits-cnn"] == pytest.approx(theirs[other], rel=1e-5), name


@pytest.mark.slow
def test_a_large_training_split_is_compared_by_images_from_all_over_it(data, digits, generated, monkeypatch):
    """Every second image is the same data, however many there are; the first half would be another."""
    doubled = data.train._replace(
        images=data.train.images.repeat_interleave(2, 0), labels=data.train.labels.repeat_interleave(2)
    )
    whole = evaluate(*generated, data, digits, seed=0)
    monkeypatch.setattr("lina_lab.evaluation.evaluate.MOST_TRAINING_IMAGES", len(data.train.images))
    some = evaluate(*generated, data._replace(train=doubled), digits, seed=0)
    assert some.evaluation.num_reference_train == len(data.train.images)
    name = "eval/fid_train/digits-cnn"
    assert some.metrics[name] == pytest.approx(whole.metrics[name], rel=1e-4)


@pytest.mark.slow
def test_what_a_number_was_measured_with_is_recorded(data, digits, generated):
    record = evaluate(*generated, data, digits, seed=0).evaluation
    real = to_uint8(data.heldout.images).contiguous().numpy().tobytes()
    assert record.reference_sha256 == hashlib.sha256(real).hexdigest()
    assert (record.num_generated, record.num_reference, record.num_reference_train) == (400, 500, 1297)
    assert record.extractor == digits.id
    assert record.labels == "exactly balanced"
    assert record.class_chance == pytest.approx(0.1)
    features = digits.extract(to_uint8(data.heldout.images)).features.double()
    assert record.reference_variance == pytest.approx(features.var(0).sum().item())


@pytest.mark.slow
@pytest.mark.parametrize("gone", [4, 9])
def test_a_class_that_is_never_drawn_is_named_and_the_rest_is_not_called_balanced(data, digits, generated, gone):
    (images,), labels = generated
    fewer = data._replace(heldout=data.heldout.where(data.heldout.labels != gone))
    kept = labels != gone
    record = evaluate([images[kept]], labels[kept], fewer, digits, seed=0).evaluation
    assert (record.labels, record.classes_not_drawn) == ("as the held-out split", [gone])
    assert evaluate([images], labels, data, digits, seed=0).evaluation.classes_not_drawn is None


@pytest.mark.slow
def test_held_out_images_that_training_has_are_in_the_record(data, digits, generated):
    assert evaluate(*generated, data, digits, seed=0).evaluation.heldout_in_training is None
    repeated = data._replace(repeats=repeats(["a", "b", "b", "c"], ["1", "2", "3", "4"], [False, False, True, True]))
    record = evaluate(*generated, repeated, digits, seed=0).evaluation
    assert record.heldout_in_training == RepeatedImages(images=1, of=2, example=("3", "2"))


@pytest.mark.slow
def test_both_references_and_the_classifier_are_measured(data, digits, generated):
    metrics = evaluate(*generated, data, digits, seed=0).metrics
    # The images come from the training split, so that is nearer.
    assert metrics["eval/fid_train/digits-cnn"] < metrics["eval/fid/digits-cnn"]
    assert 0.8 < metrics["eval/class_accuracy/digits-cnn"] <= 1
    wrong = (generated[1] + 1) % 10
    assert evaluate(generated[0], wrong, data, digits, seed=0).metrics["eval/class_accuracy/digits-cnn"] < 0.2


@pytest.mark.slow
def test_the_same_images_give_the_same_numbers(data, digits, generated):
    torch.manual_seed(1)
    first = evaluate(*generated, data, digits, seed=4).metrics
    torch.manual_seed(2)
    assert evaluate(*generated, data, digits, seed=4).metrics == first


def test_labels_that_are_not_balanced_are_refused(data, digits, generated):
    images, labels = generated
    swapped = labels.clone()
    swapped[0] = 1
    with pytest.raises(
        ValueError, match=r"labels must be as the held-out split: \[40, 40, .*\] of the classes, not \[39, 41"
    ):
        evaluate(images, swapped, data, digits, seed=0)


@pytest.mark.parametrize(
    ("sizes", "count", "expected"),
    [
        ([50] * 10, 1000, [100] * 10),
        ([50] * 10, 500, [50] * 10),
        ([1, 1, 1], 8, [3, 3, 2]),  # equal remainders: the lower class first
        ([3, 0, 1], 10, [8, 0, 2]),  # 7.5 and 2.5
        ([47, 16, 16, 12, 9], 10, [5, 2, 1, 1, 1]),  # largest remainders by hand: 4.7, 1.6, 1.6, 1.2, 0.9
        ([2, 1], 1, [1, 0]),
    ],
)
def test_labels_have_the_proportions_of_the_reference_by_largest_remainders(sizes, count, expected):
    reference = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes)).flip(0)
    labels = labels_as(reference, count)
    assert labels.bincount(minlength=len(sizes)).tolist() == expected
    assert labels.tolist() == sorted(labels.tolist())


def test_labels_of_digits_are_what_they_always_were(data):
    assert torch.equal(labels_as(data.heldout.labels, 1000), torch.arange(10).repeat_interleave(100))


@pytest.mark.slow
def test_labels_in_other_proportions_are_right_where_the_reference_has_them(data, digits, generated):
    """Half of the reference's zeros are taken away, and so must be half of the generated ones."""
    (images,), labels = generated
    some = torch.ones(500, dtype=torch.bool)
    some[(data.heldout.labels == 0).nonzero().flatten()[:25]] = False
    uneven = data._replace(heldout=data.heldout.where(some))
    kept = torch.ones(400, dtype=torch.bool)
    kept[:20] = False
    record = evaluate([images[kept]], labels[kept], uneven, digits, seed=0).evaluation
    assert record.labels == "as the held-out split"
    with pytest.raises(ValueError, match="labels must be as the held-out split"):
        evaluate([images], labels, uneven, digits, seed=0)


@pytest.mark.slow
def test_the_classes_of_another_data_set_are_not_judged(data, digits, generated):
    names = evaluate(*generated, data._replace(classes_of="else"), digits, seed=0).metrics
    assert "eval/class_accuracy/digits-cnn" not in names
    assert "eval/fid/digits-cnn" in names


def test_too_few_images_for_a_fid_are_refused(data, digits, generated):
    (images,), labels = generated
    few = torch.cat([(labels == c).nonzero().flatten()[:3] for c in range(10)])
    with pytest.raises(LabError, match=r"30 generated images have 32 features each; raise evaluation\.num_samples"):
        evaluate([images[few]], labels[few], data, digits, seed=0)


@pytest.mark.slow
def test_further_extractors_measure_the_same_images_in_one_pass(data, digits, generated):
    """Each gives the numbers that it gives alone, though the chunks can be read only once."""
    (images,), labels = generated
    other = load_extractor("digits-vicreg")
    both = evaluate(iter(images.split(150)), labels, data, digits, seed=0, also=[Eye(other, None)])
    first, second = (evaluate(images.split(150), labels, data, e, seed=0) for e in (digits, other))
    assert both.metrics == first.metrics | second.metrics
    assert {
        f"eval/{name}/{by}" for name in ("fid", "kid", "coverage") for by in ("digits-cnn", "digits-vicreg")
    } <= set(both.metrics)
    assert both.fid_deviations == first.fid_deviations
    assert (both.evaluation.extractor, both.evaluation.also) == (digits.id, [other.id])
    assert first.evaluation.also is None


@pytest.mark.slow
def test_further_extractors_compare_with_the_images_of_a_reference_file(data, digits, generated, tmp_path):
    write_reference(tmp_path / "heldout.npz", data.heldout, digits)
    other = load_extractor("digits-vicreg")
    eye = Eye(other, reference_images(tmp_path / "heldout.npz", other))
    reference = read_reference(tmp_path / "heldout.npz", digits)
    found = evaluate(*generated, data, digits, seed=0, reference=reference, also=[eye]).metrics
    alone = evaluate(*generated, data, other, seed=0).metrics
    for name in ("fid", "kid", "precision", "coverage"):
        assert found[f"eval/{name}/digits-vicreg"] == pytest.approx(alone[f"eval/{name}/digits-vicreg"], rel=1e-4)
    assert "eval/fid_train/digits-vicreg" not in found

"""FID against a file of statistics: closed forms, and the same numbers as from the images that it was made of."""

import hashlib
from uuid import uuid4

import numpy as np
import pytest
import torch

from lina_lab.config.data import DIGITS
from lina_lab.config.settings import EvaluationConfig
from lina_lab.data.datasets import load_dataset, to_uint8
from lina_lab.errors import LabError
from lina_lab.evaluation.evaluate import evaluate
from lina_lab.evaluation.extractors import load_extractor
from lina_lab.evaluation.features import Extractor, Features
from lina_lab.evaluation.metrics import Statistics, fid, precision_recall
from lina_lab.evaluation.reference import (
    features_of_real,
    load_reference,
    read_reference,
    reference_of,
    write_reference,
)


@pytest.fixture(scope="module")
def data():
    return load_dataset(DIGITS)


@pytest.fixture(scope="module")
def digits():
    return load_extractor("digits-cnn")


@pytest.fixture(scope="module")
def generated(data):
    """60 noisy training images of every class, in uneven chunks, and their labels."""
    index = torch.cat([(data.train.labels == c).nonzero().flatten()[:60] for c in range(10)])
    noise = torch.randn(600, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    images = to_uint8((data.train.images[index] + 0.2 * noise).clamp(-1, 1))
    return images.split([250, 250, 100]), data.train.labels[index]


@pytest.mark.slow
def test_a_file_of_the_held_out_split_gives_the_numbers_of_the_held_out_split(data, digits, generated, tmp_path):
    path = tmp_path / "new" / "heldout.npz"
    write_reference(path, data.heldout, digits)
    own = evaluate(*generated, data, digits, seed=0)
    read = evaluate(*generated, data, digits, seed=0, reference=read_reference(path, digits))
    kept = {name: value for name, value in own.metrics.items() if "_train" not in name}
    assert read.metrics == pytest.approx(kept, rel=1e-6)
    assert {"eval/kid/digits-cnn", "eval/precision/digits-cnn", "eval/fid_jackknife/digits-cnn"} <= set(read.metrics)
    assert read.evaluation.reference_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (read.evaluation.num_reference, read.evaluation.labels) == (500, "exactly balanced")
    assert read.evaluation.num_reference_train is None


@pytest.mark.slow
def test_adms_file_has_no_count_and_without_images_only_fids(data, digits, generated, tmp_path):
    """As ADM's batches: mu and sigma, others beside them."""
    path, real = tmp_path / "adm.npz", reference_of(data.heldout, digits).features.double().numpy()
    np.savez(path, mu=real.mean(0), sigma=np.cov(real.T), mu_s=np.zeros(7), sigma_s=np.eye(7))
    found = evaluate(*generated, data, digits, seed=0, reference=read_reference(path, digits))
    own = evaluate(*generated, data, digits, seed=0)
    names = {"fid", "fid_jackknife", "fid_bootstrap_sd", "class_accuracy"}
    assert set(found.metrics) == {f"eval/{name}/digits-cnn" for name in names}
    assert found.metrics["eval/fid/digits-cnn"] == pytest.approx(own.metrics["eval/fid/digits-cnn"], rel=1e-6)
    assert found.evaluation.num_reference is None


@pytest.mark.slow
def test_fid_against_statistics_of_2048_features_is_the_closed_form():
    """N(0, 1) against N(c, s² 1), known exactly: d c² + d (1 - s)², and what n = 2,100 images add to it."""
    n, d = 2100, 2048
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x -= x.mean(0)
    values = torch.linalg.eigvalsh(x.T @ x / (n - 1)).clamp(min=0)
    expected = d * 0.3**2 + float((values.sqrt() - 1.5).square().sum())
    real = Statistics(np.full(d, 0.3), np.eye(d) * 1.5**2)
    assert fid(x, real) == pytest.approx(expected, rel=1e-6)


def test_a_float32_file_as_adms_is_read_as_float64(digits, tmp_path):
    x = np.random.default_rng(0).normal(size=(500, 32)).astype(np.float32)
    np.savez(tmp_path / "a.npz", mu=x.mean(0), sigma=np.cov(x.T).astype(np.float32))
    statistics = read_reference(tmp_path / "a.npz", digits).statistics
    assert statistics.mu.dtype == statistics.sigma.dtype == np.float64
    features = torch.tensor(np.random.default_rng(1).normal(size=(400, 32)))
    assert fid(features, statistics) == pytest.approx(fid(features, torch.tensor(x)), rel=1e-5)


GOOD = {"mu": np.zeros(32), "sigma": np.eye(32)}
SKEW, NEGATIVE, INFINITE = np.eye(32), np.eye(32), np.zeros(32)
SKEW[1, 0] = 0.5
NEGATIVE[2, 2] = -0.25
INFINITE[4] = np.inf


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"mu": GOOD["mu"]}, r"must have the arrays mu and sigma; there is no sigma"),
        ({"arr_0": np.zeros(3)}, r"there is no mu and no sigma"),
        ({"mu": np.zeros(2048), "sigma": np.eye(2048)}, r"32 features of digits-cnn, not shape \(2048,\)"),
        (GOOD | {"sigma": np.eye(31)}, r"sigma must be 32 x 32 as mu has it, not \(31, 31\)"),
        (GOOD | {"sigma": SKEW}, r"symmetric; values differ from their mirror by up to 0\.5"),
        (GOOD | {"sigma": NEGATIVE}, r"no negative eigenvalue, as a covariance; one is -0\.25"),
        (GOOD | {"mu": INFINITE}, r"must be finite"),
        (GOOD | {"extractor": np.array("emoji-cnn-32-00000000")}, r"of the features of emoji-cnn-32-00000000, not of"),
        (GOOD | {"arr_0": np.zeros((2, 8, 8, 3))}, r"arr_0: must be uint8 in C order, not float64"),
    ],
)
def test_a_file_that_is_no_reference_of_these_features_is_named(digits, tmp_path, arrays, message):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(LabError, match=rf"x\.npz: .*{message}"):
        read_reference(tmp_path / "x.npz", digits)


def test_a_missing_or_damaged_file_is_named(digits, tmp_path):
    with pytest.raises(LabError, match=r"x\.npz: no such file"):
        load_reference(EvaluationConfig(reference=str(tmp_path / "x.npz")), digits)
    (tmp_path / "x.npz").write_bytes(b"PK")
    with pytest.raises(LabError, match=r"x\.npz: must be a whole \.npz"):
        read_reference(tmp_path / "x.npz", digits)
    assert load_reference(EvaluationConfig(), digits) is None


@pytest.mark.slow
def test_images_are_extracted_a_chunk_at_a_time(digits, generated, tmp_path, data):
    """Of generated images and of a reference's own never more than 250 are in one piece."""
    write_reference(tmp_path / "heldout.npz", data.heldout, digits)
    sizes = []

    def extract(images):
        sizes.append(len(images))
        return digits.extract(images)

    watched = Extractor(digits.name, digits.id, digits.dim, extract)
    reference = read_reference(tmp_path / "heldout.npz", watched)
    evaluate(iter(generated[0]), generated[1], data, watched, seed=0, reference=reference)
    assert sizes == [250, 250, 250, 250, 100]


def test_distances_of_many_images_are_taken_part_by_part_and_are_the_same(monkeypatch):
    x = torch.randn(400, 5, generator=torch.Generator().manual_seed(0))
    y = torch.randn(300, 5, generator=torch.Generator().manual_seed(1)) + 0.5
    whole = precision_recall(x, y)
    monkeypatch.setattr("lina_lab.evaluation.metrics.WHOLE_DISTANCES", 100)
    assert precision_recall(x, y) == whole


def test_a_reference_needs_more_images_than_features(digits, data, tmp_path):
    few = data.heldout.where(torch.arange(500) < 32)
    with pytest.raises(LabError, match="32 real images have 32 features each"):
        write_reference(tmp_path / "few.npz", few, digits)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_with_many_features_the_noise_is_told_by_halves():
    """300 features: a bootstrap would be left out, and the deviation by halves stands in its place."""
    data = load_dataset(DIGITS)

    def extract(images):
        wide = torch.randn(192, 300, generator=torch.Generator().manual_seed(3))
        return Features(
            images.flatten(1).float() @ wide / 500
            + torch.randn(len(images), 300, generator=torch.Generator().manual_seed(len(images))),
            None,
        )

    extractor = Extractor("wide", "wide-0", 300, extract)
    labels = torch.arange(10).repeat_interleave(70)
    images = torch.randint(0, 256, (700, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    found = evaluate([images], labels, data, extractor, seed=0)
    assert found.metrics["eval/fid_halves_sd/wide"] > 0
    assert "eval/fid_bootstrap_sd/wide" not in found.metrics
    assert np.sqrt(np.mean(np.square(found.fid_deviations))) == pytest.approx(found.metrics["eval/fid_halves_sd/wide"])


def test_features_of_real_images_are_extracted_once_for_all_cells_and_again_for_other_images_or_weights():
    seen = []

    def extract(images):
        seen.append(len(images))
        return Features(images.flatten(1)[:, :2].float())

    images = torch.arange(4 * 3 * 2 * 2, dtype=torch.uint8).view(4, 3, 2, 2)
    one = Extractor(name="one", id=f"one-{uuid4()}", dim=2, extract=extract)
    first, digest = features_of_real(images, one)
    again, same = features_of_real(images.clone(), one)
    assert (first.features.tolist(), digest) == (again.features.tolist(), same)
    assert seen == [4]
    other = images.clone()
    other[0, 0, 0, 0] += 1
    assert features_of_real(other, one)[1] != digest
    assert features_of_real(images, one._replace(id=f"two-{uuid4()}"))[1] == digest
    assert seen == [4, 4, 4]

"""Distances against closed forms, definitions and simulations with known truth."""

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from lina_lab.errors import LabError
from lina_lab.evaluation.metrics import (
    cmmd,
    density_coverage,
    fid,
    fid_bootstrap,
    fid_halved,
    inception_score,
    kid,
    precision_recall,
)


def normal(count: int, dim: int, seed: int) -> Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def whitened(count: int, dim: int, seed: int) -> Tensor:
    """A sample with mean exactly 0 and covariance exactly 1."""
    x = normal(count, dim, seed)
    x = x - x.mean(0)
    return x @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T))).T


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_fid_is_the_closed_form_for_known_gaussians():
    """Commuting covariances: |μ₁ - μ₂|² + Σ_i (√a_i - √b_i)²."""
    x, y = whitened(400, 7, 0), whitened(300, 7, 1)
    a, b = torch.arange(1, 8).double(), torch.arange(7, 0, -1).double() ** 2
    shift = torch.linspace(-1, 2, 7).double()
    expected = shift.square().sum() + (a.sqrt() - b.sqrt()).square().sum()
    assert fid(x * a.sqrt() + shift, y * b.sqrt()) == pytest.approx(expected.item(), rel=1e-6)


def test_fid_is_its_definition_by_a_matrix_square_root():
    x, y = normal(200, 5, 2) @ normal(5, 5, 3), normal(300, 5, 4) + 0.3
    cx, cy = np.cov(x.T.numpy()), np.cov(y.T.numpy())
    root = scipy.linalg.sqrtm(cx @ cy).real
    expected = float((x.mean(0) - y.mean(0)).square().sum()) + np.trace(cx + cy - 2 * root)
    assert fid(x, y) == pytest.approx(expected, rel=1e-5)
    assert fid(x, y) == pytest.approx(fid(y, x), rel=1e-5)
    assert fid(x, x) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(("generated", "real", "what"), [(32, 100, "generated"), (100, 20, "real")])
def test_fid_of_too_few_images_is_refused(generated, real, what):
    with pytest.raises(LabError, match=f"{min(generated, real)} {what} images have 32 features each"):
        fid(normal(generated, 32, 0), normal(real, 32, 1))


@pytest.mark.slow
def test_the_jackknife_removes_most_of_the_bias():
    """Both sets from one distribution, the reference nearly exhaustive: the truth is almost 0."""
    real = normal(20_000, 16, 99)
    plain, jackknifed = [], []
    for seed in range(12):
        generated = normal(250, 16, seed)
        plain.append(fid(generated, real))
        jackknifed.append(fid_halved(generated, real, generator(seed)).jackknife)
    assert np.mean(plain) > 0.2
    assert abs(np.mean(jackknifed)) < 0.25 * np.mean(plain)


def test_a_jackknife_without_enough_images_is_missing_and_not_invented():
    assert fid_halved(normal(64, 32, 0), normal(100, 32, 1), generator()) is None
    assert fid_halved(normal(66, 32, 0), normal(100, 32, 1), generator()) is not None


@pytest.mark.slow
def test_the_noise_by_bootstrap_and_by_halves_is_the_spread_of_fresh_samples():
    real = normal(5_000, 8, 99)
    fresh = np.std([fid(normal(500, 8, seed) + 0.3, real) for seed in range(60)], ddof=1)
    one = normal(500, 8, 77) + 0.3
    assert 0.6 * fresh < fid_bootstrap(one, real, generator()).sd < 1.7 * fresh
    halves = [fid_halved(normal(500, 8, seed) + 0.3, real, generator(seed)).noise.sd for seed in range(100, 110)]
    assert 0.8 * fresh < np.mean(halves) < 1.25 * fresh
    assert fid_bootstrap(normal(400, 300, 0), normal(400, 300, 1), generator()) is None


@pytest.mark.slow
@pytest.mark.parametrize("by", ["bootstrap", "halves"])
def test_paired_noise_is_the_spread_of_the_difference_of_sets_from_the_same_seeds(by):
    """The second set is the first, a little wider: their FIDs move together, and their difference hardly moves."""
    real = normal(5_000, 8, 99)

    def noise(x):
        found = fid_bootstrap(x, real, generator()) if by == "bootstrap" else fid_halved(x, real, generator()).noise
        return np.array(found.deviations)

    pairs = [(x := normal(500, 8, seed) + 0.3, 1.1 * x) for seed in range(60)]
    fresh = np.std([fid(wide, real) - fid(x, real) for x, wide in pairs], ddof=1)
    estimated = np.mean([np.sqrt(np.mean((noise(wide) - noise(x)) ** 2)) for x, wide in pairs[:8]])
    alone = np.mean([np.sqrt(np.mean(noise(x) ** 2)) for x, _ in pairs[:8]])
    assert 0.7 * fresh < estimated < 1.4 * fresh
    assert estimated < 0.6 * alone


@pytest.mark.slow
def test_kid_is_unbiased_and_sees_a_shift():
    real = normal(800, 16, 99)
    null = [kid(normal(400, 16, seed), real) for seed in range(10)]
    assert abs(np.mean(null)) < 2 * np.std(null) / np.sqrt(10) + 1e-3
    assert kid(normal(400, 16, 1) + 0.5, real) > 10 * max(map(abs, null))


def test_kid_is_its_definition_when_the_subset_is_everything():
    """One subset of all images in a fixed order of no consequence: the unbiased cubic estimate."""
    x, y = normal(60, 4, 5).float(), normal(120, 4, 6).float() + 0.4

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a.double() @ b.double().T / 4 + 1) ** 3

    def off_diagonal_mean(k: Tensor) -> Tensor:
        return (k.sum() - k.trace()) / (len(k) * (len(k) - 1))

    exact = off_diagonal_mean(kernel(x, x)) + off_diagonal_mean(kernel(y, y)) - 2 * kernel(x, y).mean()
    assert kid(x, y) == pytest.approx(exact.item(), rel=0.15)


def test_precision_and_recall_tell_missing_modes_from_strange_images():
    """Two modes in the real set. One mode generated: precise, half recalled. Both and noise: the other way round."""
    near, far = normal(300, 3, 0).float() * 0.1, normal(300, 3, 1).float() * 0.1 + 10
    real = torch.cat([near, far])
    one_mode = normal(600, 3, 2).float() * 0.1
    precision, recall = precision_recall(one_mode, real)
    assert precision > 0.9
    assert 0.4 < recall <= 0.55
    swapped = precision_recall(real, one_mode)
    assert swapped == pytest.approx((recall, precision), abs=0.02)


@pytest.mark.slow
def test_no_metric_touches_a_global_random_state():
    x, y = normal(300, 8, 0), normal(300, 8, 1)
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002, the global state is what is tested
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    found = [fid(x, y), kid(x, y, 3), *precision_recall(x, y), fid_halved(x, y, generator())]
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002
    torch.manual_seed(6)
    assert found == [fid(x, y), kid(x, y, 3), *precision_recall(x, y), fid_halved(x, y, generator())]


@pytest.mark.parametrize("metric", [fid, kid, precision_recall])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_features_that_are_not_finite_give_no_number(metric, value):
    good, bad = normal(300, 8, 0), normal(300, 8, 1)
    bad[7, 3] = bad[9, 0] = value
    with pytest.raises(LabError, match="those of 2 of 300 generated images hold NaN or infinite"):
        metric(bad, good)
    with pytest.raises(LabError, match="those of 2 of 300 real images hold NaN or infinite"):
        metric(good, bad)


@pytest.mark.parametrize("part", [10_000, 50])
def test_density_and_coverage_are_their_definitions(monkeypatch, part):
    """Naeem et al. 2020, written with loops; also where the distances are taken part by part."""
    monkeypatch.setattr("lina_lab.evaluation.metrics.WHOLE_DISTANCES", part)
    real, generated = normal(60, 3, 0), normal(40, 3, 1) + 0.4
    distances = [[float((x - y).norm()) for y in real] for x in real]
    radii = [sorted(row)[5] for row in distances]  # the first is the image itself
    inside = [[float((x - y).norm()) <= radius for y in generated] for x, radius in zip(real, radii, strict=True)]
    expected = sum(map(sum, inside)) / (5 * 40), sum(map(any, inside)) / 60
    assert density_coverage(generated, real) == pytest.approx(expected)
    assert 0 < expected[1] < 1


def test_density_and_coverage_tell_a_dropped_mode_from_outliers():
    """Half of two clusters is covered by one of them; copies of the data are dense and cover all."""
    real = torch.cat([normal(200, 4, 0), normal(200, 4, 1) + 50])
    same = torch.cat([normal(200, 4, 2), normal(200, 4, 3) + 50])
    assert density_coverage(same, real)[0] == pytest.approx(1, abs=0.1)
    assert density_coverage(same, real)[1] > 0.9
    assert density_coverage(normal(400, 4, 4), real)[1] == pytest.approx(0.5, abs=0.02)
    assert density_coverage(normal(400, 4, 4) + 1000, real) == (0, 0)
    assert density_coverage(normal(10, 4, 4), real[:5]) is None


def test_the_inception_score_is_the_number_of_classes_that_are_drawn_surely_and_equally():
    sure = 50 * torch.eye(7, 12)[torch.randint(7, (20_000,), generator=generator())]
    assert inception_score(sure) == pytest.approx(7, rel=1e-2)
    assert inception_score(torch.zeros(100, 12)) == pytest.approx(1)
    assert inception_score(torch.zeros(9, 12)) is None


def test_cmmd_is_its_definition():
    """1,000 (mean k(x, x') + mean k(y, y') - 2 mean k(x, y)) of unit vectors, k = exp(-|a - b|² / 200)."""
    x, y = normal(30, 6, 0), normal(50, 6, 1) + 0.5
    a, b = ((z / z.norm(dim=1, keepdim=True)).numpy() for z in (x, y))

    def mean(first, second):
        return np.mean([[np.exp(-np.sum((p - q) ** 2) / 200) for q in second] for p in first])

    assert cmmd(x, y) == pytest.approx(1000 * (mean(a, a) + mean(b, b) - 2 * mean(a, b)), rel=1e-6)
    assert cmmd(x, 3 * x) == pytest.approx(0, abs=1e-9)

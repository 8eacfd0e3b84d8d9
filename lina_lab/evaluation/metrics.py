"""FID, KID, precision, recall, density, coverage, IS and CMMD, most of them thin functions over torch-fidelity.

Shapes: n generated and m real images, d features. No function changes a global random state.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from lina_lab.errors import LabError
from lina_lab.evaluation.reference_file import Statistics

HALVINGS = 8
"""Random halvings that the jackknife averages over."""
RESAMPLES = 30
BOOTSTRAP_MOST_FEATURES = 256
"""With 2,048 features one FID takes seconds, and a bootstrap minutes."""
WHOLE_DISTANCES = 10_000
"""Most images whose pairwise distances are computed as one array; with more they are computed in blocks."""
ROWS = WHOLE_DISTANCES // 10
"""Images whose distances to all others are in memory at once, where they are computed in blocks."""
NEIGHBOURS, CMMD_WIDTH = 5, 10.0
"""Of density and coverage, and of the kernel of CMMD, as published."""
IS_SPLITS = 10
"""Parts of the images of which torch-fidelity averages the Inception score."""


def statistics_of(features: Tensor) -> Statistics:
    """Mean and covariance (with n - 1) of features (n, d), in float64."""
    from torch_fidelity.metric_fid import fid_features_to_statistics

    return Statistics(**fid_features_to_statistics(features.double()))


def fid(generated: Tensor, real: Tensor | Statistics) -> float:
    """Fréchet distance of the Gaussians fitted to (n, d) and (m, d): |μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁ Σ₂)^½).

    Raises:
        LabError: if either set has no more images than features: its covariance would be singular.
    """
    from torch_fidelity.metric_fid import fid_statistics_to_metric

    check_features("generated", generated)
    if isinstance(real, Tensor):
        check_features("real", real)
        real = statistics_of(real)
    both = (statistics_of(generated)._asdict(), real._asdict())
    return float(fid_statistics_to_metric(*both, verbose=False)["frechet_inception_distance"])


class Noise(NamedTuple):
    """Resampling deviations of a FID; their root mean square is its standard deviation.

    Two sets of equal size under one generator seed are resampled by the same image numbers. If image i of both was
    drawn from the same noise, the deviations can be subtracted: the root mean square of the differences is the standard
    deviation of the difference of the two FIDs.
    """

    deviations: tuple[float, ...]

    @property
    def sd(self) -> float:
        return float(np.mean(np.square(self.deviations))) ** 0.5


class Halved(NamedTuple):
    """A FID with most of its bias in n removed, and the noise of the plain FID."""

    jackknife: float
    noise: Noise


def fid_halved(generated: Tensor, real: Tensor | Statistics, generator: Generator) -> Halved | None:
    """2 FID(n) - mean FID(n / 2), over random halvings of the generated set; None if a half has too few images.

    A deviation is half the difference of two halves' FIDs. Halves are independent and have twice the variance of the
    whole, so their difference has four times that variance, and half of it the variance of the whole.
    """
    half = len(generated) // 2
    if half <= generated.shape[1]:
        return None
    pairs = []
    for _ in range(HALVINGS):
        order = torch.randperm(len(generated), generator=generator)
        pairs.append((fid(generated[order[:half]], real), fid(generated[order[half : 2 * half]], real)))
    jackknife = 2 * fid(generated, real) - float(np.mean(pairs))
    return Halved(jackknife, Noise(tuple((first - second) / 2 for first, second in pairs)))


def fid_bootstrap(generated: Tensor, real: Tensor | Statistics, generator: Generator) -> Noise | None:
    """The sampling noise of a FID, by resampling the generated images; None for more than 256 features.

    Only deviations from the mean are used: resampling with replacement repeats images, which raises the FID itself.
    """
    if generated.shape[1] > BOOTSTRAP_MOST_FEATURES:
        return None
    # The same draws for every model under one seed, so that deviations of two models can be compared.
    draws = [torch.randint(len(generated), (len(generated),), generator=generator) for _ in range(RESAMPLES)]
    fids = np.array([fid(generated[index], real) for index in draws])
    return Noise(tuple((fids - fids.mean()) * (RESAMPLES / (RESAMPLES - 1)) ** 0.5))


def kid(generated: Tensor, real: Tensor, seed: int = 0) -> float:
    """Kernel inception distance (cubic polynomial kernel), unbiased in n: the mean over 100 random subsets."""
    from torch_fidelity.metric_kid import kid_features_to_metric

    check_finite(generated=generated, real=real)
    size = min(1000, len(generated) // 2, len(real) // 2)
    with torch.random.fork_rng():
        values = kid_features_to_metric(
            generated, real, kid_subsets=100, kid_subset_size=size, rng_seed=seed, verbose=False
        )
    return float(values["kernel_inception_distance_mean"])


def precision_recall(generated: Tensor, real: Tensor) -> tuple[float, float]:
    """Share of generated images near real ones, and of real images near generated ones (3 neighbours)."""
    from torch_fidelity.metric_prc import prc_features_to_metric

    check_finite(generated=generated, real=real)
    blockwise = max(len(generated), len(real)) > WHOLE_DISTANCES
    values = prc_features_to_metric(generated, real, verbose=False, save_cpu_ram=blockwise)
    return float(values["precision"]), float(values["recall"])


def density_coverage(generated: Tensor, real: Tensor) -> tuple[float, float] | None:
    """Density and coverage (Naeem et al., arXiv:2002.09797); None if there are too few real images for 5 neighbours.

    A real image's ball reaches to its fifth nearest other real image. Density: how many balls hold a generated image,
    on average, over 5; it can exceed 1. Coverage: the share of balls that hold a generated image.
    """
    if len(real) <= NEIGHBOURS:
        return None
    check_finite(generated=generated, real=real)
    inside = covered = 0
    for part, radii in zip(real.split(ROWS), _radii(real).split(ROWS), strict=True):
        within = torch.cdist(part, generated) <= radii.unsqueeze(1)
        inside += int(within.sum())
        covered += int(within.any(1).sum())
    return inside / (NEIGHBOURS * len(generated)), covered / len(real)


@lru_cache(2)  # by identity: cells are measured against the same features again and again
def _radii(real: Tensor) -> Tensor:
    """How far each real image's ball reaches, (m,)."""
    nearest = [torch.cdist(part, real).kthvalue(NEIGHBOURS + 1).values for part in real.split(ROWS)]
    return torch.cat(nearest)  # the very nearest is the image itself


def inception_score(logits: Tensor) -> float | None:
    """exp of the mean divergence of p(class | image) from p(class), over 10 splits; None of fewer than 10 images.

    logits: (n, classes).
    """
    from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, isc_features_to_metric

    check_finite(generated=logits)
    return float(isc_features_to_metric(logits)[KEY_METRIC_ISC_MEAN]) if len(logits) >= IS_SPLITS else None


def cmmd(generated: Tensor, real: Tensor) -> float:
    """1,000 times the squared MMD of features scaled to length 1, by a Gaussian kernel of width 10.

    As published (Jayasumana et al., arXiv:2401.09603): the estimate that is biased and never negative.
    """
    check_finite(generated=generated, real=real)
    a, b = (torch.nn.functional.normalize(features.double(), dim=1) for features in (generated, real))

    def kernel(first: Tensor, second: Tensor) -> float:
        sums = [(part @ second.T - 1).div(CMMD_WIDTH**2).exp().sum() for part in first.split(ROWS)]
        return float(sum(sums)) / (len(first) * len(second))

    return 1000 * (kernel(a, a) + kernel(b, b) - 2 * kernel(a, b))


def check_features(name: str, features: Tensor) -> None:
    """Raises:
    LabError: if there are no more images than features (their covariance would be singular), or one is not finite.
    """
    count, dim = features.shape
    if count <= dim:
        more = "raise evaluation.num_samples" if name == "generated" else "add images"
        raise LabError(
            f"FID needs more images than features: {count} {name} images have {dim} features each; {more} or take a "
            "smaller extractor"
        )
    check_finite(**{name: features})


def check_finite(**sets: Tensor) -> None:
    """Raises:
    LabError: naming the set of features (n, d) that holds NaN or infinite values.
    """
    for name, features in sets.items():
        bad = int((~features.isfinite()).any(1).sum())
        if bad:
            raise LabError(
                f"features not finite: those of {bad:,} of {len(features):,} {name} images hold NaN or infinite values"
            )

"""Read a FID reference file and check all that can be checked without torch and without decoding images.

    mu (d,), sigma (d, d)      of the features of all real images
    arr_0 (m, h, w, 3) uint8   some of them; without it KID, precision and recall are missing
    mu_s, sigma_s              of the spatial features of sFID, as ADM's; without them sFID is missing
    extractor, num_images      whose features and of how many images: `lab reference` writes them, ADM does not
Shapes: m real images, d features.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lina_lab.arrays import Header, headers, read_array
from lina_lab.errors import LabError

ROUNDING = 1e-5
"""Error of a covariance stored in float32, relative to its largest value or eigenvalue."""
LEAST_IMAGES = 4
"""Precision and recall need 3 other images, KID two halves of 2."""
REAL = "fiu"
"""Kind codes of NumPy's real dtypes."""


class ExtractorNeeds(NamedTuple):
    """What a file must have to be compared with an extractor's features."""

    extractor: str
    """Name of the extractor."""
    identity: str
    """Its id, or a prefix of it."""
    dim: int
    side: int | None
    """Side of the images that it reads; None for any."""


class Statistics(NamedTuple):
    """The Gaussian fitted to features: mean (d,) and covariance (d, d), float64."""

    mu: NDArray[np.float64]
    sigma: NDArray[np.float64]


class ReferenceFile(NamedTuple):
    """A reference file without its images."""

    statistics: Statistics
    has_images: bool
    num_images: int | None
    spatial: Statistics | None


def read_file(path: Path, needs: ExtractorNeeds) -> ReferenceFile:
    """Read a file and check that it can be compared with an extractor's features.

    Raises:
        LabError: if it is missing or damaged, lacks an array, holds values of another kind, or is of other features.
    """
    arrays = headers(path)
    missing = [name for name in ("mu", "sigma") if name not in arrays]
    if missing:
        raise LabError(f"{path}: must have the arrays mu and sigma; there is no {' and no '.join(missing)}")
    if (shape := arrays["mu"].shape) != (needs.dim,):
        raise LabError(f"{path}: mu must have the {needs.dim} features of {needs.extractor}, not shape {shape}")
    _check_named(path, arrays, needs)
    if "arr_0" in arrays:
        _check_images(path, arrays["arr_0"], needs)
    count = read_array(path, "num_images").item() if "num_images" in arrays else None
    return ReferenceFile(
        statistics=_statistics(path, arrays, "mu", "sigma"),
        has_images="arr_0" in arrays,
        num_images=count,
        spatial=_statistics(path, arrays, "mu_s", "sigma_s") if {"mu_s", "sigma_s"} <= set(arrays) else None,
    )


def _statistics(path: Path, arrays: Mapping[str, Header], mean: str, covariance: str) -> Statistics:
    for name in (mean, covariance):
        if arrays[name].dtype.kind not in REAL:
            raise LabError(f"{path}: {name} must be of real numbers (float64), not {arrays[name].dtype}")
    dim = arrays[mean].shape[0] if arrays[mean].shape else 0
    if arrays[covariance].shape != (dim, dim):
        shape = arrays[covariance].shape
        raise LabError(f"{path}: {covariance} must be {dim} x {dim} as {mean} has it, not {shape}")
    mu, sigma = (read_array(path, name).astype(np.float64) for name in (mean, covariance))
    _check_values(path, mu, sigma)
    return Statistics(mu, sigma)


def _check_named(path: Path, arrays: Mapping[str, Header], needs: ExtractorNeeds) -> None:
    kinds = {"extractor": ("U", "one text"), "num_images": ("iu", "one whole number")}
    for name, (kind, meant) in kinds.items():
        if name in arrays and (arrays[name].dtype.kind not in kind or int(np.prod(arrays[name].shape)) != 1):
            raise LabError(f"{path}: {name} must be {meant}, not {arrays[name].dtype} of shape {arrays[name].shape}")
    if "extractor" in arrays and not str(given := read_array(path, "extractor").item()).startswith(needs.identity):
        raise LabError(f"{path}: is of the features of {given}, not of {needs.identity}")
    if "num_images" in arrays and (count := read_array(path, "num_images").item()) <= needs.dim:
        raise LabError(
            f"{path}: num_images must be above its {needs.dim} features, or sigma is singular, not {count:,}"
        )


def _check_images(path: Path, images: Header, needs: ExtractorNeeds) -> None:
    shape, side = images.shape, needs.side
    if images.fortran or images.dtype != np.uint8:
        order = " in Fortran order" * images.fortran
        raise LabError(f"{path}: arr_0: must be uint8 in C order, not {images.dtype}{order}")
    sides = f"{side}, {side}" if side else "h, w"
    if len(shape) != 4 or shape[3] != 3 or 0 in shape[1:] or (side and shape[1:3] != (side, side)):
        raise LabError(f"{path}: arr_0: must be images of shape (m, {sides}, 3) for {needs.extractor}, not {shape}")
    if shape[0] < LEAST_IMAGES:
        raise LabError(
            f"{path}: arr_0: must have at least {LEAST_IMAGES} images, which KID, precision and recall need, not "
            f"{shape[0]}; without arr_0 only FID is measured"
        )


def _check_values(path: Path, mu: NDArray[np.float64], sigma: NDArray[np.float64]) -> None:
    if not (np.isfinite(mu).all() and np.isfinite(sigma).all()):
        raise LabError(f"{path}: mu and sigma must be finite")
    largest, skew = float(np.abs(sigma).max()), float(np.abs(sigma - sigma.T).max())
    if skew > ROUNDING * largest:
        raise LabError(f"{path}: sigma must be symmetric; values differ from their mirror by up to {skew:.3g}")
    lowest, highest = np.linalg.eigvalsh(sigma)[[0, -1]]
    if lowest < -ROUNDING * highest:
        raise LabError(f"{path}: sigma must have no negative eigenvalue, as a covariance; one is {lowest:.3g}")

"""What generated images are compared with: the mean and covariance of real features, from a file or from images.

The file is an .npz as ADM's evaluator reads it:
    mu (d,), sigma (d, d)      of the features of all real images
    arr_0 (m, h, w, 3) uint8   some of them; without it KID, precision and recall are missing
    extractor, num_images      whose features and of how many images: `lab reference` writes them, ADM does not
Shapes: m real images, d features.
"""

import hashlib
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lina_lab.arrays import names_in, read_blocks
from lina_lab.config.settings import EvaluationConfig
from lina_lab.data.datasets import Examples, to_uint8
from lina_lab.errors import LabError
from lina_lab.evaluation.extractors import BATCH, Extractor, Features
from lina_lab.evaluation.metrics import Statistics, check_features, statistics_of
from lina_lab.files import sha256_of, write_atomic

ROUNDING = 1e-5
"""Of the largest value or eigenvalue: what a covariance kept in float32 may be wrong by."""
KEPT_IMAGES = 10_000
"""Of a reference that is written: as many as ADM's has."""


class Reference(NamedTuple):
    """Statistics of real features; those features (m, d) where the images are known; and what it was."""

    statistics: Statistics
    features: Tensor | None
    sha256: str
    num_images: int | None


def extract_all(extractor: Extractor, chunks: Iterable[Tensor]) -> Features:
    """Features (n, d), and classes (n,) where there are any, of images that come in chunks (k, 3, h, w) uint8."""
    parts = [extractor.extract(images) for images in chunks]
    classes = [part.classes for part in parts if part.classes is not None]
    return Features(torch.cat([part.features for part in parts]), torch.cat(classes) if classes else None)


def reference_of(examples: Examples, extractor: Extractor) -> Reference:
    """A split of a data set as the reference; the hash is of its pixels.

    Raises:
        LabError: if the split has no more images than features.
    """
    real = to_uint8(examples.images)
    features = extractor.extract(real).features
    check_features("real", features)
    digest = hashlib.sha256(real.contiguous().numpy().tobytes()).hexdigest()
    return Reference(statistics_of(features), features, digest, len(real))


def load_reference(config: EvaluationConfig, extractor: Extractor) -> Reference | None:
    """The reference that a config names; None where the held-out split is it."""
    return None if config.reference is None else read_reference(Path(config.reference), extractor)


def read_reference(path: Path, extractor: Extractor) -> Reference:
    """The reference in a file; the hash is of the file.

    Raises:
        LabError: if it is missing or damaged, lacks an array, or is of other features.
    """
    names = names_in(path)
    missing = [name for name in ("mu", "sigma") if name not in names]
    if missing:
        raise LabError(f"{path}: must have the arrays mu and sigma; there is no {' and no '.join(missing)}")
    with np.load(path, allow_pickle=False) as file:
        mu, sigma = file["mu"].astype(np.float64), file["sigma"].astype(np.float64)
        named = {name: file[name].item() for name in ("extractor", "num_images") if name in names}
    _check(path, mu, sigma, extractor)
    if named.get("extractor", extractor.id) != extractor.id:
        raise LabError(f"{path}: is of the features of {named['extractor']}, not of {extractor.id}")
    features = None
    if "arr_0" in names:
        blocks = (torch.tensor(block).permute(0, 3, 1, 2).contiguous() for block in read_blocks(path, "arr_0", BATCH))
        features = extract_all(extractor, blocks).features
    return Reference(Statistics(mu, sigma), features, sha256_of(path), named.get("num_images"))


def _check(path: Path, mu: NDArray[Any], sigma: NDArray[Any], extractor: Extractor) -> None:
    if mu.shape != (extractor.dim,):
        raise LabError(f"{path}: mu must have the {extractor.dim} features of {extractor.name}, not shape {mu.shape}")
    if sigma.shape != 2 * mu.shape:
        raise LabError(f"{path}: sigma must be {extractor.dim} x {extractor.dim} as mu has it, not {sigma.shape}")
    if not (np.isfinite(mu).all() and np.isfinite(sigma).all()):
        raise LabError(f"{path}: mu and sigma must be finite")
    largest = float(np.abs(sigma).max())
    skew = float(np.abs(sigma - sigma.T).max())
    if skew > ROUNDING * largest:
        raise LabError(f"{path}: sigma must be symmetric; values differ from their mirror by up to {skew:.3g}")
    lowest, highest = np.linalg.eigvalsh(sigma)[[0, -1]]
    if lowest < -ROUNDING * highest:
        raise LabError(f"{path}: sigma must have no negative eigenvalue, as a covariance; one is {lowest:.3g}")


def write_reference(path: Path, examples: Examples, extractor: Extractor) -> Reference:
    """Write a split of a data set as a reference, with `KEPT_IMAGES` of its images at most, evenly spread over it.

    Raises:
        LabError: if the split has no more images than features.
    """
    reference, file = reference_of(examples, extractor), io.BytesIO()
    kept = np.linspace(0, len(examples.images) - 1, min(len(examples.images), KEPT_IMAGES)).round().astype(int)
    np.savez_compressed(
        file,
        mu=reference.statistics.mu,
        sigma=reference.statistics.sigma,
        arr_0=to_uint8(examples.images[torch.tensor(kept)]).permute(0, 2, 3, 1).numpy(),
        extractor=np.array(extractor.id),
        num_images=np.array(len(examples.images)),
    )
    write_atomic(path, file.getvalue())
    return reference

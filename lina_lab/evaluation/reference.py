"""References: mean and covariance of real features, from a file or from a data set's images.

The file is an .npz as ADM's evaluator reads it: see reference_file.py. Shapes: m real images, d features.
"""

import hashlib
import io
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lina_lab.arrays import read_blocks
from lina_lab.config.settings import EXTRACTORS, EvaluationConfig
from lina_lab.data.datasets import Examples, to_uint8
from lina_lab.errors import LabError
from lina_lab.evaluation.extractors import BATCH, Extractor, Features
from lina_lab.evaluation.metrics import Statistics, check_features, statistics_of
from lina_lab.evaluation.reference_file import ExtractorNeeds, read_file
from lina_lab.files import sha256_of, write_atomic

KEPT_IMAGES = 10_000
"""Most images that a written reference keeps: as many as ADM's."""


class Reference(NamedTuple):
    """Statistics of real features; the features (m, d) if images are known; the SHA-256 of file or pixels."""

    statistics: Statistics
    features: Tensor | None
    sha256: str
    num_images: int | None


def extract_all(extractor: Extractor, chunks: Iterable[Tensor]) -> Features:
    """Features (n, d), and classes (n,) if predicted, of images that arrive in chunks (k, 3, h, w) uint8."""
    extracted = [extractor.extract(images) for images in chunks]
    classes = [chunk.classes for chunk in extracted if chunk.classes is not None]
    return Features(torch.cat([chunk.features for chunk in extracted]), torch.cat(classes) if classes else None)


def reference_of(examples: Examples, extractor: Extractor) -> Reference:
    """A data split as the reference, with the SHA-256 of its pixels.

    Raises:
        LabError: if the split has no more images than features.
    """
    real = to_uint8(examples.images)
    features = extractor.extract(real).features
    check_features("real", features)
    digest = hashlib.sha256(real.contiguous().numpy().tobytes()).hexdigest()
    return Reference(statistics=statistics_of(features), features=features, sha256=digest, num_images=len(real))


def load_reference(config: EvaluationConfig, extractor: Extractor) -> Reference | None:
    """The reference file of a config; None if the held-out split is the reference."""
    return None if config.reference is None else read_reference(Path(config.reference), extractor)


def read_reference(path: Path, extractor: Extractor) -> Reference:
    """The reference in a file, with the SHA-256 of the file.

    Raises:
        LabError: if it cannot be compared with the features of the extractor, or is replaced while it is read.
    """
    reads, sha256 = EXTRACTORS.get(extractor.name), _sha256(path)
    file = read_file(
        path,
        ExtractorNeeds(extractor=extractor.name, identity=extractor.id, dim=extractor.dim, side=reads and reads.side),
    )
    features = None
    if file.has_images:
        blocks = (torch.tensor(block).permute(0, 3, 1, 2).contiguous() for block in read_blocks(path, "arr_0", BATCH))
        features = extract_all(extractor, blocks).features
    if _sha256(path) != sha256:
        raise LabError(f"{path}: was replaced while it was read")
    return Reference(
        statistics=Statistics(file.mu, file.sigma), features=features, sha256=sha256, num_images=file.num_images
    )


def _sha256(path: Path) -> str:
    try:
        return sha256_of(path)
    except FileNotFoundError as error:
        raise LabError(f"{path}: no such file") from error


def write_reference(path: Path, examples: Examples, extractor: Extractor) -> Reference:
    """Write a data split as a reference file, with at most `KEPT_IMAGES` evenly spaced images.

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

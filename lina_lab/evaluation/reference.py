"""References: mean and covariance of real features, from a file or from a data set's images.

The file is an .npz as ADM's evaluator reads it: see reference_file.py. Shapes: m real images, d features.
"""

import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lina_lab.arrays import headers, read_blocks
from lina_lab.config.settings import EXTRACTORS, EvaluationConfig
from lina_lab.data.datasets import Examples, to_uint8
from lina_lab.errors import LabError
from lina_lab.evaluation.extractors import load_extractor
from lina_lab.evaluation.features import BATCH, Extractor, Features
from lina_lab.evaluation.metrics import check_features, statistics_of
from lina_lab.evaluation.reference_file import ExtractorNeeds, Statistics, read_file
from lina_lab.files import sha256_of, write_atomic

KEPT_IMAGES = 10_000
"""Most images that a written reference keeps: as many as ADM's."""


MOST_KEPT, MOST_KEPT_BYTES = 8, 2**25
"""Most sets of real features that a process keeps, and the largest that it does."""
_kept: dict[tuple[str, str], Features] = {}


class Reference(NamedTuple):
    """Statistics of real features; the features (m, d) if images are known; the SHA-256 of file or pixels."""

    statistics: Statistics
    features: Tensor | None
    sha256: str
    num_images: int | None
    spatial: Statistics | None = None
    """Of the features of sFID."""


class Eye(NamedTuple):
    """A further extractor, and what it compares with; None: the held-out split."""

    extractor: Extractor
    reference: Reference | None


def extract_all(extractors: Sequence[Extractor], chunks: Iterable[Tensor]) -> list[Features]:
    """The features by each extractor of images that arrive in chunks (k, 3, h, w) uint8, read once."""
    extracted = [[extractor.extract(images) for extractor in extractors] for images in chunks]
    return [Features.cat(parts) for parts in zip(*extracted, strict=True)]


def spatial_statistics(features: Features) -> Statistics | None:
    """For sFID; None without such features, or with too few images for them."""
    spatial = features.spatial
    return None if spatial is None or len(spatial) <= spatial.shape[1] else statistics_of(spatial)


def features_of_real(images: Tensor, extractor: Extractor) -> tuple[Features, str]:
    """Features of real images (m, 3, h, w) uint8, and the SHA-256 of their pixels.

    A process keeps those of the last few sets: a study measures dozens of cells and points against the same images.
    """
    digest = hashlib.sha256(images.contiguous().numpy().tobytes()).hexdigest()
    key = (extractor.id, digest)
    found = _kept.pop(key, None)
    if found is None:
        found = extractor.extract(images)
    if found.features.nbytes <= MOST_KEPT_BYTES and found.spatial is None:
        _kept[key] = found  # the newest is the last
    while len(_kept) > MOST_KEPT:
        del _kept[next(iter(_kept))]
    return found, digest


def reference_of(examples: Examples, extractor: Extractor) -> Reference:
    """A data split as the reference, with the SHA-256 of its pixels.

    Raises:
        LabError: if the split has no more images than features.
    """
    real = to_uint8(examples.images)
    found, digest = features_of_real(real, extractor)
    check_features("real", found.features)
    return Reference(
        statistics=statistics_of(found.features),
        features=found.features,
        sha256=digest,
        num_images=len(real),
        spatial=spatial_statistics(found),
    )


def load_reference(config: EvaluationConfig, extractor: Extractor) -> Reference | None:
    """The reference file of a config; None if the held-out split is the reference."""
    return None if config.reference is None else read_reference(Path(config.reference), extractor)


def load_also(config: EvaluationConfig) -> list[Eye]:
    """The further extractors of a config, and the images of its reference file as they see them, if it names one.

    Raises:
        LabError: if weights are missing, or the file has too few images for one of them.
    """
    extractors = map(load_extractor, config.also)
    return [Eye(e, reference_images(Path(config.reference), e) if config.reference else None) for e in extractors]


def reference_images(path: Path, extractor: Extractor) -> Reference:
    """The images in a reference file as the reference of another extractor than the file's.

    Raises:
        LabError: if it has no images, or no more of them than features.
    """
    if "arr_0" not in headers(path):
        raise LabError(f"{path}: must have images (arr_0) for {extractor.name} of evaluation.also to be compared with")
    (found,) = extract_all([extractor], _images(path))
    if len(found.features) <= extractor.dim:
        count = len(found.features)
        raise LabError(f"{path}: {extractor.name} needs more images than its {extractor.dim:,} features, not {count:,}")
    return Reference(
        statistics=statistics_of(found.features),
        features=found.features,
        sha256=_sha256(path),
        num_images=len(found.features),
        spatial=spatial_statistics(found),
    )


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
    features = extract_all([extractor], _images(path))[0].features if file.has_images else None
    if _sha256(path) != sha256:
        raise LabError(f"{path}: was replaced while it was read")
    return Reference(
        statistics=file.statistics,
        features=features,
        sha256=sha256,
        num_images=file.num_images,
        spatial=file.spatial,
    )


def _images(path: Path) -> Iterator[Tensor]:
    """Chunks (k, 3, h, w) uint8 of the images in a file."""
    for block in read_blocks(path, "arr_0", BATCH):
        yield torch.tensor(block).permute(0, 3, 1, 2).contiguous()


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
    spatial = reference.spatial
    of_sfid: dict[str, Any] = {"mu_s": spatial.mu, "sigma_s": spatial.sigma} if spatial else {}
    np.savez_compressed(
        file,
        **of_sfid,
        mu=reference.statistics.mu,
        sigma=reference.statistics.sigma,
        arr_0=to_uint8(examples.images[torch.tensor(kept)]).permute(0, 2, 3, 1).numpy(),
        extractor=np.array(extractor.id),
        num_images=np.array(len(examples.images)),
    )
    write_atomic(path, file.getvalue())
    return reference

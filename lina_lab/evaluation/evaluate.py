"""Measure generated images: every metric, and the record of what it was measured with."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib import metadata
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lina_lab.data.datasets import EIGHT_BIT_RULE, Dataset, to_uint8
from lina_lab.data.examples import evenly_spaced, fingerprint, labels_as
from lina_lab.evaluation.features import Extractor, Features
from lina_lab.evaluation.metrics import (
    Noise,
    cmmd,
    density_coverage,
    fid,
    fid_bootstrap,
    fid_halved,
    inception_score,
    kid,
    precision_recall,
)
from lina_lab.evaluation.reference import Eye, Reference, extract_all, features_of_real, reference_of
from lina_lab.ledger.result import Evaluation, RepeatedImages

MOST_TRAINING_IMAGES = 10_000
"""More would take longer than training a small cell, and move a FID of that many by less than its own noise."""


class Measurement(NamedTuple):
    """Metrics by name, `eval/<metric>/<extractor>`, and what they were measured with."""

    metrics: dict[str, float]
    evaluation: Evaluation
    fid_deviations: tuple[float, ...] = ()
    """Resampling deviations of the FID; their root mean square is its standard deviation (`metrics.Noise`)."""


def evaluate(
    chunks: Iterable[Tensor],
    labels: Tensor,
    dataset: Dataset,
    extractor: Extractor,
    seed: int,
    reference: Reference | None = None,
    also: Sequence[Eye] = (),
) -> Measurement:
    """Measure images that were generated for labels (n,); they come in chunks (k, 3, h, w) uint8, k of them at a time.

    They are compared with `reference`, or, without one, with the held-out split; then there are also metrics named
    `_train`, against the training split, or `MOST_TRAINING_IMAGES` of it. A metric that the reference does not allow is
    left out. The extractors of `also` measure the same chunks, which are read once; record and deviations are of the
    first.

    Raises:
        LabError: if there are too few images for a FID.
        ValueError: if the classes are not in the proportions of the held-out split, where that is the reference.
    """
    counts = labels.bincount(minlength=dataset.num_classes)
    training = None
    if reference is None:
        _check_labels(labels, counts, dataset)
        training = to_uint8(evenly_spaced(dataset.train.images, MOST_TRAINING_IMAGES))
    eyes, compared = [Eye(extractor, reference), *also], []
    metrics: dict[str, float] = {}
    for (by, given), generated in zip(eyes, extract_all([eye.extractor for eye in eyes], chunks), strict=True):
        real = given or reference_of(dataset.heldout, by)
        found, noise = _compared(generated, real, seed)
        if training is not None:
            train = features_of_real(training, by)[0].features
            found["fid_train"] = fid(generated.features, train)
            found["kid_train"] = kid(generated.features, train, seed)
        if by.name == "clip" and real.features is not None:
            found["cmmd"] = cmmd(generated.features, real.features)
        if by.data == dataset.classes_of and generated.classes is not None:
            found["class_accuracy"] = (generated.classes == labels).double().mean().item()
        metrics |= {f"eval/{name}/{by.name}": value for name, value in found.items() if value is not None}
        compared.append((real, noise))
    reference, noise = compared[0]
    evaluation = _record(dataset, counts, reference, extractor)
    if also:
        evaluation = replace(evaluation, also=[eye.extractor.id for eye in also])
    if training is not None:
        evaluation = replace(evaluation, num_reference_train=len(training))
    return Measurement(metrics, evaluation, noise.deviations if noise else ())


def _check_labels(labels: Tensor, counts: Tensor, dataset: Dataset) -> None:
    wanted = labels_as(dataset.heldout.labels, len(labels)).bincount(minlength=len(counts))
    if not torch.equal(counts, wanted):
        raise ValueError(
            f"labels must be as the held-out split: {wanted.tolist()} of the classes, not {counts.tolist()}"
        )


def _record(dataset: Dataset, counts: Tensor, reference: Reference, extractor: Extractor) -> Evaluation:
    return Evaluation(
        extractor=extractor.id,
        torch_fidelity=metadata.version("torch-fidelity"),
        num_generated=int(counts.sum()),
        num_reference=reference.num_images,
        data_sha256=fingerprint(dataset),
        reference_sha256=reference.sha256,
        labels="exactly balanced" if len(counts.unique()) == 1 else "as the held-out split",
        class_chance=int(counts.max()) / int(counts.sum()),
        reference_variance=float(np.trace(reference.statistics.sigma)),
        classes_not_drawn=(counts == 0).nonzero().flatten().tolist() or None,
        heldout_in_training=repeated_images(dataset),
        eight_bit_rule=EIGHT_BIT_RULE,
    )


def repeated_images(dataset: Dataset) -> RepeatedImages | None:
    """What a record says of held-out images that training has too; None if nobody looked for them."""
    return RepeatedImages(**dataset.repeats._asdict()) if dataset.repeats else None


def _compared(images: Features, reference: Reference, seed: int) -> tuple[dict[str, float | None], Noise | None]:
    generated, real = images.features, reference.statistics
    # A generator each, so that neither result depends on whether the other was computed.
    halved, noise = fid_halved(generated, real, _generator(seed)), fid_bootstrap(generated, real, _generator(seed))
    found = {
        "fid": fid(generated, real),
        "fid_jackknife": halved and halved.jackknife,
        "fid_bootstrap_sd": noise and noise.sd,
        "fid_halves_sd": halved.noise.sd if halved and not noise else None,  # only where a bootstrap takes too long
    }
    if reference.features is not None:
        found["kid"] = kid(generated, reference.features, seed)
        found["precision"], found["recall"] = precision_recall(generated, reference.features)
        found["density"], found["coverage"] = density_coverage(generated, reference.features) or (None, None)
    if images.spatial is not None and reference.spatial is not None:
        found["sfid"] = fid(images.spatial, reference.spatial)
    if images.logits is not None:
        found["inception_score"] = inception_score(images.logits)
    return found, noise or (halved and halved.noise)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)

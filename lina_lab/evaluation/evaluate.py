"""The evaluation of generated images: every metric, and the record without which a number means nothing."""

import hashlib
from importlib import metadata
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lina_lab.data.datasets import EIGHT_BIT_RULE, Dataset, to_uint8
from lina_lab.data.examples import fingerprint
from lina_lab.errors import LabError
from lina_lab.evaluation.extractors import Extractor
from lina_lab.evaluation.metrics import fid, fid_bootstrap_sd, fid_jackknife, kid, precision_recall


class Evaluation(NamedTuple):
    """Metrics by name, `eval/<metric>/<extractor>`, and what they were measured with."""

    metrics: dict[str, float]
    record: dict[str, Any]


def labels_as(reference: Tensor, count: int) -> Tensor:
    """(count,) labels, sorted, in the class proportions of the reference (n,), rounded by largest remainders.

    Of equal remainders the lower class goes first.
    """
    sizes = reference.bincount() * count
    quotas, remainders = sizes // len(reference), sizes % len(reference)
    order = remainders.argsort(descending=True, stable=True)
    quotas[order[: count - int(quotas.sum())]] += 1
    return torch.arange(len(quotas)).repeat_interleave(quotas)


def check_enough(dataset: Dataset, extractor: Extractor, num_samples: int) -> None:
    """Refuse before hours of training what `evaluate` would refuse after them.

    Raises:
        LabError: if there are not more held-out images, or samples, than features.
    """
    for what, count in (("held-out images", len(dataset.heldout.images)), ("evaluation.num_samples", num_samples)):
        if count <= extractor.dim:
            raise LabError(
                f"FID with {extractor.name} needs more images than its {extractor.dim} features: {what} must be at "
                f"least {extractor.dim + 1}, not {count}"
            )


def evaluate(images: Tensor, labels: Tensor, dataset: Dataset, extractor: Extractor, seed: int) -> Evaluation:
    """Measure images (n, 3, h, w) uint8 that were generated for labels (n,).

    The reference is the held-out split; metrics with `_train` in their name refer to the training split.

    Raises:
        LabError: if there are too few images for a FID.
        ValueError: if the classes are not in the proportions of the held-out split.
    """
    counts, wanted = labels.bincount(), labels_as(dataset.heldout.labels, len(labels)).bincount()
    if not torch.equal(counts, wanted):
        raise ValueError(
            f"labels must be as the held-out split: {wanted.tolist()} of the classes, not {counts.tolist()}"
        )
    real, train = to_uint8(dataset.heldout.images), to_uint8(dataset.train.images)
    generated, classes = extractor.extract(images)
    reference, train_reference = extractor.extract(real).features, extractor.extract(train).features
    precision, recall = precision_recall(generated, reference)
    found = {
        "fid": fid(generated, reference),
        "fid_jackknife": fid_jackknife(generated, reference, _generator(seed)),
        "fid_bootstrap_sd": fid_bootstrap_sd(generated, reference, _generator(seed)),
        "kid": kid(generated, reference, seed),
        "precision": precision,
        "recall": recall,
        "fid_train": fid(generated, train_reference),
        "kid_train": kid(generated, train_reference, seed),
        "class_accuracy": _accuracy(classes, labels) if extractor.data == dataset.name else None,
    }
    record = {
        "extractor": extractor.id,
        "torch_fidelity": metadata.version("torch-fidelity"),
        "num_generated": len(images),
        "num_reference": len(real),
        "num_reference_train": len(train),
        "data_sha256": fingerprint(dataset),
        "reference_sha256": hashlib.sha256(real.contiguous().numpy().tobytes()).hexdigest(),
        "labels": "exactly balanced" if len(counts.unique()) == 1 else "as the held-out split",
        "eight_bit_rule": EIGHT_BIT_RULE,
    }
    metrics = {f"eval/{name}/{extractor.name}": value for name, value in found.items() if value is not None}
    return Evaluation(metrics, record)


def _accuracy(classes: Tensor | None, labels: Tensor) -> float | None:
    return None if classes is None else (classes == labels).double().mean().item()


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)

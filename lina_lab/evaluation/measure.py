"""What is drawn from a trained model to measure it, and every metric of that."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lina_lab.config.settings import SamplingConfig
from lina_lab.data.datasets import Dataset, Examples
from lina_lab.evaluation.composition import composition
from lina_lab.evaluation.evaluate import Evaluation, evaluate, labels_as
from lina_lab.evaluation.extractors import Extractor
from lina_lab.evaluation.reference import Reference


class Request(NamedTuple):
    """The labels (n,) of n images to be drawn, and their prompts where the model follows prompts."""

    labels: Tensor
    prompts: Sequence[str] = ()


def requested(heldout: Examples, count: int, *, prompts: bool, num_classes: int | None = None) -> Request:
    """`count` labels in the class proportions of the held-out split, with captions of that class from it, in turn.

    Of labels alone `num_classes` asks for equally many of each class.
    """
    if not prompts:
        return Request(labels_as(heldout.labels if num_classes is None else torch.arange(num_classes), count))
    labels = labels_as(heldout.labels, count)
    places = {label: (heldout.labels == label).nonzero().flatten().tolist() for label in set(labels.tolist())}
    used: Counter[int] = Counter()
    captions = []
    for label in labels.tolist():
        captions.append(heldout.captions[places[label][used[label] % len(places[label])]])
        used[label] += 1
    return Request(labels, captions)


def measure(
    chunks: Iterable[Tensor],
    request: Request,
    dataset: Dataset,
    extractor: Extractor,
    seed: int,
    reference: Reference | None = None,
) -> Evaluation:
    """Every metric of images drawn for a request, which come in chunks (k, 3, h, w) uint8 in the order of the request.

    Of prompts on shapes there is the composition too.

    Raises:
        LabError: if there are too few images for a FID.
    """
    composed = None
    if request.prompts and dataset.name == "shapes":
        images = torch.cat(list(chunks))  # they are small
        composed, chunks = composition(images, request.prompts), [images]
    found = evaluate(chunks, request.labels, dataset, extractor, seed, reference)
    if composed is None:
        return found
    return found._replace(
        metrics=found.metrics | composed.metrics, record=found.record | {"composition": composed.record}
    )


def with_sampling(record: Mapping[str, Any], sampling: SamplingConfig) -> dict[str, Any]:
    """What numbers were measured with, and how the images were drawn."""
    drawn = sampling.model_dump()
    drawn["sampling_precision"] = drawn.pop("precision")  # a bare "precision" is a metric
    return {**record, **drawn, "weights": "ema"}

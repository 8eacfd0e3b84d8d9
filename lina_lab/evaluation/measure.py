"""What is drawn from a trained model to measure it, and every metric of that."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from lina_lab.data.datasets import Dataset, Examples
from lina_lab.evaluation.composition import composition
from lina_lab.evaluation.evaluate import Evaluation, evaluate, labels_as
from lina_lab.evaluation.extractors import Extractor


class Request(NamedTuple):
    """The labels (n,) of n images to be drawn, and their prompts where the model follows prompts."""

    labels: Tensor
    prompts: Sequence[str] = ()


def requested(heldout: Examples, count: int, *, prompts: bool) -> Request:
    """`count` labels in the class proportions of the held-out split, with captions of that class from it, in turn."""
    labels = labels_as(heldout.labels, count)
    if not prompts:
        return Request(labels)
    places = {label: (heldout.labels == label).nonzero().flatten().tolist() for label in set(labels.tolist())}
    used: Counter[int] = Counter()
    captions = []
    for label in labels.tolist():
        captions.append(heldout.captions[places[label][used[label] % len(places[label])]])
        used[label] += 1
    return Request(labels, captions)


def measure(images: Tensor, request: Request, dataset: Dataset, extractor: Extractor, seed: int) -> Evaluation:
    """Every metric of images (n, 3, h, w) uint8 drawn for a request; of prompts on shapes the composition too.

    Raises:
        LabError: if there are too few images for a FID.
    """
    found = evaluate(images, request.labels, dataset, extractor, seed)
    if not request.prompts or dataset.name != "shapes":
        return found
    composed = composition(images, request.prompts)
    return Evaluation(found.metrics | composed.metrics, found.record | {"composition": composed.record})

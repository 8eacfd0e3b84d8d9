"""Which labels or prompts to draw from a model in order to measure it."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lina_lab.config.experiment import Experiment
from lina_lab.data.datasets import Dataset
from lina_lab.data.examples import Examples, labels_as
from lina_lab.data.text import conditions


class SampleRequest(NamedTuple):
    """Labels (n,) of n images to draw, and their prompts if the model takes prompts."""

    labels: Tensor
    prompts: Sequence[str] = ()
    classes: Sequence[str] = ()
    """The classes' names, by label; empty where their numbers are their names."""


def requested(heldout: Examples, count: int, *, prompts: bool, num_classes: int | None = None) -> SampleRequest:
    """`count` labels in the class proportions of the held-out split.

    With `prompts` each comes with a held-out caption of its class, taken in turn. Without prompts, `num_classes` asks
    for equally many labels of each class instead.
    """
    if not prompts:
        return SampleRequest(labels_as(heldout.labels if num_classes is None else torch.arange(num_classes), count))
    labels = labels_as(heldout.labels, count)
    places = {label: (heldout.labels == label).nonzero().flatten().tolist() for label in set(labels.tolist())}
    used: Counter[int] = Counter()
    captions = []
    for label in labels.tolist():
        captions.append(heldout.captions[places[label][used[label] % len(places[label])]])
        used[label] += 1
    return SampleRequest(labels, captions)


def requests(experiment: Experiment, dataset: Dataset) -> tuple[SampleRequest, Tensor]:
    """What an experiment draws to be measured, and the same as conditions of the model: (n,), (n, T) or (n, T, F)."""
    prompts = experiment.data.text is not None
    classes = experiment.data.shape.num_classes if experiment.evaluation.reference else None
    count = experiment.evaluation.num_samples
    request = requested(dataset.heldout, count, prompts=prompts, num_classes=classes)._replace(classes=dataset.classes)
    asked = Examples(dataset.heldout.images, request.labels, request.prompts)
    return request, conditions(experiment.data)(asked)


def labels_and_prompts(request: SampleRequest) -> dict[str, NDArray[Any]]:
    """The labels, and class names and prompts if there are any, as arrays (n,) to store with the images."""
    known = {"labels": request.labels.numpy()}
    if request.classes:
        known["classes"] = np.array(request.classes)[known["labels"]]
    return known | ({"prompts": np.array(request.prompts)} if request.prompts else {})

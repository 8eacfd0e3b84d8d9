"""What is drawn from a trained model to measure it, and every metric of that."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lina_lab.config.settings import SamplingConfig
from lina_lab.data.datasets import Dataset
from lina_lab.evaluation.evaluate import Measurement, evaluate
from lina_lab.evaluation.features import Extractor
from lina_lab.evaluation.reference import Eye, Reference
from lina_lab.ledger.result import Evaluation
from lina_lab.sampling.request import SampleRequest


def measure(
    chunks: Iterable[Tensor],
    request: SampleRequest,
    dataset: Dataset,
    extractor: Extractor,
    seed: int,
    reference: Reference | None = None,
    also: Sequence[Eye] = (),
) -> Measurement:
    """Every metric of images drawn for a request, which come in chunks (k, 3, h, w) uint8 in the order of the request.

    On shapes the detector of objects judges too: the composition of prompts, the class of single objects.

    Raises:
        LabError: if there are too few images for a FID.
    """
    detected = None
    if dataset.classes_of == "objects" or (request.prompts and dataset.name == "shapes"):
        from lina_lab.composition.objects import object_accuracy  # scipy.stats and scipy.ndimage
        from lina_lab.composition.scores import composition

        images = torch.cat(list(chunks))  # they are small
        chunks = [images]
        detected = composition(images, request.prompts) if request.prompts else object_accuracy(images, request.labels)
    found = evaluate(chunks, request.labels, dataset, extractor, seed, reference, also)
    if detected is None:
        return found
    evaluation = replace(found.evaluation, composition=detected.record)
    return found._replace(metrics=found.metrics | detected.metrics, evaluation=evaluation)


def with_sampling(evaluation: Evaluation, sampling: SamplingConfig) -> Evaluation:
    """What numbers were measured with, and how the images were drawn: every setting, null too."""
    drawn = sampling.model_dump()
    drawn["sampling_precision"] = drawn.pop("precision")
    drawn["weights"] = "ema"
    return replace(evaluation, **drawn, keys=(*evaluation.as_json(), *drawn))

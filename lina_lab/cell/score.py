"""What is drawn from a trained model to measure it, and every metric of that."""

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor

from lina_lab.config.settings import SamplingConfig
from lina_lab.data.datasets import Dataset
from lina_lab.evaluation.evaluate import Measurement, evaluate
from lina_lab.evaluation.extractors import Extractor
from lina_lab.evaluation.reference import Reference
from lina_lab.ledger.result import Evaluation
from lina_lab.sampling.request import SampleRequest


def measure(
    chunks: Iterable[Tensor],
    request: SampleRequest,
    dataset: Dataset,
    extractor: Extractor,
    seed: int,
    reference: Reference | None = None,
) -> Measurement:
    """Every metric of images drawn for a request, which come in chunks (k, 3, h, w) uint8 in the order of the request.

    Of prompts on shapes there is the composition too.

    Raises:
        LabError: if there are too few images for a FID.
    """
    composed = None
    if request.prompts and dataset.name == "shapes":
        from lina_lab.composition.scores import composition  # scipy.stats and scipy.ndimage

        images = torch.cat(list(chunks))  # they are small
        composed, chunks = composition(images, request.prompts), [images]
    found = evaluate(chunks, request.labels, dataset, extractor, seed, reference)
    if composed is None:
        return found
    evaluation = replace(found.evaluation, composition=composed.record)
    return found._replace(metrics=found.metrics | composed.metrics, evaluation=evaluation)


def with_sampling(evaluation: Evaluation, sampling: SamplingConfig) -> Evaluation:
    """What numbers were measured with, and how the images were drawn: every setting, null too."""
    drawn = sampling.model_dump()
    drawn["sampling_precision"] = drawn.pop("precision")
    drawn["weights"] = "ema"
    return replace(evaluation, **drawn, keys=(*evaluation.as_json(), *drawn))

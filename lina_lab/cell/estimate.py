"""Estimate how long a cell will take here: train a few steps, draw a few images, and extrapolate."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from lina_lab import cost
from lina_lab.cell.score import measure
from lina_lab.config.experiment import Experiment
from lina_lab.config.settings import CheckpointConfig, EvaluationConfig
from lina_lab.data.autoencoder import decoder
from lina_lab.data.datasets import Dataset, load_dataset
from lina_lab.evaluation.evaluate import MOST_TRAINING_IMAGES
from lina_lab.evaluation.extractors import load_extractor
from lina_lab.evaluation.features import Extractor
from lina_lab.evaluation.metrics import BOOTSTRAP_MOST_FEATURES
from lina_lab.sampling.generate import SAMPLING_BATCH, generate
from lina_lab.sampling.request import SampleRequest, requests
from lina_lab.training.held_out import MOST
from lina_lab.training.train import SHEET_COLUMNS, SHEET_ROWS, build_model, train

SHORT, LONG = 2, 12
"""Steps of two trainings; their difference is free of start-up time."""
FLOPS = 2e13
"""Most FLOPs of one timed step; of a more expensive batch only some images are timed."""
EXTRACTED = 32
"""Images to time if the extractor is so large that a whole evaluation takes minutes."""


class Seconds(NamedTuple):
    """Seconds of one cell on a worker that is already running."""

    training: float
    """Proportional to the FLOPs of the training."""
    drawing: float
    """Proportional to the FLOPs of the images of evaluation and validations."""
    rest: float = 0.0
    """Equal for all cells of a size: reading data, building the model, the first steps, the evaluation."""

    @property
    def total(self) -> float:
        return sum(self)

    @classmethod
    def mean(cls, several: "Sequence[Seconds]") -> "Seconds":
        return cls(*(sum(parts) / len(several) for parts in zip(*several, strict=True)))


def cell_seconds(experiment: Experiment) -> Seconds:
    """Seconds of one cell on one worker of this machine.

    Raises:
        LabError: if its data or its extractor cannot be loaded.
    """
    if not torch.cuda.is_available():
        torch.set_num_threads(1)  # as the workers
    batch, training = experiment.training.batch_size, experiment.training
    part = batch // experiment.execution.accumulate
    step_flops = cost.training_flops(experiment) / training.steps
    timed = max(1, min(part, int(batch * FLOPS / step_flops)))
    started = time.monotonic()
    dataset = load_dataset(experiment.data, pixels=experiment.evaluation.reference is None)
    short = _training_seconds(experiment, dataset, timed, SHORT)
    setting_up = time.monotonic() - started
    image = max(_training_seconds(experiment, dataset, timed, LONG) - short, 0.0) / (LONG - SHORT) / timed

    request, labels = requests(experiment, dataset)
    drawn = labels[:: max(1, len(labels) // SAMPLING_BATCH)][:SAMPLING_BATCH]
    model, decode = build_model(experiment).eval(), decoder(experiment.data, torch.device("cpu"))
    started = time.monotonic()
    generate(model, drawn, experiment.sampling, experiment.seed, decode=decode)
    one = (time.monotonic() - started) / len(drawn)

    validations = -(-training.steps // experiment.logging.validate_every) - 1  # the last one was timed with the steps
    classes = len(labels[: len(dataset.heldout.labels)].unique(dim=0))
    shown = SHEET_ROWS * min(SHEET_COLUMNS, classes)
    losses = min(MOST, len(dataset.heldout.labels)) / 3  # a forward is a third of a step
    images = (cost.evaluation_flops(experiment) + cost.repeats_flops(experiment)) / cost.sampling_flops(experiment)
    evaluating = evaluation_seconds(experiment.evaluation, request, dataset, experiment.data.side)
    return Seconds(
        training=image * (training.steps * batch + validations * losses),
        drawing=one * (images + validations * shown),
        rest=setting_up + experiment.evaluation.num_measurements * evaluating,
    )


def evaluation_seconds(evaluation: EvaluationConfig, request: SampleRequest, dataset: Dataset, side: int) -> float:
    """Seconds of an evaluation, timed on noise, since it does not matter what the images show."""
    each = (_seconds_of(load_extractor(name), evaluation, request, dataset, side) for name in evaluation.extractors)
    return sum(each)


def _seconds_of(
    extractor: Extractor, evaluation: EvaluationConfig, request: SampleRequest, dataset: Dataset, side: int
) -> float:
    whole = extractor.dim <= BOOTSTRAP_MOST_FEATURES and evaluation.reference is None
    count = len(request.labels) if whole else EXTRACTED
    noise = torch.randint(256, (count, 3, side, side), dtype=torch.uint8)
    started = time.monotonic()
    if whole:
        measure([noise], request, dataset, extractor, 0)
        return time.monotonic() - started
    extractor.extract(noise)
    compared = 0 if evaluation.reference is not None else _compared_with(dataset)
    return (time.monotonic() - started) / count * (len(request.labels) + compared)


def _compared_with(dataset: Dataset) -> int:
    return min(len(dataset.train.labels), MOST_TRAINING_IMAGES) + len(dataset.heldout.labels)


def _training_seconds(experiment: Experiment, dataset: Dataset, batch_size: int, steps: int) -> float:
    training = {"steps": steps, "batch_size": batch_size, "warmup_steps": 0, "init_from": None}
    logging = {"every": steps, "validate_every": steps + 1, "checkpoint_every": steps + 1}
    short = experiment.model_copy(
        update={
            "training": experiment.training.model_copy(update=training),
            "evaluation": experiment.evaluation.model_copy(update={"at": ()}),
            "logging": experiment.logging.model_copy(update=logging),
            "checkpoint": CheckpointConfig(keep_end="no"),
            "execution": experiment.execution.model_copy(update={"accumulate": 1}),
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        return train(Path(folder), short, dataset).seconds

"""How long a cell will take here: a few steps of it are trained, and a few images drawn, and the rest is multiplied."""

import tempfile
import time
from pathlib import Path

import torch

from lina_lab import cost
from lina_lab.config.experiment import Experiment
from lina_lab.data.autoencoder import decoder
from lina_lab.data.datasets import load_dataset
from lina_lab.training.images import SAMPLING_BATCH, generate, requests
from lina_lab.training.train import build_model, train

SHORT, LONG = 2, 12
"""Steps of two trainings: their difference has no start-up in it."""
FLOPS = 2e13
"""Of one timed step at most: a batch that costs more is timed in part."""


def cell_seconds(experiment: Experiment) -> float:
    """Seconds of training and sampling of one cell on one worker of this machine.

    Validations and the evaluation are not in it.
    """
    if not torch.cuda.is_available():
        torch.set_num_threads(1)  # as the workers
    batch = experiment.training.batch_size
    part = batch // experiment.execution.accumulate
    step_flops = cost.training_flops(experiment) / experiment.training.steps
    timed = max(1, min(part, int(batch * FLOPS / step_flops)))
    short, long = (_training_seconds(experiment, timed, steps) for steps in (SHORT, LONG))
    training = max(long - short, 0.0) / (LONG - SHORT) * experiment.training.steps * batch / timed
    _, labels = requests(experiment, load_dataset(experiment.data, pixels=False))
    drawn = labels[:: max(1, len(labels) // SAMPLING_BATCH)][:SAMPLING_BATCH]
    model, decode = build_model(experiment).eval(), decoder(experiment.data, torch.device("cpu"))
    started = time.monotonic()
    generate(model, drawn, experiment.sampling, experiment.seed, decode=decode)
    return training + (time.monotonic() - started) * len(labels) / len(drawn)


def _training_seconds(experiment: Experiment, batch_size: int, steps: int) -> float:
    training = {"steps": steps, "batch_size": batch_size, "warmup_steps": 0, "init_from": None}
    logging = {"every": steps, "validate_every": steps + 1, "checkpoint_every": steps + 1}
    short = experiment.model_copy(
        update={
            "training": experiment.training.model_copy(update=training),
            "logging": experiment.logging.model_copy(update=logging),
            "execution": experiment.execution.model_copy(update={"accumulate": 1}),
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        return train(Path(folder), short, load_dataset(experiment.data, pixels=False)).seconds

"""The run of one cell: train, sample, evaluate, write the result. Started again, it continues."""

import hashlib
import json
import logging
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning.callbacks import EMAWeightAveraging
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from lina_lab import cost
from lina_lab.config.experiment import Experiment, SamplingConfig, cell_key
from lina_lab.data.datasets import Dataset, load_dataset, to_uint8
from lina_lab.errors import LabError
from lina_lab.evaluation.evaluate import evaluate
from lina_lab.evaluation.extractors import load_extractor
from lina_lab.files import write_atomic
from lina_lab.ledger import (
    append_metrics,
    read_experiment,
    read_metrics,
    rewind_metrics,
    write_result,
    write_state,
)
from lina_lab.model.draws import step_streams, stream
from lina_lab.model.lina import Lina
from lina_lab.provenance import provenance, uncommitted_diff
from lina_lab.training.batches import Batches
from lina_lab.training.module import Batch, LinaModule
from lina_lab.training.recorder import Recorder, Stopped, newest_checkpoint
from lina_lab.training.sheets import save_sheet

SAMPLING_BATCH = 250
SHEET_COLUMNS = 8


def run_cell(
    folder: Path, stop: threading.Event | None = None, until: int = 0
) -> Literal["done", "diverged", "stopped", "paused"]:
    """Bring a cell to its result, or, once `stop` is set or step `until` is done, to a checkpoint.

    The caller holds the claim.

    Raises:
        LabError: if the cell cannot be run as it is described.
    """
    experiment = read_experiment(folder)
    record = provenance()
    dataset = load_dataset(experiment.data)
    extractor = load_extractor(experiment.evaluation.extractor)
    steps = experiment.training.steps
    (folder / "samples").mkdir(parents=True, exist_ok=True)
    if "diff_sha256" in record:
        write_atomic(folder / "diff.patch", uncommitted_diff())
    try:
        trained = _trained(folder, experiment, dataset, stop or threading.Event(), until)
        seconds = {"training": trained.seconds}
        result = describe(experiment) | {"seconds": seconds, "provenance": record}
        if trained.diverged_at is not None:
            at = trained.diverged_at
            write_result(folder, result | {"state": "diverged", "diverged_at": at, "steps": at})
            write_state(folder, step=at, steps=steps)
            return "diverged"

        started = time.monotonic()
        labels = balanced_labels(experiment)
        shows = _shows_sampling(folder, experiment, stop or threading.Event())
        images = generate(trained.model, labels, experiment.sampling, experiment.seed, shows)
    except Stopped:
        return "stopped" if stop is not None and stop.is_set() else "paused"
    save_images(folder / "samples" / "generated.npz", images, labels)
    seconds["sampling"] = time.monotonic() - started

    started = time.monotonic()
    write_state(folder, phase="evaluating", step=steps, steps=steps)
    evaluation = evaluate(images, labels, dataset, extractor, experiment.seed)
    seconds["evaluation"] = time.monotonic() - started
    append_metrics(folder, steps, evaluation.metrics)
    metrics = {row.metric: row.value for row in read_metrics(folder)}
    record_of_samples = evaluation.record | experiment.sampling.model_dump() | {"weights": "ema"}
    write_result(folder, result | {"state": "done", "metrics": metrics, "evaluation": record_of_samples})
    write_state(folder, step=steps, steps=steps)
    return "done"


class Trained(NamedTuple):
    """A model with its averaged weights; the step at which it diverged, if it did; seconds of training."""

    model: Lina
    diverged_at: int | None
    seconds: float


def _trained(folder: Path, experiment: Experiment, dataset: Dataset, stop: threading.Event, until: int) -> Trained:
    """Train, unless an earlier attempt has: then its weights, and its metrics without those of an evaluation."""
    path = folder / "ema.safetensors"
    seconds = _training_seconds(folder)
    if seconds is not None:
        rewind_metrics(folder, experiment.training.steps, drop="eval/")
        return Trained(load_trained(folder)[1].to(_device()), None, seconds)
    trained = train(folder, experiment, dataset, stop, until)
    if trained.diverged_at is None:
        weights = save({name: value.cpu().contiguous() for name, value in trained.model.state_dict().items()})
        record = {"seconds": trained.seconds, "sha256": hashlib.sha256(weights).hexdigest()}
        write_atomic(path, weights)
        write_atomic(folder / "trained.json", json.dumps(record))
    return trained


def _training_seconds(folder: Path) -> float | None:
    """What the training took, if its weights are there, every byte as it was written."""
    try:
        record = json.loads((folder / "trained.json").read_text(encoding="utf-8"))
        whole = record["sha256"] == hashlib.sha256((folder / "ema.safetensors").read_bytes()).hexdigest()
        return float(record["seconds"]) if whole else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def describe(experiment: Experiment) -> dict[str, Any]:
    """What is known of a cell before it runs."""
    steps = experiment.training.steps
    return {
        "key": cell_key(experiment),
        "name": experiment.name,
        "seed": experiment.seed,
        "parameters": cost.parameters(experiment.model, experiment.data.shape).as_dict(),
        "flops": {"training": cost.training_flops(experiment), "sampling": cost.sampling_flops(experiment)},
        "steps": steps,
        "samples_seen": steps * experiment.training.batch_size,
    }


def build_model(experiment: Experiment) -> Lina:
    """The model of an experiment at its start: the same weights for the same design and seed."""
    return Lina(experiment.model, experiment.data.shape, experiment.seed)


def train(
    folder: Path, experiment: Experiment, dataset: Dataset, stop: threading.Event | None = None, until: int = 0
) -> Trained:
    """Train from the newest checkpoint, or from the start.

    Raises:
        Stopped: when `stop` is set or step `until` is done, once a checkpoint of the step is written.
    """
    _quiet_lightning()
    model, recorder = build_model(experiment), Recorder(folder, experiment, stop or threading.Event(), until)
    training, every = experiment.training, experiment.logging.validate_every
    found = newest_checkpoint(folder)
    checkpoint, start = found or (None, 0)
    rewind_metrics(folder, start)
    write_state(folder, phase="starting", step=start, steps=training.steps)

    def validate(model: Lina, held_out: Batch, step: int) -> None:
        if recorder.diverged_at is None:
            _validate(folder, experiment, model, held_out, step)

    ema = EMAWeightAveraging(decay=training.ema_decay, update_every_n_steps=training.ema_every)
    trainer = pl.Trainer(
        max_steps=training.steps,
        accelerator="auto",
        devices=1,
        # Under SLURM Lightning would requeue the job by its own lights; the ledger does.
        plugins=[LightningEnvironment()],
        precision="bf16-mixed" if training.precision == "bf16" else "32-true",
        gradient_clip_val=training.gradient_clip,
        callbacks=[ema, recorder],
        val_check_interval=every,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    held_out = (dataset.heldout_images, dataset.heldout_labels)
    batches = Batches(dataset.train_images, dataset.train_labels, training.batch_size, experiment.seed, start)
    trainer.fit(
        LinaModule(model, training, experiment.seed, validate),
        batches,
        DataLoader(TensorDataset(*held_out), batch_size=len(held_out[0])),
        ckpt_path=checkpoint,
        weights_only=True,
    )
    model.to(_device()).eval()  # Lightning leaves it on the processor
    if recorder.diverged_at is None and training.steps % every:
        validate(model, (held_out[0].to(_device()), held_out[1].to(_device())), training.steps)
    return Trained(model, recorder.diverged_at, recorder.seconds)


@torch.no_grad()
def _validate(folder: Path, experiment: Experiment, model: Lina, held_out: Batch, step: int) -> None:
    """Held-out loss and a sheet of samples; the same draws at every step, so that only the weights differ."""
    loss = model.loss(held_out, experiment.training, step_streams(experiment.seed, -1))
    append_metrics(folder, step, {"val/loss": float(loss)})
    classes = experiment.data.shape.num_classes
    labels = torch.arange(min(classes, 10)).repeat_interleave(SHEET_COLUMNS)
    images = generate(model, labels, experiment.sampling, experiment.seed)
    save_sheet(folder / "samples" / f"step-{step:07d}.png", images, SHEET_COLUMNS)


def balanced_labels(experiment: Experiment) -> Tensor:
    """(num_samples,) labels, the same number of every class."""
    classes = experiment.data.shape.num_classes
    return torch.arange(classes).repeat_interleave(experiment.evaluation.num_samples // classes)


def generate(
    model: Lina,
    labels: Tensor,
    sampling: SamplingConfig,
    seed: int,
    progress: Callable[[float], None] = lambda share: None,
) -> Tensor:
    """Images (n, 3, H, W) uint8 of labels (n,). Image i has a generator of its own, so batches do not matter."""
    device = next(model.parameters()).device
    images = []
    for first in range(0, len(labels), SAMPLING_BATCH):
        chunk = labels[first : first + SAMPLING_BATCH]
        generators = [stream(seed, "sample", first + i) for i in range(len(chunk))]

        def step_done(step: int, steps: int, first: int = first, size: int = len(chunk)) -> None:
            progress((first + size * step / steps) / len(labels))

        images.append(to_uint8(model.sample(chunk.to(device), sampling, generators, step_done).float().cpu()))
    return torch.cat(images)


def save_images(path: Path, images: Tensor, labels: Tensor) -> None:
    """An npz that ADM's evaluator reads: `arr_0` (n, H, W, 3) uint8; `labels` beside it."""
    part = path.with_suffix(".part.npz")
    np.savez_compressed(part, arr_0=images.permute(0, 2, 3, 1).numpy(), labels=labels.numpy())
    part.replace(path)


def load_trained(folder: Path) -> tuple[Experiment, Lina]:
    """The experiment and the averaged model of a trained cell.

    Raises:
        LabError: if the cell has no trained weights, or they are damaged.
    """
    experiment, path = read_experiment(folder), folder / "ema.safetensors"
    if not path.exists():
        raise LabError(f"{path}: no such file: the cell is not trained yet; lab train or lab sweep trains it")
    model = Lina(experiment.model, experiment.data.shape)
    try:
        model.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError, OSError) as error:
        raise LabError(f"{path}: damaged: {str(error).splitlines()[0]}; delete it and train the cell again") from error
    return experiment, model.eval()


def _device() -> torch.device:
    """The device that Lightning takes for `accelerator: auto`."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _shows_sampling(folder: Path, experiment: Experiment, stop: threading.Event) -> Callable[[float], None]:
    started, written = time.monotonic(), 0.0
    steps = experiment.training.steps

    def show(share: float) -> None:
        nonlocal written
        if stop.is_set():
            raise Stopped
        now = time.monotonic()
        if now - written > 1:
            left = (now - started) / share * (1 - share)
            write_state(folder, phase="sampling", step=steps, steps=steps, share=share, seconds_left=left)
            written = now

    return show


def _quiet_lightning() -> None:
    """Its messages are about hardware and loaders that we chose knowingly; errors still come through."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    warnings.filterwarnings("ignore", message="The `srun` command is available")  # a sweep on a login node
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")

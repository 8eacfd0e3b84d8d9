"""Train one cell through Lightning, as its only process or as one of a group."""

import logging
import threading
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from lina_lab.checkpoints.ema_weights import Trained, lacking_points
from lina_lab.config.engine import ALONE, Group
from lina_lab.config.experiment import Experiment, points
from lina_lab.data.autoencoder import decoder
from lina_lab.data.datasets import Dataset, Examples
from lina_lab.data.text import conditions
from lina_lab.errors import NotFinite
from lina_lab.ledger.metrics import append_metrics, rewind_metrics
from lina_lab.ledger.status import write_state
from lina_lab.model.execution import accelerate, device
from lina_lab.model.lina import Lina
from lina_lab.model.random_streams import BatchShard
from lina_lab.sampling.contact_sheet import save_sheet
from lina_lab.sampling.generate import generate
from lina_lab.training.batches import AHEAD, Batches, picker
from lina_lab.training.ema import AveragedWeights
from lina_lab.training.fsdp import AnyCheckpointIO, Sharded, is_sharded, whole
from lina_lab.training.held_out import held_out_loss, validation_batch
from lina_lab.training.module import Batch, LinaModule
from lina_lab.training.parametrization import rescale
from lina_lab.training.points import KeptPoints
from lina_lab.training.recorder import Recorder, newest_checkpoint
from lina_lab.training.warm_start import load_initial_weights

logger = logging.getLogger(__name__)

SHEET_ROWS, SHEET_COLUMNS = 4, 10
"""Samples of a class, and classes or prompts, on the sheet of a validation."""


class Start(NamedTuple):
    """Where a training begins: at the step of a checkpoint, or at 0 without one."""

    checkpoint: Path | None = None
    step: int = 0


def build_model(experiment: Experiment) -> Lina:
    """The model of an experiment at its start: the same weights for the same design and seed."""
    model = Lina(experiment.model, experiment.data.shape, experiment.seed)
    if experiment.training.parametrization == "mup":
        rescale(model)
    accelerate(model, experiment.execution)
    return model


def find_start(folder: Path, experiment: Experiment) -> Start:
    """The newest whole checkpoint, if no point before it is lacking: going on from it would not bring that back.

    Metrics written after it are removed, so only one process of a group calls this.
    """
    start = Start(*(newest_checkpoint(folder) or ()))
    if lacking := lacking_points(folder, experiment, start.step):
        logger.warning("%s: no weights of step %d, where they are to be measured: trains anew", folder, lacking[0])
        start = Start()
    rewind_metrics(folder, start.step if start.checkpoint else -1)
    write_state(folder, phase="starting", step=start.step, steps=experiment.training.steps)
    return start


def train(
    folder: Path,
    experiment: Experiment,
    dataset: Dataset,
    stop: threading.Event | None = None,
    until: int = 0,
    start: Start | None = None,
    group: Group = ALONE,
    rank: int = 0,
) -> Trained:
    """Train from the newest checkpoint, or from scratch; in a group, as process `rank`, from `start`.

    Raises:
        Stopped: when `stop` is set or step `until` is done, once a checkpoint of the step is written.
    """
    start = start or find_start(folder, experiment)
    model, recorder = build_model(experiment), Recorder(folder, experiment, stop or threading.Event(), until)
    if start.checkpoint is None:
        load_initial_weights(model, experiment, folder.parent)
    trainer, condition = _trainer(experiment, group, recorder), conditions(experiment.data)
    shares = BatchShard(rank, group.size).split(experiment.execution.accumulate)
    held_out = validation_batch(dataset, condition)

    def validate(model: Lina, held_out: Batch, step: int) -> None:
        if recorder.diverged_at is None and rank == 0:
            _validate(folder, experiment, model, held_out, step, dataset.classes)

    def validate_sharded(model: Lina, held_out: Batch, step: int) -> None:
        validate(unsharded(model, experiment, rank), held_out, step)

    def validate_outside_loop(model: Lina, step: int) -> None:
        images, labels = (tensor.to(device()) for tensor in held_out)
        # Within the loop Lightning enters this context itself; both must compute in the same precision.
        with trainer.precision_plugin.forward_context():
            validate(model.to(device()), (images, labels), step)

    if experiment.training.init_from is not None and start.checkpoint is None:
        validate_outside_loop(model, 0)
    trainer.fit(
        LinaModule(model, experiment.training, experiment.seed, validate_sharded, shares),
        _batches(experiment, dataset, condition, start.step, shares, trainer.strategy.root_device),
        DataLoader(TensorDataset(*held_out), batch_size=len(held_out[0])),
        ckpt_path=start.checkpoint,
        weights_only=True,
    )
    model = unsharded(model, experiment, rank).to(device()).eval()  # Lightning leaves it on the processor
    if experiment.training.steps % experiment.logging.validate_every:
        validate_outside_loop(model, experiment.training.steps)
    return Trained(model, recorder.diverged_at, recorder.seconds)


def _batches(
    experiment: Experiment,
    dataset: Dataset,
    condition: Callable[[Examples], Tensor],
    start: int,
    shares: Sequence[BatchShard],
    device: torch.device,
) -> Batches:
    pick, count = picker(dataset, condition, device)
    depth = AHEAD if dataset.latents else 0
    return Batches(pick, count, experiment.training.batch_size, experiment.seed, start, shares, depth)


def _trainer(experiment: Experiment, group: Group, recorder: Recorder) -> pl.Trainer:
    _quiet_lightning()
    training, micro_batches = experiment.training, experiment.execution.accumulate
    average = AveragedWeights(training.ema_decay, training.ema_every)
    trainer = pl.Trainer(
        max_steps=training.steps,
        accelerator="auto",
        devices=group.devices,
        num_nodes=group.num_nodes,
        strategy=_strategy(group),
        # Under SLURM Lightning would requeue the job by its own rules; the ledger decides that.
        plugins=[LightningEnvironment() if group.size == 1 else TorchElasticEnvironment(), AnyCheckpointIO()],
        use_distributed_sampler=False,  # each process takes its share of a batch itself
        precision="bf16-mixed" if training.precision == "bf16" else "32-true",
        # The average first, so that a checkpoint holds that of its own step.
        callbacks=[average, KeptPoints(recorder.folder, points(experiment).keys(), average, recorder), recorder],
        accumulate_grad_batches=micro_batches,
        val_check_interval=experiment.logging.validate_every * micro_batches,  # Lightning counts micro-batches
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    # Before every batch Lightning would wait for all work of the GPU, only to ask whether some process got a signal.
    # The recorder agrees on stops where the processes wait for each other anyway.
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]  # noqa: SLF001
    return trainer


def _strategy(group: Group) -> str | Sharded:
    if group.size == 1:
        return "auto"
    return "ddp" if group.strategy == "ddp" else Sharded(group.size)


@torch.no_grad()
def unsharded(model: Lina, experiment: Experiment, rank: int) -> Lina:
    """The model itself; of a sharded one, a whole copy on rank 0. A collective: all processes must call it together."""
    sharded = model.state_dict()
    if not any(map(is_sharded, sharded.values())):
        return model
    copy = Lina(experiment.model, experiment.data.shape).to(device()) if rank == 0 else None
    own = {} if copy is None else copy.state_dict()
    for name, tensor in sharded.items():
        full = whole(tensor)  # one tensor at a time: only rank 0 ever holds the whole model
        if name in own:
            own[name].copy_(full)
    if copy is None:
        return model
    accelerate(copy, experiment.execution.model_copy(update={"compile": False}))  # compiling would take longer
    return copy


@torch.no_grad()
def _validate(
    folder: Path, experiment: Experiment, model: Lina, held_out: Batch, step: int, classes: Sequence[str]
) -> None:
    """Held-out loss and a sheet of samples, with the same draws at every step: only the weights differ.

    The draws of the loss are those of every cell, the draws of the sheet those of the seed.
    """
    last = step == experiment.training.steps  # what comparisons read
    append_metrics(folder, step, held_out_loss(model, held_out, experiment.training, whole=last))
    labels = held_out[1]
    shown = labels.unique(dim=0)[:SHEET_COLUMNS]  # labels or prompts
    heads = [classes[label] if classes else str(label) for label in shown.tolist()] if shown.ndim == 1 else []
    decode = decoder(experiment.data, next(model.parameters()).device)
    try:
        images = generate(model, torch.cat([shown] * SHEET_ROWS), experiment.sampling, experiment.seed, decode=decode)
    except NotFinite as error:  # at this step; the training itself may recover, or be seen to diverge
        logger.warning("step %d: no sheet of samples: %s", step, error)
        return
    save_sheet(folder / "samples" / f"step-{step:07d}.png", images, len(shown), heads)


def _quiet_lightning() -> None:
    """Silence advice about hardware and data loaders, which are chosen deliberately; errors still come through."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    warnings.filterwarnings("ignore", message="The `srun` command is available")  # a sweep on a login node
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")

"""The Lightning callback that writes the ledger: metrics, state, checkpoints, and the end of a diverged run."""

import logging
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from lina_lab.checkpoints.sharded_files import undamaged_step
from lina_lab.config.experiment import Experiment, training_key
from lina_lab.files import remove
from lina_lab.ledger.ends import END, write_end
from lina_lab.ledger.metrics import append_metrics
from lina_lab.ledger.status import write_state

logger = logging.getLogger(__name__)

CHECKPOINTS = "checkpoints"
KEPT_CHECKPOINTS = 2


class Stopped(Exception):
    """The training was asked to stop, and has written a checkpoint."""


class Recorder(pl.Callback):
    """Writes metrics, state and checkpoints, and detects divergence.

    It must come after the averaging callback, so that a checkpoint holds the average of its own step.
    """

    def __init__(self, folder: Path, experiment: Experiment, stop: threading.Event, until: int = 0) -> None:
        self.folder, self.stop, self.until, self.every = folder, stop, until, experiment.logging.every
        self.validate_every, self.checkpoint_every = (
            experiment.logging.validate_every,
            experiment.logging.checkpoint_every,
        )
        self.steps = experiment.training.steps
        self.keep_end, self.training = experiment.checkpoint.keep_end == "yes", training_key(experiment)
        self.micro_losses: list[Tensor] = []
        """Losses of the micro-batches of the current step."""
        self.losses: list[Tensor] = []
        """This process's losses since the last `_take_losses`, on the device: reading one would wait for the GPU."""
        self.loss_sum: Tensor | float = 0.0
        self.summed = 0
        """How many losses are in `loss_sum`; -1 of an older checkpoint, which does not say."""
        self.first_bad = -1
        """The first step with a loss that is not finite; -1 while there is none."""
        self.diverged_at: int | None = None
        self.handler = signal.getsignal(signal.SIGTERM)
        self.started, self.written = 0.0, 0.0
        self.first: tuple[int, float] | None = None
        """The first step of this process, and when it ended. It may include compilation, so timing starts after it."""
        self.loss: float | None = None
        self.seconds_before = 0.0
        """Seconds of training in earlier attempts, from the checkpoint."""

    @property
    def seconds(self) -> float:
        return self.seconds_before + (time.monotonic() - self.started if self.started else 0.0)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        self.started = time.monotonic()
        if self.summed < 0:
            self.summed = trainer.global_step % self.every
        if threading.current_thread() is threading.main_thread():
            # Lightning's handler would end the training without a checkpoint; put ours back.
            signal.signal(signal.SIGTERM, self.handler)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,  # noqa: ARG002
        outputs: Any,
        batch: Any,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        self.micro_losses.append(outputs["loss"].detach())  # Lightning has already divided it by their number
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        self.losses.append(torch.stack(self.micro_losses).sum())
        step, self.micro_losses = trainer.global_step, []
        # Timing starts here, not at the start of training: the first step may have compiled the model.
        self.first = self.first or (step, time.monotonic())
        if step % self.every == 0 or step == self.steps:
            self._log(trainer, step)
        if trainer.is_global_zero and (time.monotonic() - self.written >= 1 or step == self.steps):
            self._state(step, "training")
        # At a step with a validation the checkpoint follows in `on_validation_end`.
        if step % self.validate_every:
            self._checkpoint(trainer)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        if trainer.is_global_zero:
            self._state(trainer.global_step, "validating")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Checkpoint after the validation of the same step, so that a resumed run does not repeat it."""
        self._checkpoint(trainer)

    def _checkpoint(self, trainer: pl.Trainer) -> None:
        step, ended = trainer.global_step, trainer.global_step == self.steps
        stop = self._asked(trainer) or step == self.until
        # After the last step the EMA weights are kept, so a checkpoint would serve a longer training alone.
        due = self.keep_end if ended else stop or step % self.checkpoint_every == 0
        if self.diverged_at is None and due:
            self._take_losses(trainer)
            if trainer.is_global_zero:
                self._state(step, "checkpoint")
            save_checkpoint(trainer, self.folder, step, END if ended else CHECKPOINTS)
            if ended and trainer.is_global_zero:
                write_end(self.folder, self.training, step, self.seconds)
            if stop and not ended:
                raise Stopped

    def _asked(self, trainer: pl.Trainer) -> bool:
        """Whether to stop after this step. A group agrees on it only at steps where it exchanges losses anyway."""
        if trainer.world_size == 1:
            return self.stop.is_set()
        return trainer.global_step % self.every == 0 and bool(
            trainer.strategy.reduce_boolean_decision(self.stop.is_set(), all=False)
        )

    def _take_losses(self, trainer: pl.Trainer) -> None:
        """Add the losses since the last call to the sum; in a group, the mean over processes, equal on all of them.

        Gathering only now and then keeps the GPU busy: Lightning's own reduction synchronises at every step.
        """
        if not self.losses:
            return
        losses, self.losses = torch.stack(self.losses), []
        if trainer.world_size > 1:
            losses = trainer.strategy.all_gather(losses).mean(dim=0)
        for step, loss in enumerate(losses.cpu(), trainer.global_step - len(losses) + 1):
            if self.first_bad < 0 and not torch.isfinite(loss):
                self.first_bad = step
            self.loss_sum, self.summed = self.loss_sum + loss, self.summed + 1

    def _log(self, trainer: pl.Trainer, step: int) -> None:
        self._take_losses(trainer)
        if self.first_bad >= 0:
            self.diverged_at = self.first_bad
            trainer.should_stop = True
            return
        # The last step need not be a multiple of `every`: then the window is shorter, and a longer training goes on
        # with it.
        loss = float(self.loss_sum) / self.summed
        if step % self.every == 0:
            self.loss_sum, self.summed = 0.0, 0
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        if trainer.is_global_zero:
            append_metrics(self.folder, step, {"train/loss": loss, "train/learning_rate": rate})
            self.loss = loss

    def _state(self, step: int, phase: str) -> None:
        """Write state.json. The caller does so at most once a second while steps run: each write waits for the disk."""
        self.written = now = time.monotonic()
        told: dict[str, float] = {} if self.loss is None else {"loss": self.loss}
        if self.first is not None and step > self.first[0]:
            each = (now - self.first[1]) / (step - self.first[0])
            told["seconds_left"] = each * (self.steps - step)
            if phase == "training" and step < self.steps:
                told["step_seconds"] = each
        write_state(self.folder, phase=phase, step=step, steps=self.steps, **told)

    def state_dict(self) -> dict[str, Any]:
        sums = {"loss_sum": float(self.loss_sum), "summed": self.summed}
        return sums | {"seconds": self.seconds, "first_bad": self.first_bad}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.loss_sum, self.seconds_before = state_dict["loss_sum"], state_dict["seconds"]
        self.first_bad, self.summed = state_dict["first_bad"], state_dict.get("summed", -1)


def save_checkpoint(trainer: pl.Trainer, folder: Path, step: int, where: str = CHECKPOINTS) -> None:
    """Write a checkpoint whole or not at all, and keep the newest few. All processes of a group do this together."""
    path = folder / where / f"step-{step:07d}.ckpt"
    # Written under another name: on a shared disk another node may still see what an existing name stood for before.
    part = path.with_suffix(".part")
    if trainer.is_global_zero:
        path.parent.mkdir(exist_ok=True)
        for left in path.parent.glob("*.part"):  # left by a killed process
            remove(left)
    trainer.strategy.barrier()
    try:
        trainer.save_checkpoint(part)  # returns when all processes have written
        if trainer.is_global_zero:
            remove(path)  # the end of an earlier attempt, whose weights were lost
            part.replace(path)
    finally:
        if trainer.is_global_zero:
            remove(part)
    if trainer.is_global_zero:
        for old in checkpoints(folder, where)[KEPT_CHECKPOINTS:]:
            remove(old)


def checkpoints(folder: Path, where: str = CHECKPOINTS) -> list[Path]:
    """Checkpoints of a cell, the newest first."""
    return sorted((folder / where).glob("step-*.ckpt"), reverse=True)


def newest_checkpoint(folder: Path, where: str = CHECKPOINTS) -> tuple[Path, int] | None:
    """The newest undamaged checkpoint and its step; damaged ones are renamed to *.damaged and skipped."""
    for path in checkpoints(folder, where):
        step = undamaged_step(path)
        if step is not None:
            return path, step
        aside = path.with_suffix(".ckpt.damaged")
        logger.warning("%s: damaged, set aside as %s", path, aside.name)
        remove(aside)
        path.replace(aside)
    return None

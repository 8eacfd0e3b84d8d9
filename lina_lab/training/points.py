"""The Lightning callback that keeps the averaged weights of points along a run, to be measured after the training."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from lina_lab.checkpoints.ema_weights import keep_weights, point_folder
from lina_lab.training.ema import AveragedWeights
from lina_lab.training.fsdp import whole
from lina_lab.training.recorder import Recorder


class KeptPoints(pl.Callback):
    """Writes the average at some steps. It must come after the average and before the recorder.

    Then the weights of a step are there before a checkpoint of that step is, and a training that goes on from one
    lacks no point before it.
    """

    def __init__(self, folder: Path, steps: Collection[int], average: AveragedWeights, recorder: Recorder) -> None:
        self.folder, self.steps, self.average, self.recorder = folder, steps, average, recorder

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        if (batch_idx + 1) % trainer.accumulate_grad_batches or trainer.global_step not in self.steps:
            return
        state = {}
        for name, tensor in (pl_module.state_dict() | self.average.average).items():
            full = whole(tensor)  # of all processes together; only the first keeps it
            if trainer.is_global_zero:
                state[name.removeprefix("model.")] = full.cpu()
        if trainer.is_global_zero:
            keep_weights(point_folder(self.folder, trainer.global_step), state, self.recorder.seconds)

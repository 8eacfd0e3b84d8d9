"""The exponential moving average of the weights: what is validated, sampled and kept.

Lightning's EMAWeightAveraging computes the same, but copies the whole model on every process and cannot copy a sharded
one; this average is sharded as the weights are.
"""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from lina_lab.checkpoints.sharded_files import Rows
from lina_lab.errors import LabError
from lina_lab.training.fsdp import placed


class AveragedWeights(pl.Callback):
    """a <- decay a + (1 - decay) w after every `every`-th step; the first update copies w."""

    def __init__(self, decay: float, every: int) -> None:
        self.decay, self.every = decay, every
        self.average: dict[str, Tensor] = {}
        self.loaded: dict[str, Tensor | Rows] = {}
        """What a checkpoint holds, kept until training starts and weights have their device and sharding."""
        self.num_updates = 0

    @torch.no_grad()
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        weights = dict(pl_module.named_parameters())
        if trainer.global_step and self.loaded.keys() != weights.keys():
            raise LabError("the checkpoint has no average of these weights: it is of an earlier version; delete it")
        self.average = {
            name: placed(self.loaded[name], weight) if self.loaded else weight.detach().clone()
            for name, weight in weights.items()
        }
        self.loaded = {}

    @torch.no_grad()
    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        # The hook runs for every micro-batch; weights change with the last one of a step only.
        if (batch_idx + 1) % trainer.accumulate_grad_batches or (trainer.global_step - 1) % self.every:
            return
        weights: list[Tensor] = [weight for _, weight in pl_module.named_parameters()]
        # One fused call: hundreds of small kernels, one for each tensor, would take longer than the training step.
        torch._foreach_lerp_(list(self.average.values()), weights, 1 - self.decay if self.num_updates else 1.0)
        self.num_updates += 1

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        self._exchange(pl_module)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        self._exchange(pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        self._exchange(pl_module)

    @torch.no_grad()
    def _exchange(self, pl_module: pl.LightningModule) -> None:
        """Swap the weights and their average, in place: Lightning, FSDP and the optimizer keep their references."""
        for name, weight in pl_module.named_parameters():
            # One tensor at a time: a second copy of all weights might not fit.
            live = weight.detach().clone()
            weight.copy_(self.average[name])
            self.average[name].copy_(live)

    def state_dict(self) -> dict[str, Any]:
        return {"average": self.average, "num_updates": self.num_updates}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.loaded, self.num_updates = state_dict["average"], state_dict["num_updates"]

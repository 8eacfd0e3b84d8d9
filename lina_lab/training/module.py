"""The LightningModule: it receives a finished model and adds optimizer, sharding and validation."""

from collections.abc import Callable, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.optim import Optimizer

from lina_lab.config.settings import TrainingConfig
from lina_lab.model.blocks import Block
from lina_lab.model.head import HeadBlock
from lina_lab.model.lina import Lina
from lina_lab.model.random_streams import WHOLE, BatchShard, step_streams
from lina_lab.training.parametrization import fan_in_growth

Batch = tuple[Tensor, Tensor]


class LinaModule(pl.LightningModule):
    """Trains a given model; every random draw is a function of (seed, step)."""

    def __init__(
        self,
        model: Lina,
        training: TrainingConfig,
        seed: int,
        validate: Callable[[Lina, Batch, int], None],
        shares: Sequence[BatchShard] = (WHOLE,),
    ) -> None:
        """`validate(model, held_out, step)` is called while the EMA weights are swapped in.

        The batches that arrive are micro-batches: the `shares` of a whole batch in turn. Their mean gradient is one
        step of the optimizer.
        """
        super().__init__()
        self.model, self.training_config, self.seed, self.validate = model, training, seed, validate
        self.shares = shares

    def configure_model(self) -> None:
        """Shard the weights over the processes if the strategy is FSDP; it then has a device mesh."""
        if self.device_mesh is None or isinstance(self.model, FSDPModule):
            return
        mesh = self.device_mesh["data_parallel"]
        for block in self.model.modules():
            if isinstance(block, (Block, HeadBlock)):
                fully_shard(block, mesh=mesh)
        # Without resharding, gathered weights would survive the swap with the EMA weights, and a validation would use
        # the wrong ones.
        fully_shard(self.model, mesh=mesh, reshard_after_forward=True)
        register_fsdp_forward_method(self.model, "loss")

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        share = self.shares[batch_idx % len(self.shares)]
        return self.model.loss(batch, self.training_config, step_streams(self.seed, self.global_step), share)

    def configure_gradient_clipping(self, optimizer: Optimizer, *_: Any, **__: Any) -> None:
        """Lightning refuses to clip for a fused optimizer in bf16, for the sake of gradient scalers; we have none."""
        if self.training_config.gradient_clip is not None:
            weights = [weight for group in optimizer.param_groups for weight in group["params"]]
            nn.utils.clip_grad_norm_(weights, self.training_config.gradient_clip)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Lightning counts micro-batches; rescale the counts, as a cell may continue with another `accumulate`."""
        counts = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        batches = checkpoint["global_step"] * len(self.shares)
        for count in (counts["total"], counts["current"]):
            more = batches - count["ready"]
            count.update({name: number + more for name, number in count.items()})

    def validation_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002, Lightning's signature
        self.validate(self.model, batch, self.global_step)

    def configure_optimizers(self) -> Any:
        """AdamW; weight decay on everything trainable except LayerNorm parameters, as published."""
        c = self.training_config
        optimizer = torch.optim.AdamW(
            parameter_groups(self.model, c),
            betas=(c.beta1, c.beta2),
            fused=True,
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warmup(step, c.warmup_steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def parameter_groups(model: Lina, training: TrainingConfig) -> list[dict[str, object]]:
    """Trainable parameters with and without weight decay, and under muP those with a learning rate of their own.

    Weights whose fan-in is g times the base's have the rate over g. AdamW decays by rate x decay, so their decay is g
    times as large: a weight is forgotten in as many steps at every width.
    """
    growth = fan_in_growth(model) if training.parametrization == "mup" else {}
    norms = {p for m in model.modules() if isinstance(m, nn.LayerNorm) for p in m.parameters()}
    trainable = {p: growth.get(name, 1.0) for name, p in model.named_parameters() if p.requires_grad}

    def group(g: float, decay: float, members: list[nn.Parameter]) -> dict[str, object]:
        return {"params": members, "lr": training.learning_rate / g, "weight_decay": decay * g}

    decayed = {g: [p for p, of in trainable.items() if of == g and p not in norms] for g in {1.0, *trainable.values()}}
    # The rate of the first group is the one that is logged.
    first = [group(1.0, training.weight_decay, decayed.pop(1.0)), group(1.0, 0.0, [p for p in trainable if p in norms])]
    return first + [group(g, training.weight_decay, members) for g, members in sorted(decayed.items())]


def warmup(step: int, steps: int) -> float:
    """Factor of the learning rate: α + (1 - α) / 1000 with α = (step + 1) / steps while warming up, then 1."""
    if step >= steps:
        return 1.0
    share = (step + 1) / steps
    return share + (1 - share) / 1000

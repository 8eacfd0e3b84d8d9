"""Fully sharded training whose checkpoints are those of one process."""

from collections.abc import Mapping
from typing import Any

import torch
from pytorch_lightning.strategies import ModelParallelStrategy
from pytorch_lightning.strategies.strategy import Strategy
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer


class Sharded(ModelParallelStrategy):
    """FSDP2 over all processes, with whole tensors in checkpoints: any number of processes can continue from them.

    Lightning's own strategy numbers the optimizer's states in the order of the model's parameters. Ours stand in the
    order of the optimizer's groups, as in a checkpoint of one process, so states are gathered and handed out here.
    """

    lightning_restore_optimizer = True
    load_checkpoint = Strategy.load_checkpoint

    def __init__(self, num_processes: int) -> None:
        super().__init__(num_processes, tensor_parallel_size=1, save_distributed_checkpoint=False)

    def lightning_module_state_dict(self) -> dict[str, Any]:
        return {name: whole(tensor).cpu() for name, tensor in self._module.state_dict().items()}

    @torch.no_grad()
    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:  # noqa: ARG002, FBT001
        for name, tensor in self._module.state_dict().items():
            tensor.copy_(placed(checkpoint["state_dict"][name], tensor))

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        saved = optimizer.state_dict()
        states = {i: {k: whole(v).cpu() for k, v in state.items()} for i, state in saved["state"].items()}
        return saved | {"state": states}

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        for optimizer, saved in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            states = {
                i: {k: placed(v, parameters[i]) if v.shape == parameters[i].shape else v for k, v in state.items()}
                for i, state in saved["state"].items()
            }
            optimizer.load_state_dict(saved | {"state": states})

    @property
    def _module(self) -> torch.nn.Module:
        if self.lightning_module is None:
            raise RuntimeError("there is no module yet")
        return self.lightning_module


def whole(tensor: Tensor) -> Tensor:
    """The tensor that a sharded one is a part of, on every process; any other as it is."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def placed(tensor: Tensor, like: Tensor) -> Tensor:
    """A copy of a whole tensor on the device of another, or sharded over the devices as that one is."""
    if isinstance(like, DTensor):
        return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements)
    return tensor.to(like.device, copy=True)

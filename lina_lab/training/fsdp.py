"""Fully sharded training (FSDP2). Its checkpoints can be continued by any number of processes."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.strategies import ModelParallelStrategy
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from lina_lab.checkpoints.sharded_files import Rows, read_sharded, read_whole, write_shards


class AnyCheckpointIO(TorchCheckpointIO):
    """Checkpoints of processes that hold the whole model: reads either kind, one file or a folder; writes one file."""

    def load_checkpoint(self, path: Any, *_: Any, **__: Any) -> dict[str, Any]:
        return read_whole(Path(path))


class Sharded(ModelParallelStrategy):
    """FSDP2 over all processes; each writes and reads only its own rows of a checkpoint.

    Lightning's own strategy numbers optimizer states in the order of the model's parameters. A checkpoint of a single
    process has them in the order of the optimizer's groups. Both kinds must be able to continue each other, so this
    class saves and loads optimizer states itself.
    """

    # So that Lightning calls `load_optimizer_state_dict` below, which this strategy does not ask for by default.
    lightning_restore_optimizer = True

    def __init__(self, num_processes: int) -> None:
        super().__init__(num_processes, tensor_parallel_size=1)

    @contextmanager
    def block_backward_sync(self) -> Generator[None]:
        """Keep gradients whole on each process while micro-batches accumulate; the last one exchanges them."""
        modules = [module for module in self._module.modules() if isinstance(module, FSDPModule)]
        for module in modules:
            module.set_requires_gradient_sync(requires_gradient_sync=False, recurse=False)
        yield
        for module in modules:
            module.set_requires_gradient_sync(requires_gradient_sync=True, recurse=False)

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any = None) -> None:  # noqa: ARG002
        write_shards(Path(filepath), checkpoint, self.global_rank, self.world_size)

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:  # noqa: ARG002, FBT001
        return read_sharded(Path(checkpoint_path))

    def lightning_module_state_dict(self) -> dict[str, Any]:
        return self._module.state_dict()

    @torch.no_grad()
    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:  # noqa: ARG002, FBT001
        for name, tensor in self._module.state_dict().items():
            tensor.copy_(placed(checkpoint["state_dict"][name], tensor))

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        return optimizer.state_dict()

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        for optimizer, saved in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            states = {
                # AdamW keeps its step count as a scalar; the moments have the shape of their parameter.
                i: {k: v.clone() if k == "step" else placed(v, parameters[i]) for k, v in state.items()}
                for i, state in saved["state"].items()
            }
            optimizer.load_state_dict(saved | {"state": states})

    @property
    def _module(self) -> torch.nn.Module:
        if self.lightning_module is None:
            raise RuntimeError("there is no module yet")
        return self.lightning_module


def is_sharded(tensor: Tensor) -> bool:
    return isinstance(tensor, DTensor)


def whole(tensor: Tensor) -> Tensor:
    """The full tensor behind a shard, gathered on every process; an unsharded tensor unchanged."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def placed(tensor: Tensor | Rows, like: Tensor) -> Tensor:
    """A copy of a saved tensor with the device of `like` and, if `like` is sharded, the same rows of it."""
    rows = Rows([tensor]) if isinstance(tensor, Tensor) else tensor
    if not isinstance(like, DTensor):
        return tensor.to(like.device, copy=True) if isinstance(tensor, Tensor) else rows.whole().to(like.device)
    mesh = like.device_mesh
    # FSDP splits dimension 0 as torch.chunk does; the last processes may have fewer rows, or none.
    each = -(-len(like) // mesh.size())
    start = min(mesh.get_local_rank() * each, len(like))
    local = rows.between(start, start + len(like.to_local())).to(like.device)
    return DTensor.from_local(local, mesh, like.placements, run_check=False, shape=like.shape, stride=like.stride())

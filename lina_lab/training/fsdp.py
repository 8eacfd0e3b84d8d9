"""Fully sharded training, whose checkpoints any number of processes can continue."""

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

from lina_lab.checkpoints.sharded_files import Rows, read_parts, read_whole, write_part


class EitherKind(TorchCheckpointIO):
    """Reads a checkpoint of one file or of several, for processes that have the whole model; writes one file."""

    def load_checkpoint(self, path: Any, *_: Any, **__: Any) -> dict[str, Any]:
        return read_whole(Path(path))


class Sharded(ModelParallelStrategy):
    """FSDP2 over all processes, each of which writes, and reads, its own rows of a checkpoint.

    Lightning's own strategy numbers the optimizer's states in the order of the model's parameters. Ours stand in the
    order of the optimizer's groups, as in a checkpoint of one process, so states are handed over here.
    """

    lightning_restore_optimizer = True

    def __init__(self, num_processes: int) -> None:
        super().__init__(num_processes, tensor_parallel_size=1)

    @contextmanager
    def block_backward_sync(self) -> Generator[None]:
        """Gradients stay on their process, whole, until the last part of a batch is in them."""
        modules = [module for module in self._module.modules() if isinstance(module, FSDPModule)]
        for module in modules:
            module.set_requires_gradient_sync(requires_gradient_sync=False, recurse=False)
        yield
        for module in modules:
            module.set_requires_gradient_sync(requires_gradient_sync=True, recurse=False)

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any = None) -> None:  # noqa: ARG002
        write_part(Path(filepath), checkpoint, self.global_rank, self.world_size)

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:  # noqa: ARG002, FBT001
        return read_parts(Path(checkpoint_path))

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
                # A step is a number; all else has the shape of its parameter.
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
    """The tensor that a sharded one is a part of, on every process; any other as it is."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def placed(tensor: Tensor | Rows, like: Tensor) -> Tensor:
    """A copy of a saved tensor on the device of another, or, where that one is sharded, of the rows that it has."""
    rows = Rows([tensor]) if isinstance(tensor, Tensor) else tensor
    if not isinstance(like, DTensor):
        return tensor.to(like.device, copy=True) if isinstance(tensor, Tensor) else rows.whole().to(like.device)
    mesh = like.device_mesh
    each = -(-len(like) // mesh.size())
    start = min(mesh.get_local_rank() * each, len(like))
    local = rows.between(start, start + len(like.to_local())).to(like.device)
    return DTensor.from_local(local, mesh, like.placements, run_check=False, shape=like.shape, stride=like.stride())

"""How a built model computes: attention kernels, compiled blocks, activations computed again."""

import os
import shutil
from functools import partial

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from lina_lab.config.settings import ExecutionConfig
from lina_lab.errors import LabError
from lina_lab.kernels.availability import missing
from lina_lab.model.attention import Attention
from lina_lab.model.blocks import Block, Mlp
from lina_lab.model.head import HeadBlock

COMPILED = (Block, HeadBlock)
"""Compiled one by one: they repeat, so one compilation serves a stack, and a change of length few of them."""
RECOMPUTED: dict[str, tuple[type[nn.Module], ...]] = {"none": (), "mlp": (Mlp,), "block": (Block, HeadBlock)}


def device() -> torch.device:
    """Where models are trained and drawn from: the GPU if there is one, as Lightning's `accelerator: auto`."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def accelerate(model: nn.Module, execution: ExecutionConfig) -> None:
    """Set, on a built model or a part of it, how it will compute; weights and names stay.

    Raises:
        LabError: if this machine cannot do what is asked.
    """
    if execution.compile and not _compiler():
        raise LabError(
            "execution.compile needs a C++ compiler (g++, clang++, or one that CXX names): there is none here"
        )
    where = device()
    for module in model.modules():
        if isinstance(module, Attention):
            if execution.attention_backend == "triton" and (reason := missing(where, torch.float32, module.head_size)):
                raise LabError(f"execution.attention_backend triton needs {reason}; auto takes what is there")
            module.backend = execution.attention_backend
        if isinstance(module, RECOMPUTED[execution.activation_checkpointing]):
            # No dropout anywhere: there is no random state to bring back.
            module.forward = partial(checkpoint, module.forward, use_reentrant=False, preserve_rng_state=False)
        if execution.compile and isinstance(module, COMPILED):
            module.compile()


def _compiler() -> str | None:
    return next(filter(None, map(shutil.which, [os.environ.get("CXX", "g++"), "g++", "clang++"])), None)

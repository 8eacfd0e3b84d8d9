"""How a built model computes: attention kernels, compiled blocks, activations computed again."""

import os
import shutil
from functools import partial

import torch
from torch import nn
from torch.nn.attention import SDPBackend
from torch.utils.checkpoint import checkpoint

from lina_lab.config.experiment import Experiment
from lina_lab.config.settings import ExecutionConfig
from lina_lab.errors import LabError
from lina_lab.kernels.availability import missing
from lina_lab.model.attention import Attention
from lina_lab.model.blocks import Block, Mlp
from lina_lab.model.head import HeadBlock
from lina_lab.provenance import Arithmetic

COMPILED = (Block, HeadBlock)
"""Compiled one by one: they repeat, so one compilation serves a stack, and a change of length few of them."""
SOFTMAX = ("softmax", "mediator")
PROBED_TOKENS = 64
"""Of an attention without a layout: torch does not choose by the number of tokens, as long as there are some."""
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


def arithmetic(model: nn.Module, experiment: Experiment) -> Arithmetic:
    """What torch chooses by itself, and what changes float32 products: two cells differ by it like by a setting."""
    chosen = {"training": experiment.training.precision, "sampling": experiment.sampling.precision}
    sdpa = {use: sdpa_backends(model, precision, grad=use == "training") for use, precision in chosen.items()}
    return Arithmetic(
        sdpa=sdpa if all(sdpa.values()) else {},
        matmul_precision=torch.get_float32_matmul_precision(),
        tf32_matmul=torch.backends.cuda.matmul.allow_tf32,
        tf32_cudnn=torch.backends.cudnn.allow_tf32,
        cpu_capability=torch.backends.cpu.get_cpu_capability(),
    )


def sdpa_backends(model: nn.Module, precision: str, *, grad: bool) -> str:
    """What `scaled_dot_product_attention` takes for a model's softmax attentions where the model is; '' for none."""
    where, dtype = next(model.parameters()).device, torch.bfloat16 if precision == "bf16" else torch.float32
    attentions = [m for m in model.modules() if isinstance(m, Attention) and m.config.normalization in SOFTMAX]
    shapes = {(m.num_heads, m.layout.tokens if m.layout else PROBED_TOKENS, m.head_size) for m in attentions}
    found = set()
    for heads, tokens, size in shapes:
        q = torch.empty(1, tokens, heads, size, device=where, dtype=dtype, requires_grad=grad).transpose(1, 2)
        found.add(SDPBackend(torch._fused_sdp_choice(q, q, q)).name.lower())  # noqa: SLF001, as the call itself asks
    return " and ".join(sorted(found))


def _compiler() -> str | None:
    return next(filter(None, map(shutil.which, [os.environ.get("CXX", "g++"), "g++", "clang++"])), None)

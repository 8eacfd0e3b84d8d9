"""How a built model computes: attention kernels, compiled blocks, recomputed activations."""

import os
import shutil
from functools import partial

import torch
from torch import nn
from torch.nn.attention import SDPBackend
from torch.utils.checkpoint import checkpoint

from lina_lab.config.experiment import Experiment
from lina_lab.config.settings import ExecutionConfig
from lina_lab.design.normalization import BY_SOFTMAX
from lina_lab.errors import LabError
from lina_lab.kernels.availability import missing
from lina_lab.model.attention import Attention
from lina_lab.model.blocks import Block, Mlp
from lina_lab.model.head import HeadBlock
from lina_lab.provenance import Arithmetic

COMPILED = (Block, HeadBlock)
"""Modules that are compiled one by one: they repeat, so a stack costs one compilation, another length few more."""
PROBED_TOKENS = 64
"""Tokens of a probe of attention without a layout; torch's choice does not depend on their number."""
RECOMPUTED: dict[str, tuple[type[nn.Module], ...]] = {"none": (), "mlp": (Mlp,), "block": (Block, HeadBlock)}


def device() -> torch.device:
    """The device of training and sampling: the GPU if there is one, as with Lightning's `accelerator: auto`."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def accelerate(model: nn.Module, execution: ExecutionConfig) -> None:
    """Set how a built model, or a module of one, computes; weights and their names stay.

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
            # Without dropout there is no random state to restore.
            module.forward = partial(checkpoint, module.forward, use_reentrant=False, preserve_rng_state=False)
        if execution.compile and isinstance(module, COMPILED):
            module.compile()


def arithmetic(model: nn.Module, experiment: Experiment) -> Arithmetic:
    """Choices of torch, and settings of float32 products, that distinguish cells as an axis would."""
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
    """The backends that `scaled_dot_product_attention` chooses for a model's softmax attentions; '' for none."""
    where, dtype = next(model.parameters()).device, torch.bfloat16 if precision == "bf16" else torch.float32
    attentions = [m for m in model.modules() if isinstance(m, Attention) and m.config.normalization in BY_SOFTMAX]
    shapes = {(m.num_heads, m.layout.tokens if m.layout else PROBED_TOKENS, m.head_size) for m in attentions}
    found = set()
    for heads, tokens, size in shapes:
        q = torch.empty(1, tokens, heads, size, device=where, dtype=dtype, requires_grad=grad).transpose(1, 2)
        found.add(SDPBackend(torch._fused_sdp_choice(q, q, q)).name.lower())  # noqa: SLF001, as the call itself asks
    return " and ".join(sorted(found))


def _compiler() -> str | None:
    return next(filter(None, map(shutil.which, [os.environ.get("CXX", "g++"), "g++", "clang++"])), None)

"""Where the kernels can run. Triton is looked for, not imported: only torch for Linux brings it."""

import os
from functools import cache
from importlib.util import find_spec

import torch

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
MAX_HEAD_SIZE = 128
"""A head's d x d memory is one tile of registers; a larger one would not fit."""


def usable(device: torch.device, dtype: torch.dtype, head_size: int) -> bool:
    """Whether `auto` chooses the kernels: only on a GPU. The interpreter is for tests and is never chosen."""
    return device.type == "cuda" and missing(device, dtype, head_size) is None


def missing(device: torch.device, dtype: torch.dtype, head_size: int) -> str | None:
    """What the kernels lack, as the end of "the kernels need ...", or None.

    Under Triton's interpreter (TRITON_INTERPRET=1) CPU tensors are supported too.
    """
    if not _has_triton():
        return "the package triton, which is not installed"
    if dtype not in DTYPES:
        return f"float32, bfloat16 or float16, not {str(dtype).removeprefix('torch.')}"
    if not 1 <= head_size <= MAX_HEAD_SIZE:
        return f"heads of 1 to {MAX_HEAD_SIZE} channels, not {head_size}"
    return _missing_of(device)


def require(device: torch.device, dtype: torch.dtype, head_size: int = 1) -> None:
    """Raise a ValueError if the kernels cannot run here."""
    if (reason := missing(device, dtype, head_size)) is not None:
        raise ValueError(f"the kernels need {reason}")


def _missing_of(device: torch.device) -> str | None:
    if device.type == "cpu" and os.environ.get("TRITON_INTERPRET") == "1":
        return None
    if device.type != "cuda" or torch.version.cuda is None:
        return f"an NVIDIA GPU, not {device.type}"
    # Before 8.0 there is no TF32, and Triton no longer compiles for it.
    if (capability := torch.cuda.get_device_capability(device)) < (8, 0):
        return f"compute capability 8.0, not {capability[0]}.{capability[1]}"
    return None


@cache
def _has_triton() -> bool:
    return find_spec("triton") is not None

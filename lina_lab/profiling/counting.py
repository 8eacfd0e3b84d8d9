"""Multiply-adds as torch counts them, on tensors without data, to check the closed form."""

import math
from collections.abc import Callable
from typing import Any

from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

ALL = "Global"
"""The counter's name for the whole."""


def counted_macs(build: Callable[[], Callable[[], object]]) -> dict[str, float]:
    """Multiply-adds (half the counter's FLOPs) of the call that `build` returns: of `ALL`, and by module's full name.

    Nothing is allocated, so full size is free. Softmax is counted as two products: not every version of the counter
    knows every fused kernel.
    """
    with FakeTensorMode(allow_non_fake_inputs=True):
        call = build()
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            call()
    counts: dict[str, dict[Any, int]] = counter.get_flop_counts()
    return {name: sum(by_kind.values()) / 2 for name, by_kind in counts.items()}


def check_macs(what: str, closed: float, counted: float) -> float:
    """The closed form, after checking it against the count.

    Raises:
        ValueError: if the two disagree, so that one is wrong.
    """
    if not math.isclose(closed, counted, rel_tol=1e-9):
        raise ValueError(f"{what}: the closed form gives {closed:,.0f} multiply-adds, torch counts {counted:,.0f}")
    return closed

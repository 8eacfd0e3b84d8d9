"""Parameters and multiply-adds of a plugin's core, as torch counts them, on tensors without data."""

from collections.abc import Callable

import torch

from lina_lab.config.layout import near_square
from lina_lab.design.computed import Given
from lina_lab.errors import LabError
from lina_lab.model.attention import Layout
from lina_lab.plugins.designs import Core
from lina_lab.profiling.counting import ALL, counted_macs


def num_parameters(core: Core, width: int, num_heads: int) -> int:
    """Numbers that are learnt.

    Raises:
        LabError: if its module cannot be made.
    """
    if core.parameters is None:
        return 0
    try:
        with torch.device("meta"):
            return sum(p.numel() for p in core.parameters(width, num_heads).parameters())
    except Exception as error:
        raise LabError(f"{core.word}: its parameters cannot be counted: {error}; give num_parameters=") from error


def core_macs(core: Core, width: int, num_heads: int, length: int, grid: int) -> float:
    """Multiply-adds of one image of `length` tokens, the last `grid` of them a grid, or none in order.

    Raises:
        LabError: if it does not run on tensors without data.
    """

    def build() -> Callable[[], object]:
        u = torch.empty(1, num_heads, length, width // num_heads)
        learnt = core.parameters and core.parameters(width, num_heads)
        layout = Layout(length - grid, *near_square(grid)) if grid else None
        given = Given(k_mass=u, x=torch.empty(1, length, width), layout=layout, parameters=learnt)
        return lambda: core.read(u, u, u, given)

    try:
        return counted_macs(build).get(ALL, 0.0)
    except Exception as error:
        message = f"{core.word}: torch cannot count its multiply-adds: {type(error).__name__}: {error}"
        raise LabError(f"{message.splitlines()[0]}; give a closed form, macs=") from error

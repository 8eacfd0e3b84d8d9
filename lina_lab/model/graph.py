"""A function of tensors as one CUDA graph, whose first results are compared with the function itself.

A graph is a recording of kernels and of the addresses that they read and write. Tensors at these addresses must live
as long as the recording: if one is freed, its memory is reused, and the graph silently computes with something else.
Memory allocated during recording belongs to the graph; all other memory must be kept alive by the function.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from lina_lab.errors import LabError

PROVED_CALLS = 2
"""Calls that are compared: the first, and one after other work has reused any memory that was free."""


class Graph:
    """`function(*tensors)` as a CUDA graph, for tensors of the example's shapes; its next call overwrites its result.

    It keeps the function, and so whatever that closes over. An autocast region holds its casts of weights, which a
    graph reads too: call a graph in the region that it was made in.
    """

    def __init__(self, name: str, function: Callable[..., Tensor], *example: Tensor) -> None:
        self.name, self.function = name, function
        self.inputs = [tensor.clone() for tensor in example]
        self.differences: list[Tensor] = []
        """Differences between graph and function in the first calls; kept on the device, so that nothing waits."""
        # As torch's documentation asks: a warm-up on a stream of its own, so that nothing is initialised while
        # recording.
        warm_up = torch.cuda.Stream()
        warm_up.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(warm_up):
            for _ in range(2):
                function(*self.inputs)
        torch.cuda.current_stream().wait_stream(warm_up)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.output = function(*self.inputs)

    def __call__(self, *arguments: Tensor) -> Tensor:
        for own, given in zip(self.inputs, arguments, strict=True):
            own.copy_(given)
        self.graph.replay()
        if len(self.differences) < PROVED_CALLS:
            self.differences.append(relative_difference(self.output, self.function(*arguments)))
        return self.output

    def prove(self, tolerance: float) -> None:
        """Wait for the device and check the differences.

        Raises:
            LabError: if a result was further from the function's than `tolerance`, relative to its norm.
        """
        worst = max((float(difference) for difference in self.differences), default=0.0)
        if not worst <= tolerance:
            raise LabError(
                f"the CUDA graph of {self.name} differs from the same computation without a graph by {worst:.3g} "
                f"relative to its norm (at most {tolerance:g} is rounding), with torch {torch.__version__} on "
                f"{_device_name(self.output)}: what it computed is wrong and was not kept; please report this"
            )


def relative_difference(found: Tensor, expected: Tensor) -> Tensor:
    """|found - expected| / |expected|; 0 where the expected values are not finite: no graph can mend them."""
    distance = (found - expected).float().norm() / expected.float().norm().clamp_min(torch.finfo(torch.float32).tiny)
    # Of a NaN in `found` alone the distance is NaN, which no tolerance admits.
    return torch.where(expected.isfinite().all(), distance, torch.zeros_like(distance))


def _device_name(tensor: Tensor) -> str:
    return torch.cuda.get_device_name(tensor.device) if tensor.is_cuda else str(tensor.device)

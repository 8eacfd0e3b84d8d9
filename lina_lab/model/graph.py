"""A function of tensors as one CUDA graph, which proves its first results against the function itself.

A graph is a recording of kernels and of the addresses that they read and write. What lived at these addresses while it
was recorded must live as long as the recording: if it is freed, its memory is given to something else, and the graph
computes with that, without a word. Memory taken while recording is the graph's own; all else belongs to the function.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from lina_lab.errors import LabError

PROVED_CALLS = 2
"""The first, and one after other work has had its turn with whatever memory was free."""


class Graph:
    """`function(*tensors)` as a CUDA graph, for tensors of the example's shapes; its next call overwrites its result.

    It keeps the function, and so whatever that closes over. An autocast region holds its casts of weights, which a
    graph reads too: call a graph in the region that it was made in.
    """

    def __init__(self, name: str, function: Callable[..., Tensor], *example: Tensor) -> None:
        self.name, self.function = name, function
        self.inputs = [tensor.clone() for tensor in example]
        self.differences: list[Tensor] = []
        """From the function, of the first calls; on the device, so that nothing waits."""
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
        """Wait for the device, and compare.

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

"""The roofline: the best that the machine can do, measured in the same run as the code that it bounds."""

from typing import NamedTuple

import torch

from lina_lab.profiling.clock import timed

TRIES = 7
PRODUCT_SIDE = {"cpu": 2048, "cuda": 8192}
COPY_BYTES = {"cpu": 2**28, "cuda": 2**31}


class Ceilings(NamedTuple):
    """FLOP/s of a large matrix product and bytes/s, read and written, of a large copy: the best of a few tries each."""

    flops_per_second: float
    bytes_per_second: float

    def bound_ms(self, flops: float, moved: float) -> float:
        """max(FLOPs / FLOP/s, bytes / bytes/s) in milliseconds: no code that does this work here is faster.

        Data that stay in a cache can be: bytes/s is of memory.
        """
        return 1000 * max(flops / self.flops_per_second, moved / self.bytes_per_second)


def measure_ceilings(device: torch.device, dtype: torch.dtype) -> Ceilings:
    """The ceilings of a device for matrix products of a dtype; takes about a second."""
    side, size = PRODUCT_SIDE[device.type], COPY_BYTES[device.type]
    left, product = (torch.ones(side, side, dtype=dtype, device=device) for _ in range(2))
    source, target = (torch.ones(size, dtype=torch.uint8, device=device) for _ in range(2))
    product_ms = min(timed(lambda: torch.mm(left, left, out=product), device)[1] for _ in range(TRIES))
    copy_ms = min(timed(lambda: target.copy_(source), device)[1] for _ in range(TRIES))
    return Ceilings(2 * side**3 / product_ms * 1000, 2 * size / copy_ms * 1000)

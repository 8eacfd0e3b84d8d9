"""The device of a measurement, and its clock."""

import time
from collections.abc import Callable
from typing import TypeVar

import torch

from lina_lab.errors import LabError
from lina_lab.provenance import hardware

Result = TypeVar("Result")
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def choose_device(name: str, threads: int = 1) -> torch.device:
    """The device of that name; auto is a GPU if there is one. The processor is given that many threads.

    Raises:
        LabError: if a GPU is asked for and torch sees none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise LabError("--device must be auto or cpu here, not cuda: torch sees no GPU")
    if name != "cpu" and torch.cuda.is_available():
        return torch.device("cuda")
    torch.set_num_threads(threads)
    return torch.device("cpu")


def device_words(device: torch.device) -> str:
    """The device for a reader: a GPU's name, or the processor and the threads that torch uses of it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{hardware().cpu}, {threads} thread{'' if threads == 1 else 's'}"


def timed(call: Callable[[], Result], device: torch.device) -> tuple[Result, float]:
    """The result of a call, and the milliseconds until the device has finished: by events on a GPU."""
    if device.type == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize(device)
        start.record()
        result = call()
        end.record()
        torch.cuda.synchronize(device)
        return result, start.elapsed_time(end)
    started = time.perf_counter()
    result = call()
    return result, 1000 * (time.perf_counter() - started)

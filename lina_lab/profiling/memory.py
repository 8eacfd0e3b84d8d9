"""Memory: bytes that a forward keeps for its backward, and the peak of allocated bytes."""

import os
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor


def storage_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of the storages behind tensors, each counted once."""
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


def activation_bytes(call: Callable[[], object], weights: Iterable[Tensor]) -> int:
    """Bytes that a call keeps for its backward: storages of saved tensors, each once, without the weights.

    An input counts if it is saved. Copies of weights, such as autocast makes, count too, as they occupy memory.
    """
    ignored = {weight.untyped_storage().data_ptr() for weight in weights}
    saved: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        saved.append(tensor)  # kept alive, so that no address is reused
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = call()
    del result
    return storage_bytes(tensor for tensor in saved if tensor.untyped_storage().data_ptr() not in ignored)


def peak_bytes(call: Callable[[], object], device: torch.device) -> int:
    """Peak of the bytes that a call allocates, beyond those allocated before.

    On a GPU as counted by the caching allocator, in blocks of 512 bytes. On the processor, all allocations of torch,
    including temporaries of its operators, but not what libraries (oneDNN, MKL) allocate for themselves.
    """
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    alive: set[int] = set()
    now = peak = 0
    for change in _allocations(call):
        # Memory from before the call may be freed during it, by the garbage collector perhaps: it was not counted.
        if change.bytes > 0 or change.address in alive:
            now += change.bytes
            peak = max(peak, now)
            (alive.add if change.bytes > 0 else alive.remove)(change.address)
    return peak


class Change(NamedTuple):
    """Bytes allocated (positive) or freed (negative) at an address."""

    nanoseconds: int
    address: int
    bytes: int


def _allocations(call: Callable[[], object]) -> list[Change]:
    """What a call allocates and frees, in order of time, from torch's profiler."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else the profiler's library warns on stderr of absent GPUs
    from torch._C._profiler import _EventType
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        result = call()
        del result
    changes, events = [], list(record.profiler.kineto_results.experimental_event_tree())
    # The tree of events is walked without recursion: it may be thousands of calls deep.
    while events:
        event = events.pop()
        events += event.children
        if event.tag == _EventType.Allocation:
            fields = event.extra_fields
            changes.append(Change(event.start_time_ns, fields.ptr, fields.alloc_size))
    return sorted(changes)

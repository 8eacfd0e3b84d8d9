"""Bytes: what a forward keeps for its backward, and the most that is allocated at once."""

import os
from collections.abc import Callable, Iterable

import torch
from torch import Tensor


def storage_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of the storages behind tensors, each counted once."""
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


def activation_bytes(call: Callable[[], object], weights: Iterable[Tensor]) -> int:
    """Bytes that a call keeps for its backward: storages of saved tensors, each once, the weights' own left out.

    The input counts where it is saved. Copies of the weights, as autocast makes them, count: they take room.
    """
    ignored = {weight.untyped_storage().data_ptr() for weight in weights}
    saved: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        saved.append(tensor)  # alive until the end, so that no address is used twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = call()
    del result
    return storage_bytes(tensor for tensor in saved if tensor.untyped_storage().data_ptr() not in ignored)


def peak_bytes(call: Callable[[], object], device: torch.device) -> int:
    """The most bytes of tensors that a call has allocated at once, beyond those that were there before.

    On a GPU as its caching allocator counts them, in blocks of 512 bytes; on the processor every allocation of torch's,
    temporary ones of its operators included, but not what libraries (oneDNN, MKL) allocate for themselves.
    """
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    now = peak = 0
    for change in _allocations(call):
        now += change
        peak = max(peak, now)
    return peak


def _allocations(call: Callable[[], object]) -> list[int]:
    """Bytes allocated (above 0) and freed (below) by a call, in the order of time, from torch's own record."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler's library tells stderr of GPUs that are not there
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        result = call()
        del result
    events = [e for e in record.profiler.kineto_results.events() if e.name() == "[memory]"]
    return [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]

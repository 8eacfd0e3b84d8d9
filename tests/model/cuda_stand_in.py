"""CUDA graphs on a processor, as strict as CUDA about memory: a recording keeps nothing alive but what it made itself.

While recording, every operation is noted with the storages that it reads. A replay computes again from whatever these
storages hold then, into the results of the recording; it fails if one of them is gone, where CUDA would silently read
what lies there now.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only


class Outside:
    """A tensor that was there before the recording, by where it lies; its memory is not kept."""

    def __init__(self, tensor: Tensor) -> None:
        self.storage = StorageWeakRef(tensor.untyped_storage())
        self.layout = (tensor.storage_offset(), tensor.size(), tensor.stride())
        self.dtype = tensor.dtype

    def tensor(self) -> Tensor:
        if self.storage.expired():
            raise AssertionError(f"a replay reads freed memory: {self.layout[1]} of {self.dtype}")
        storage = torch.UntypedStorage._new_with_weak_ptr(self.storage.cdata)
        return torch.empty(0, dtype=self.dtype).set_(storage, *self.layout)


class Recording(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.own: list[Tensor] = []
        self.calls: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        noted = tree_map_only(Tensor, self.note, (args, kwargs or {}))
        outside = {_address(tensor) for tensor in _tensors((args, kwargs))} - self.addresses()
        # A view of what was there before is no memory of the recording.
        self.own += [tensor for tensor in _tensors(result) if _address(tensor) not in outside]
        self.calls.append((function, *noted, tree_map_only(Tensor, self.note, result)))
        return result

    def addresses(self) -> set[int]:
        return {_address(tensor) for tensor in self.own}

    def note(self, tensor: Tensor) -> "Tensor | Outside":
        return tensor if _address(tensor) in self.addresses() else Outside(tensor)


class StandInGraph:
    def __init__(self) -> None:
        self.recording = Recording()
        self.replays = 0

    @torch.autocast("cpu", enabled=False)  # its casts are among the calls
    def replay(self) -> None:
        self.replays += 1
        for function, args, kwargs, result in self.recording.calls:
            args, kwargs = tree_map_only(Outside, Outside.tensor, (args, kwargs))  # noqa: PLW2901
            again = function(*args, **kwargs)
            for old, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _tensors(result: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]


class _Stream:
    def wait_stream(self, other: "_Stream") -> None:
        pass


@contextlib.contextmanager
def _record(graph: StandInGraph) -> Iterator[None]:
    with graph.recording:
        yield


def install(patch: pytest.MonkeyPatch) -> list[StandInGraph]:
    """Put the stand-in where torch.cuda is; the graphs that are made, as they are."""
    made: list[StandInGraph] = []

    def graph() -> StandInGraph:
        made.append(StandInGraph())
        return made[-1]

    patch.setattr(torch.cuda, "Stream", _Stream)
    patch.setattr(torch.cuda, "current_stream", _Stream)
    patch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
    patch.setattr(torch.cuda, "CUDAGraph", graph)
    patch.setattr(torch.cuda, "graph", _record)
    return made

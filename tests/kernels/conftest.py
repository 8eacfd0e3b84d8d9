"""Kernels run on the GPU where there is one, else under Triton's interpreter."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch


@pytest.fixture(autouse=True)
def poisoned() -> Iterator[None]:
    """What a kernel forgets to write is NaN: PyTorch's deterministic mode fills uninitialised memory with it."""
    torch.use_deterministic_algorithms(mode=True)
    assert torch.ones(1).new_empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(mode=False)


@pytest.fixture(autouse=True)
def rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU rounds float32 to the nearest bfloat16; Triton's interpreter cuts it, up to a unit off, but for this."""
    if torch.cuda.is_available():
        return
    from triton.language import bfloat16, float32
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

    cast = InterpreterBuilder.cast_impl

    def rounded(self, source, dtype):
        if (source.dtype.scalar, dtype.scalar) != (float32, bfloat16):
            return cast(self, source, dtype)
        nearest = torch.from_numpy(np.ascontiguousarray(source.data)).bfloat16()
        return TensorHandle(nearest.view(torch.int16).numpy().view(np.uint16).reshape(source.data.shape), bfloat16)

    monkeypatch.setattr(InterpreterBuilder, "cast_impl", rounded)

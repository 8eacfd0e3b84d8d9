"""The roofline: the slower of arithmetic and memory bounds what any code can do."""

import pytest
import torch

from lina_lab.profiling import ceilings
from lina_lab.profiling.ceilings import Ceilings, measure_ceilings


@pytest.mark.parametrize(("flops", "moved", "ms"), [(2e9, 1e6, 2000), (1e6, 4e9, 2000), (0, 1e6, 0.5)])
def test_the_bound_is_that_of_the_slower_of_both(flops, moved, ms):
    assert Ceilings(1e9, 2e9).bound_ms(flops, moved) == pytest.approx(ms)


def test_ceilings_are_the_best_of_the_tries(monkeypatch):
    """A product of 8 x 8 takes 1024 FLOPs, and a copy of 1000 bytes moves each twice."""
    times = iter([4.0, 2.0, 8.0, 5.0, 1.0, 5.0])
    monkeypatch.setattr(ceilings, "timed", lambda call, device: (call(), next(times)))
    monkeypatch.setattr(ceilings, "TRIES", 3)
    monkeypatch.setitem(ceilings.PRODUCT_SIDE, "cpu", 8)
    monkeypatch.setitem(ceilings.COPY_BYTES, "cpu", 1000)
    found = measure_ceilings(torch.device("cpu"), torch.float32)
    assert found == pytest.approx((1024 / 2e-3, 2000 / 1e-3))

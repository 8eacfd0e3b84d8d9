"""Where code is measured, and how long it takes there."""

import time

import pytest
import torch

from lina_lab.errors import LabError
from lina_lab.profiling import clock
from lina_lab.profiling.clock import choose_device, device_words, timed
from lina_lab.provenance import Hardware

CPU = torch.device("cpu")


def test_a_call_takes_the_milliseconds_of_the_clock_and_gives_what_it_returns(monkeypatch):
    ticks = iter([10.0, 10.25])
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
    assert timed(lambda: "result", CPU) == ("result", 250.0)


def test_auto_is_a_gpu_only_where_torch_sees_one_and_cuda_is_refused_without(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == CPU
    with pytest.raises(LabError, match="--device must be auto or cpu here, not cuda: torch sees no GPU"):
        choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == choose_device("cuda") == torch.device("cuda")
    assert choose_device("cpu") == CPU


def test_a_processor_is_named_with_its_threads(monkeypatch):
    monkeypatch.setattr(clock, "hardware", lambda: Hardware(cpu="a processor", cores=1))
    for threads, words in ((1, "a processor, 1 thread"), (2, "a processor, 2 threads")):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        assert device_words(CPU) == words

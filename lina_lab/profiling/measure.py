"""Time forward and backward of several modules in rounds, so that a busy moment of the machine affects all alike.

A round runs each module once; the medians over rounds are reported.
"""

import statistics
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from lina_lab.profiling.clock import timed
from lina_lab.profiling.memory import activation_bytes, peak_bytes, storage_bytes

LEAST_ROUNDS, MOST_ROUNDS = 3, 50
SECONDS_EACH = 0.5
"""Seconds of rounds for each module, unless the least number of rounds takes longer."""
RUNS_BEFORE = 4
"""Runs before the rounds: one to warm up, two to measure memory, one to estimate the time."""


class TimedModule(NamedTuple):
    """Something with a forward and a backward."""

    forward: Callable[[], Tensor]
    gradient: Tensor | None
    """Gradient of the output; None for a loss."""
    weights: list[Tensor]
    inputs: list[Tensor]

    def forget(self) -> None:
        for leaf in (*self.weights, *self.inputs):
            leaf.grad = None

    def run(self, device: torch.device) -> tuple[float, float]:
        """Milliseconds of one forward, as in training, and of one backward."""
        self.forget()
        output, forward_ms = timed(self.forward, device)
        _, backward_ms = timed(lambda: output.backward(self.gradient), device)
        return forward_ms, backward_ms

    def peak_bytes(self, device: torch.device) -> int:
        """Peak bytes of forward and backward: weights, inputs, activations, gradients and temporaries."""
        self.forget()
        given = [*self.weights, *self.inputs, *([] if self.gradient is None else [self.gradient])]
        return storage_bytes(given) + peak_bytes(lambda: self.forward().backward(self.gradient), device)


class ModuleTiming(NamedTuple):
    """Medians over `repeats` rounds; `iqr_ms` is the interquartile range of forward plus backward."""

    forward_ms: float
    backward_ms: float
    iqr_ms: float
    repeats: int
    activation_bytes: int
    peak_bytes: int


def measure(
    subjects: Mapping[str, TimedModule],
    device: torch.device,
    limit: float,
    done: Callable[[str], None] = lambda name: None,
) -> dict[str, ModuleTiming | str]:
    """Measure each subject, or say why not: one run took longer than `limit` seconds, or memory was too small.

    `done(name)` is called when only the rounds of a subject remain.
    """
    timings: dict[str, ModuleTiming | str] = {}
    memory, once = {}, {}
    for name, subject in subjects.items():
        try:
            subject.run(device)
            subject.forget()
            memory[name] = activation_bytes(subject.forward, subject.weights), subject.peak_bytes(device)
            once[name] = sum(subject.run(device)) / 1000
        except torch.OutOfMemoryError:
            timings[name] = "not enough memory"
        done(name)
        subject.forget()
    timings |= {name: f"one takes {took:.2g} s" for name, took in once.items() if took > limit}
    chosen = {name: took for name, took in once.items() if name not in timings}
    for name, times in _rounds({name: subjects[name] for name in chosen}, chosen, device).items():
        timings[name] = _medians(times, *memory[name])
    return {name: timings[name] for name in subjects}


def _rounds(
    subjects: Mapping[str, TimedModule], once: Mapping[str, float], device: torch.device
) -> dict[str, list[tuple[float, float]]]:
    total = sum(once.values())
    rounds = int(SECONDS_EACH * len(once) / total) if total else MOST_ROUNDS
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in subjects}
    for _ in range(max(LEAST_ROUNDS, min(rounds, MOST_ROUNDS))):
        for name, subject in subjects.items():
            times[name].append(subject.run(device))
            subject.forget()
    return times


def _medians(times: list[tuple[float, float]], activations: int, peak: int) -> ModuleTiming:
    forward, backward = zip(*times, strict=True)
    low, _, high = statistics.quantiles([sum(both) for both in times], n=4, method="inclusive")
    return ModuleTiming(
        forward_ms=statistics.median(forward),
        backward_ms=statistics.median(backward),
        iqr_ms=high - low,
        repeats=len(times),
        activation_bytes=activations,
        peak_bytes=peak,
    )

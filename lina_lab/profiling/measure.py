"""Forward and backward of several modules side by side: in rounds, so that a busy moment of the machine hits them all.

A round runs each module once; what is reported is the median over rounds.
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
"""Of rounds for each module, where the least number of them does not take longer."""
RUNS_BEFORE = 4
"""Forwards and backwards before the rounds: to warm up, for both kinds of memory, and for the time of one."""


class TimedModule(NamedTuple):
    """Something with a forward and a backward."""

    forward: Callable[[], Tensor]
    gradient: Tensor | None
    """Of the output; None for a loss."""
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
        """The most bytes at once in forward and backward: weights, inputs, activations, gradients, temporary ones."""
        self.forget()
        given = [*self.weights, *self.inputs, *([] if self.gradient is None else [self.gradient])]
        return storage_bytes(given) + peak_bytes(lambda: self.forward().backward(self.gradient), device)


class ModuleTiming(NamedTuple):
    """Medians over `repeats` rounds; `iqr_ms` is the distance of the quartiles of forward and backward together."""

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
    """What each subject takes, or why it was not measured: one run of it took longer than `limit` seconds, or no room.

    `done(name)` is called when little is left to do for a subject but its rounds.
    """
    found: dict[str, ModuleTiming | str] = {}
    memory, once = {}, {}
    for name, subject in subjects.items():
        try:
            subject.run(device)
            subject.forget()
            memory[name] = activation_bytes(subject.forward, subject.weights), subject.peak_bytes(device)
            once[name] = sum(subject.run(device)) / 1000
        except torch.OutOfMemoryError:
            found[name] = "not enough memory"
        done(name)
        subject.forget()
    found |= {name: f"one takes {took:.2g} s" for name, took in once.items() if took > limit}
    chosen = {name: took for name, took in once.items() if name not in found}
    for name, times in _rounds({name: subjects[name] for name in chosen}, chosen, device).items():
        found[name] = _medians(times, *memory[name])
    return {name: found[name] for name in subjects}


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

"""Schedules of the sampler: tokens of each step, strength of the guidance, noise levels."""

import math
from itertools import pairwise


def count_schedule(tokens: int, steps: int) -> list[int]:
    """Tokens that each autoregressive step predicts: differences of round(N cos(π i / 2S)), zeros left out."""
    left = [round(tokens * math.cos(math.pi / 2 * i / steps)) for i in range(steps + 1)]
    return [before - after for before, after in pairwise(left) if before > after]


def guidance_ramp(scale: float, minimum: float, steps: int) -> list[float]:
    """g_k = g_min + (g - g_min) (k + 1) / K for k < K."""
    return [minimum + (scale - minimum) * (k + 1) / steps for k in range(steps)]


def flow_sigmas(steps: int) -> list[float]:
    """Noise levels of the Euler steps, from 1 down to 0.001, and 0 at the end: steps + 1 values."""
    if steps == 1:
        return [1.0, 0.0]
    return [(1000 - 999 * j / (steps - 1)) / 1000 for j in range(steps)] + [0.0]


def flow_schedule(first: int, last: int | None, steps: int) -> list[int]:
    """Euler steps of every autoregressive step: ⌊(T - T') (K - 1 - k) / (K - 1) + T'⌋, k < K; T without a last T'."""
    if last is None or steps == 1:
        return [first] * steps
    return [last + (first - last) * (steps - 1 - k) // (steps - 1) for k in range(steps)]

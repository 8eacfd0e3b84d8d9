"""Profile one attention module over designs and lengths: cost in closed form and as measured.

Shapes: B batch, N tokens, D width.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pandas as pd
import torch

from lina_lab import cost
from lina_lab.config.settings import ExecutionConfig
from lina_lab.errors import LabError
from lina_lab.model.attention import Attention, Layout
from lina_lab.model.execution import accelerate
from lina_lab.profiling.ceilings import Ceilings, measure_ceilings
from lina_lab.profiling.clock import PRECISIONS, device_words
from lina_lab.profiling.counting import ALL, check_macs, counted_macs
from lina_lab.profiling.designs import Design, layout_of
from lina_lab.profiling.measure import RUNS_BEFORE, SECONDS_EACH, ModuleTiming, TimedModule, measure

BACKWARD = 2
"""Multiply-adds of a backward pass, in forward passes."""


class AttentionSetting(NamedTuple):
    """Settings that all points of a profile share."""

    width: int
    num_heads: int
    batch: int
    precision: str
    """fp32, or bf16: weights and inputs are bfloat16, as in the published models."""
    device: torch.device
    limit: float
    """Most seconds of one forward and backward; points predicted to take longer are not measured."""
    execution: ExecutionConfig = ExecutionConfig()
    """Kernels, and whether the module is compiled; activation checkpointing applies to whole models only."""


class ProfilePoint(NamedTuple):
    """A design at a length; `bound_ms` is of forward and backward together."""

    design: Design
    layout: Layout
    macs: int
    parameters: int
    bound_ms: float


def profile_attention(
    setting: AttentionSetting,
    tokens: Sequence[int],
    designs: list[Design],
    progress: Callable[[float], None] = lambda share: None,
) -> pd.DataFrame:
    """A row for each length and design. Cells that were not measured are empty, and `reason` says why.

    bf16 runs in bfloat16 throughout, except for the float32 core.

    Raises:
        LabError: if heads do not divide the width, or a length has no layout.
        ValueError: if torch's count of multiply-adds differs from the closed form.
    """
    if setting.width % setting.num_heads:
        raise LabError(f"--heads must divide --width: {setting.num_heads} heads do not divide {setting.width} channels")
    layouts = [layout_of(length) for length in sorted(set(tokens))]
    ceilings = measure_ceilings(setting.device, PRECISIONS[setting.precision])
    points = [[_point(design, layout, setting, ceilings) for design in designs] for layout in layouts]
    forecast = Forecast(points, setting.limit, progress)
    rows = []
    for of_length in points:
        timings = _measure(of_length, setting, forecast)
        rows += [_row(point, timings[point.design.name], setting, ceilings) for point in of_length]
    return pd.DataFrame(rows).astype(dict.fromkeys(("peak_bytes", "activation_bytes", "repeats"), "Int64"))


def _point(design: Design, layout: Layout, setting: AttentionSetting, ceilings: Ceilings) -> ProfilePoint:
    config, (B, D, H, N) = design.config, (setting.batch, setting.width, setting.num_heads, layout.tokens)
    grid = layout.height * layout.width
    macs = round(B * cost.attention_macs(config, D, H, N, grid))

    def build() -> Callable[[], object]:
        module, x = Attention(config, D, H, layout), torch.empty(B, N, D)
        return lambda: module(x)

    check_macs(f"{design.name} on {N} tokens", macs, counted_macs(build)[ALL])
    value_bytes = PRECISIONS[setting.precision].itemsize
    moved = cost.attention_bytes(config, D, H, N, grid, B, value_bytes)
    bound = ceilings.bound_ms(2 * macs, moved.forward) + ceilings.bound_ms(2 * BACKWARD * macs, moved.backward)
    return ProfilePoint(
        design=design, layout=layout, macs=macs, parameters=cost.attention_parameters(config, D, H, N), bound_ms=bound
    )


def _subject(point: ProfilePoint, setting: AttentionSetting) -> TimedModule:
    """The module of a point with a random input and a random gradient of its output."""
    like = torch.empty(0, device=setting.device, dtype=PRECISIONS[setting.precision])
    module = Attention(point.design.config, setting.width, setting.num_heads, point.layout).to(like)
    if not point.design.float32_core:
        module.normalization = module.normalization._replace(float32=False)
    accelerate(module, setting.execution)
    if setting.execution.compile:
        module.compile()  # as every block of a compiled model is
    shape = (setting.batch, point.layout.tokens, setting.width)
    x, gradient = (torch.randn(shape).to(like) for _ in range(2))  # (B, N, D)
    x.requires_grad_()
    return TimedModule(forward=lambda: module(x), gradient=gradient, weights=list(module.parameters()), inputs=[x])


class Forecast:
    """Predicts the time of a point: its roofline bound times the ratio of time to bound that its design had so far.

    A design that was not measured yet is given the worst ratio of those that were, or 1. `progress(share)` is told the
    share of the predicted work that is done.
    """

    def __init__(self, points: list[list[ProfilePoint]], limit: float, progress: Callable[[float], None]) -> None:
        self.left = [point for of_length in points for point in of_length]
        self.limit, self.progress = limit, progress
        self.slowdown: dict[str, float] = {}
        self.spent = 0.0

    def seconds(self, point: ProfilePoint) -> float:
        worst = max(self.slowdown.values(), default=1.0)
        return point.bound_ms / 1000 * self.slowdown.get(point.design.name, worst)

    def refuse(self, point: ProfilePoint) -> str | None:
        """Why a point will not be measured; None unless it would take too long."""
        seconds = self.seconds(point)
        if seconds <= self.limit:
            return None
        self.left.remove(point)
        return f"would take about {seconds:.2g} s"

    def done(self, point: ProfilePoint) -> None:
        self.spent += self._work(point)
        self.left.remove(point)
        rest = sum(self._work(other) for other in self.left if self.seconds(other) <= self.limit)
        if self.spent:
            self.progress(self.spent / (self.spent + rest))

    def learn(self, point: ProfilePoint, timing: ModuleTiming) -> None:
        self.slowdown[point.design.name] = (timing.forward_ms + timing.backward_ms) / point.bound_ms

    def _work(self, point: ProfilePoint) -> float:
        once = self.seconds(point)
        return max(SECONDS_EACH, 3 * once) + RUNS_BEFORE * once


def _measure(
    points: list[ProfilePoint], setting: AttentionSetting, forecast: Forecast
) -> dict[str, ModuleTiming | str]:
    """Measurements of the points of one length, or the reasons why there are none, by design."""
    by_name = {point.design.name: point for point in points}
    timings: dict[str, ModuleTiming | str] = {
        name: reason for name, point in by_name.items() if (reason := forecast.refuse(point)) is not None
    }
    chosen = [name for name in by_name if name not in timings]
    # torch keeps a few compilations of a function and then compiles no more, and one for another length can be of any
    # length: compiled modules are measured one after the other, each as if it were the only one.
    compiled = setting.execution.compile
    for names in [[name] for name in chosen] if compiled else [chosen]:
        if compiled:
            torch.compiler.reset()
        subjects = {name: _subject(by_name[name], setting) for name in names}
        timings |= measure(subjects, setting.device, setting.limit, lambda name: forecast.done(by_name[name]))
    for name, point in by_name.items():
        if isinstance(result := timings[name], ModuleTiming):
            forecast.learn(point, result)
    return timings


def _row(
    point: ProfilePoint, timing: ModuleTiming | str, setting: AttentionSetting, ceilings: Ceilings
) -> dict[str, Any]:
    config, layout = point.design.config.model_dump(), point.layout
    measured = timing._asdict() if isinstance(timing, ModuleTiming) else dict.fromkeys(ModuleTiming._fields, math.nan)
    total = measured["forward_ms"] + measured["backward_ms"]
    return {
        "device": device_words(setting.device),
        **{axis: config.pop(axis) for axis in ("normalization", "conv_kernel", "kv_gate")},
        "tokens": layout.tokens,
        **{name: measured.pop(name) for name in ("forward_ms", "backward_ms", "peak_bytes")},
        "macs": point.macs,
        "design": point.design.name,
        **config,
        "float32_core": point.design.float32_core,
        "prefix": layout.prefix,
        "grid": f"{layout.height}x{layout.width}",
        "batch": setting.batch,
        "width": setting.width,
        "num_heads": setting.num_heads,
        "precision": setting.precision,
        "backend": setting.execution.attention_backend,
        "compile": setting.execution.compile,
        "parameters": point.parameters,
        **measured,
        "bound_ms": point.bound_ms,
        "roofline": point.bound_ms / total,
        **ceilings._asdict(),
        "reason": "" if isinstance(timing, ModuleTiming) else timing,
    }

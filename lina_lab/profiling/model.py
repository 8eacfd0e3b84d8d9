"""Profile a whole model, module by module: one training step and one sampled image of an experiment.

Shapes: B images, N image tokens, V values of a token.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn

from lina_lab import cost
from lina_lab.config.experiment import Experiment
from lina_lab.model.lina import Lina
from lina_lab.model.prompts import prompts_of
from lina_lab.model.random_streams import TrainingDraws, step_streams, stream, training_draws
from lina_lab.model.sampler import sample
from lina_lab.profiling.ceilings import Ceilings, measure_ceilings
from lina_lab.profiling.clock import PRECISIONS, device_words, timed
from lina_lab.profiling.counting import ALL, check_macs, counted_macs
from lina_lab.profiling.measure import ModuleTiming, TimedModule, measure
from lina_lab.training.module import LinaModule
from lina_lab.training.train import build_model

STACKS = ("context", "encoder", "decoder")
WITHIN = {"attention": 1, "mlp": 1, "norm1": 2}
"""Modules of a block, and how many of each it has; the first block of a stack is measured for all of its design."""
WHOLE = "training forward and backward"
TRAINING = 3
"""Multiply-adds of forward and backward, in forwards."""


class Part(NamedTuple):
    """A module by its name in the model; `number` of its kind do the same work."""

    label: str
    module: str
    number: int


class StepSetting(NamedTuple):
    """How a model is profiled: with `batch` images, and modules whose run takes at most `limit` seconds."""

    batch: int
    device: torch.device
    limit: float


class ModelProfile(NamedTuple):
    parts: pd.DataFrame
    """A row for the whole and for each part: parameters, macs, times and activations of all `count` of its kind
    together, and the peak of one."""
    facts: dict[str, float | None]
    """Of a step: milliseconds of the optimizer and of all, images/s, FLOP/s over the ceiling; and seconds to sample an
    image. None where something was not measured."""


def profile_model(
    experiment: Experiment, setting: StepSetting, progress: Callable[[float], None] = lambda share: None
) -> ModelProfile:
    """Time and memory of a model's modules in one training step, and seconds to sample an image.

    The number of visible tokens, which training draws, is fixed to its rounded mean. The first module of a kind is
    measured and multiplied by their number. A module that takes longer than the limit has empty cells and a reason.
    If blocks are compiled, modules inside a block are still measured uncompiled: only whole blocks are compiled.

    Raises:
        ValueError: if torch counts other multiply-adds than the closed form.
    """
    training = experiment.training
    step = Step(experiment, setting)
    macs = _macs(experiment, setting, step)
    ceilings = measure_ceilings(setting.device, PRECISIONS[training.precision])
    parts = list(_parts(experiment))
    whole = Part(WHOLE, ALL, 1)
    least = {p.label: TRAINING * 2 * macs.get(p.module, 0) / ceilings.flops_per_second for p in (whole, *parts)}
    subjects = {WHOLE: step.subject, **step.part_subjects(parts)}
    timings: dict[str, ModuleTiming | str] = {
        label: f"would take at least {seconds:.2g} s" for label, seconds in least.items() if seconds > setting.limit
    }
    chosen = {label: subject() for label, subject in subjects.items() if label not in timings}
    left = iter(range(1, len(chosen) + 1))
    timings |= measure(chosen, setting.device, setting.limit, lambda name: progress(next(left) / (len(chosen) + 1)))
    rows = [_row(part, timings[part.label], macs, step.model, ceilings) for part in (whole, *parts)]
    table = pd.DataFrame(rows).astype(dict.fromkeys(("peak_bytes", "activation_bytes", "repeats"), "Int64"))
    names = {"batch": setting.batch, "visible": step.visible, "precision": training.precision}
    table = table.assign(device=device_words(setting.device), **names, **ceilings._asdict())
    facts = _facts(experiment, setting, step, timings[WHOLE], macs[ALL], ceilings)
    progress(1.0)
    return ModelProfile(table, facts)


class Step:
    """A training step with fixed draws: the model, the optimizer that training would make, and a batch of noise."""

    def __init__(self, experiment: Experiment, setting: StepSetting) -> None:
        self.experiment, self.setting = experiment, setting
        self.model = build_model(experiment).to(setting.device)
        self.visible = visible_tokens(experiment)
        self.optimizer = LinaModule(
            self.model, experiment.training, experiment.seed, lambda *_: None
        ).configure_optimizers()["optimizer"]
        shape = experiment.data.shape
        latents = torch.randn(
            setting.batch, shape.channels, shape.side, shape.side, generator=stream(experiment.seed, "profile")
        )
        self.batch = latents.to(setting.device), prompts_of(shape, setting.batch).to(setting.device)
        self.draws = fixed_draws(experiment, setting.batch).to(setting.device)

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision of training: autocast to bfloat16, or float32."""
        enabled = self.experiment.training.precision == "bf16"
        return torch.autocast(self.setting.device.type, torch.bfloat16, enabled=enabled)

    def loss(self) -> Tensor:
        with self.autocast():
            return self.model.loss_of_draws(*self.batch, self.draws)

    def subject(self) -> TimedModule:
        return TimedModule(forward=self.loss, gradient=None, weights=list(self.model.parameters()), inputs=[])

    def part_subjects(self, parts: list[Part]) -> dict[str, Callable[[], TimedModule]]:
        """For each part, a function that makes it measurable with its inputs in this step."""
        inputs: dict[str, tuple[tuple[Tensor, ...], dict[str, Tensor | None]]] = {}
        modules = {part.module: self.model.get_submodule(part.module) for part in parts}
        hooks = [
            module.register_forward_pre_hook(
                lambda _, given, named, name=name: inputs.setdefault(name, (given, named)) and None, with_kwargs=True
            )
            for name, module in modules.items()
        ]
        self.loss()
        for hook in hooks:
            hook.remove()
        return {part.label: partial(self._part, modules[part.module], *inputs[part.module]) for part in parts}

    def _part(self, module: nn.Module, given: tuple[Tensor, ...], named: dict[str, Tensor | None]) -> TimedModule:
        """A module with its inputs; `named` inputs (rotary positions) have no gradient."""
        inputs = [x.detach().clone().requires_grad_() for x in given]

        def forward() -> Tensor:
            with self.autocast():
                return module(*inputs, **named)

        return TimedModule(
            forward=forward,
            gradient=torch.ones_like(forward().detach()),
            weights=list(module.parameters()),
            inputs=inputs,
        )

    def update(self) -> None:
        """The rest of a training step once gradients exist: clip, update, zero."""
        if self.experiment.training.gradient_clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.experiment.training.gradient_clip)
        self.optimizer.step()


def visible_tokens(experiment: Experiment) -> int:
    """The mean number of visible tokens in training, rounded."""
    image = cost.tokens(experiment.model, experiment.data.shape).image
    return round(cost.mean_visible(image, experiment.training.mask_ratio_min, experiment.training.mask_ratio_std))


def fixed_draws(experiment: Experiment, batch: int) -> TrainingDraws:
    """The draws of the first step of a training, with the mean number of visible tokens."""
    t = cost.tokens(experiment.model, experiment.data.shape)
    draws = training_draws(experiment.training, batch, t.image, t.values, step_streams(experiment.seed, 0))
    return draws._replace(num_visible=visible_tokens(experiment))


def _parts(experiment: Experiment) -> Iterator[Part]:
    for stack in STACKS:
        yield Part(stack, stack, 1)
        blocks = experiment.model.blocks(stack)
        for design in dict.fromkeys(blocks):
            label = stack if design == getattr(experiment.model, stack) else f"{stack}, softmax blocks"
            for name, each in WITHIN.items():
                first = f"{stack}.{blocks.index(design)}.{name}"
                yield Part(f"{label}: {name.rstrip('1')}", first, each * blocks.count(design))
    yield Part("head", "head", 1)


class _Loss(nn.Module):
    """The loss as a module, so that the counter knows modules by name."""

    def __init__(self, model: Lina) -> None:
        super().__init__()
        self.model = model

    def forward(self, latents: Tensor, labels: Tensor, draws: TrainingDraws) -> Tensor:
        return self.model.loss_of_draws(latents, labels, draws)


def _macs(experiment: Experiment, setting: StepSetting, step: Step) -> dict[str, float]:
    """Multiply-adds of one forward: of `ALL` and of each module by name, checked against closed forms."""
    model, data, batch = experiment.model, experiment.data.shape, setting.batch
    draws, prompts = fixed_draws(experiment, batch), prompts_of(data, batch)

    def build() -> Callable[[], object]:
        loss = _Loss(Lina(model, data))
        latents = torch.empty(batch, data.channels, data.side, data.side)
        return lambda: loss(latents, prompts, draws)

    counted = {name.removeprefix("_Loss.model."): macs for name, macs in counted_macs(build).items()}
    t = cost.tokens(model, data)
    repeats = experiment.training.loss_repeat * (t.image - step.visible)
    of_batch = experiment.model_copy(update={"training": experiment.training.model_copy(update={"batch_size": batch})})
    closed = {
        "context": batch * cost.context_macs(model, data),
        "head": batch * repeats * cost.head_macs(model, t.values),
        ALL: batch * cost.forward_macs(of_batch, step.visible) + cost.query_macs(model),
    }
    in_context = {"context": counted["context"] + counted.get("text", 0)}  # with the projection of prompts
    for name, number in closed.items():
        check_macs(name, number, (counted | in_context)[name])
    stacks = batch * cost.image_macs(model, data, step.visible)
    check_macs("encoder and decoder", stacks, counted["encoder"] + counted["decoder"])
    return counted


def _row(
    part: Part, timing: ModuleTiming | str, macs: dict[str, float], model: Lina, ceilings: Ceilings
) -> dict[str, Any]:
    module = model if part.module == ALL else model.get_submodule(part.module)
    measured = timing._asdict() if isinstance(timing, ModuleTiming) else dict.fromkeys(ModuleTiming._fields, math.nan)
    together = ("forward_ms", "backward_ms", "iqr_ms", "activation_bytes")
    measured |= {name: part.number * measured[name] for name in together}
    work, seconds = part.number * macs.get(part.module, 0), (measured["forward_ms"] + measured["backward_ms"]) / 1000
    return {
        "part": part.label,
        "count": part.number,
        "parameters": part.number * sum(p.numel() for p in module.parameters()),
        "macs": round(work),
        **measured,
        "utilisation": TRAINING * 2 * work / seconds / ceilings.flops_per_second if work else math.nan,
        "reason": "" if isinstance(timing, ModuleTiming) else timing,
    }


def _facts(
    experiment: Experiment,
    setting: StepSetting,
    step: Step,
    timing: ModuleTiming | str,
    macs: float,
    ceilings: Ceilings,
) -> dict[str, float | None]:
    names = ("optimizer_ms", "step_ms", "images_per_second", "utilisation", "sampling_seconds")
    if not isinstance(timing, ModuleTiming):
        return dict.fromkeys(names)
    step.loss().backward()
    optimizer_ms = min(timed(step.update, setting.device)[1] for _ in range(5))
    step_ms = timing.forward_ms + timing.backward_ms + optimizer_ms
    speed = 2 * macs / (timing.forward_ms / 1000)
    values = (
        optimizer_ms,
        step_ms,
        setting.batch / step_ms * 1000,
        TRAINING * 2 * macs / (step_ms / 1000) / ceilings.flops_per_second,
        _sampling_seconds(experiment, setting, step.model, speed),
    )
    return dict(zip(names, values, strict=True))


def _sampling_seconds(experiment: Experiment, setting: StepSetting, model: Lina, speed: float) -> float | None:
    """Seconds an image, sampled as one batch; None if at `speed` FLOP/s that would take ten times the limit."""
    if setting.batch * cost.sampling_flops(experiment) / speed > 10 * setting.limit:
        return None
    prompts = prompts_of(experiment.data.shape, setting.batch).to(setting.device)

    def draw() -> Tensor:
        generators = [stream(experiment.seed, "sample", image) for image in range(setting.batch)]
        return sample(model, prompts, experiment.sampling, generators)

    return min(timed(draw, setting.device)[1] for _ in range(2)) / 1000 / setting.batch

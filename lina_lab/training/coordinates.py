"""The coordinate check: how far activations move in the first steps of a training, against the width.

Under muP the mean |x_t - x_0| of every layer is the same at all widths; what grows with the width needs a smaller rate
there, and what shrinks learns nothing there. Yang et al. 2022, arXiv:2203.03466, appendix D.1.

Shapes: B images, N image tokens, V values of a token.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from lina_lab.analysis.coordinates import Check, Moved, check_of
from lina_lab.config.experiment import Experiment
from lina_lab.config.model import base_model
from lina_lab.model.attention import Attention
from lina_lab.model.gates import GroupMemory, PositionGates
from lina_lab.model.lina import Lina
from lina_lab.model.prompts import prompts_of
from lina_lab.model.random_streams import TrainingDraws, step_streams, stream, training_draws
from lina_lab.training.module import LinaModule
from lina_lab.training.train import build_model

TIMES = (1, 2, 4, 8)
"""Widths, as multiples of the base."""
STEPS = (1, 2, 4, 6, 8, 10)
SEEDS = range(5)
TOKENS, IMAGES = 512, 16
"""Most tokens of a batch, and most images."""
RATE = 2e-3
"""Learning rate at the base. The check is one of the rules, not of a rate: at high ones, without a warm-up, models
leave within few steps the range where changes are of first order, whatever the rules."""
SETTING = {"rate": RATE, "times": TIMES, "steps": STEPS, "seeds": len(SEEDS), "tokens": TOKENS, "images": IMAGES}
"""What a stored check depends on besides its experiment."""
BLOCK_NUMBER = re.compile(r"\.\d+(?=\.)")


def check(experiment: Experiment, tell: Callable[[str], None] = lambda word: None) -> Check:
    """The coordinate check of a design in the parametrization of an experiment: in seconds for digits.

    `tell` hears which width comes next.
    """
    kind, moved = experiment.training.parametrization, []
    for times in TIMES:
        tell(f"{kind}, width {base_model(experiment.model, times).width}")
        moved += [one for seed in SEEDS for one in coordinates(experiment, times, seed)]
    return check_of(kind, RATE, moved)


def coordinates(experiment: Experiment, times: int, seed: int) -> Iterator[Moved]:
    """What moved in a model of the same design at `times` the base width, on one batch of noise."""
    training = experiment.training.model_copy(update={"learning_rate": RATE})
    model_there = base_model(experiment.model, times)
    wide = experiment.model_copy(update={"seed": seed, "model": model_there, "training": training})
    model = build_model(wide)
    optimizer = LinaModule(model, wide.training, seed, lambda *_: None).configure_optimizers()["optimizer"]
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"]  # without the warm-up
    batch = _noise(wide, model)

    def draws(step: int) -> TrainingDraws:
        return training_draws(wide.training, len(batch[0]), model.tokens, model.values, step_streams(seed, step))

    start = _outputs(model, batch, draws(0))
    for step in range(1, STEPS[-1] + 1):
        optimizer.zero_grad()
        model.loss_of_draws(*batch, draws(step)).backward()
        optimizer.step()
        if step in STEPS:
            changes: dict[str, list[float]] = {}
            for name, now in _outputs(model, batch, draws(0)).items():
                changes.setdefault(BLOCK_NUMBER.sub("", name), []).append(float((now - start[name]).abs().mean()))
            for layer, blocks in changes.items():
                change = sum(blocks) / len(blocks)
                yield Moved(layer=layer, width=wide.model.width, seed=seed, step=step, change=change)


def _noise(experiment: Experiment, model: Lina) -> tuple[Tensor, Tensor]:
    """Latents (B, C, h, w) and labels or prompts: the check needs no data set."""
    shape = experiment.data.shape
    images = max(1, min(IMAGES, TOKENS // (experiment.model.context_tokens + model.tokens)))
    sides = (images, shape.channels, shape.side, shape.side)
    return torch.randn(sides, generator=stream(experiment.seed, "coordinates")), prompts_of(shape, images)


@torch.no_grad()
def _outputs(model: Lina, batch: tuple[Tensor, Tensor], draws: TrainingDraws) -> dict[str, Tensor]:
    """The output of every layer that learns, by name, and what the heads of an attention have read."""
    found: dict[str, Tensor] = {}

    def output(name: str) -> Callable[..., None]:
        return lambda module, given, x: found.update({name: x.float()})

    def given(name: str) -> Callable[..., None]:
        return lambda module, given: found.update({name: given[0].float()})

    hooks: list[Any] = []
    for name, module in model.named_modules():
        if isinstance(module, Attention):
            hooks.append(module.proj.register_forward_pre_hook(given(f"{name}.read")))
        learns = any(p.requires_grad for p in module.parameters(recurse=False))
        if learns and not isinstance(module, (Lina, PositionGates, GroupMemory)):  # they give no activations
            hooks.append(module.register_forward_hook(output(name)))
    model.loss_of_draws(*batch, draws)
    for hook in hooks:
        hook.remove()
    return found

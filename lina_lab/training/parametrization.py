"""Maximal update parametrization (muP): initial weights and learning rates that follow the width.

Yang et al. 2022, arXiv:2203.03466, table 3 for Adam: no factor in the forward pass. With g = fan-in / fan-in at the
base width (`config.model.base_model`), of the weight of a linear map or convolution:

    kind of weight                         initial SD             learning rate
    fan-in grows, fan-out grows: hidden    ~ fan-in^-1/2          / g
    fan-in grows, fan-out does not: output ~ fan-in^-1/2 g^-1/2   / g
    fan-in does not grow: input            as at the base         as at the base

All else is a vector: biases, norms, embeddings, tokens, gates of positions, as at the base in both. Which dimensions
grow is read off the shapes of the same design at the base width, so a new module needs no entry here. Depthwise filters
and maps within heads have a fan-in that does not grow. Heads keep their channels, so logits of attention, d^-1/2 q·k,
and the sums of linear attention need no rule. Width alone is covered: depths are those of the design.
"""

import torch
from torch import Tensor

from lina_lab.config.model import base_model
from lina_lab.model.lina import NORMAL, SUMMING, Lina


def fan_in_growth(model: Lina) -> dict[str, float]:
    """g of every weight whose fan-in is another than at the base width, by name."""
    shapes = _base_shapes(model)
    growth = {name: w.shape[1:].numel() / shapes[name][1:].numel() for name, w in _summing(model).items()}
    return {name: g for name, g in growth.items() if g != 1}


@torch.no_grad()
def rescale(model: Lina) -> None:
    """Turn the initial weights of `initialise` into those of muP; at the base width nothing changes.

    Standard weights have an SD of ~ fan-in^-1/2, `NORMAL` ones a constant one. Biases of linear maps start at ±
    fan-in^-1/2 as well, and are brought to that of the base.
    """
    shapes, parameters = _base_shapes(model), dict(model.named_parameters())
    for name, g in fan_in_growth(model).items():
        is_output = len(parameters[name]) == shapes[name][0]
        parameters[name].mul_(g ** (-0.5 * (is_output + (name in NORMAL))))
        bias = parameters.get(f"{name.removesuffix('weight')}bias")
        if bias is not None:
            bias.mul_(g**0.5)


def _summing(model: Lina) -> dict[str, Tensor]:
    """Weights (fan-out, fan-in, ...) that sum over their inputs, by name."""
    return {f"{name}.weight": module.weight for name, module in model.named_modules() if isinstance(module, SUMMING)}


def _base_shapes(model: Lina) -> dict[str, torch.Size]:
    with torch.device("meta"):
        base = Lina(base_model(model.config), model.data)
    return {name: parameter.shape for name, parameter in base.named_parameters()}

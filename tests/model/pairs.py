"""Designs of one attention module: every pair of values of two axes that means something."""

import itertools

import pytest
from pydantic import ValidationError

from lina_lab.config.model import AttentionConfig
from lina_lab.design.axes import AXES

BASE = {"conv_kernel": 3, "kv_gate": "key_value"}
"""With a gate and a convolution, so that no axis is without meaning."""


def design(**values: object) -> AttentionConfig | None:
    """The design, or None if its values mean nothing together."""
    try:
        return AttentionConfig.model_validate(values)
    except ValidationError:
        return None


def singles() -> list[AttentionConfig]:
    """Every value of every axis, beside `BASE`; equal designs once."""
    made = (design(**BASE | {axis: value}) for axis, found in AXES.items() for value in found.values)
    return list(dict.fromkeys(filter(None, made)))


def pairs() -> list[AttentionConfig]:
    """All pairs of values, beside `BASE`; equal designs once."""
    found: dict[AttentionConfig, None] = {}
    for first, second in itertools.combinations(AXES, 2):
        for a, b in itertools.product(AXES[first].values, AXES[second].values):
            made = design(**BASE | {first: a, second: b})
            if made is not None:
                found.setdefault(made)
    return list(found)


def name(config: AttentionConfig) -> str:
    """What differs from the default, for a test's id."""
    default = AttentionConfig().model_dump()
    return ",".join(f"{value}" for axis, value in config.model_dump().items() if value != default[axis]) or "default"


SINGLES = singles()
PAIRS = [pytest.param(made, id=name(made), marks=[pytest.mark.slow] * (made not in SINGLES)) for made in pairs()]

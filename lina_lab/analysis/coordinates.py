"""Whether a learning rate can be taken from one width to another: how the change of activations goes with the width.

For every layer and step, log mean |x_t - x_0| is fitted against log width. A slope of 0 is what muP promises; at
a slope of 1/2 a model of four times the width moves twice as far.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lina_lab.analysis.interval import finite_or_null
from lina_lab.errors import LabError

DOCUMENT, VERSION = "lab coords", 1
"""How the JSON document begins."""
TOLERANCE = 0.3
"""Largest slope of a check that passes, of either sign. On digits with 3 seeds (the check has 5) the largest of all
layers and steps was 0.14 to 0.23 in eight designs with all rules, 0.40 to 0.98 with one left out, from 1.05 without."""
PASSED = "passed"


class Moved(NamedTuple):
    """How far the output of a kind of layer is from its start after some steps."""

    layer: str
    """Its name in the model without the number of its block: `decoder.attention.qkv`."""
    width: int
    seed: int
    step: int
    change: float
    """Mean of |x_t - x_0| over all coordinates and the blocks of its stack."""


class Growth(NamedTuple):
    """How the change of a layer goes with the width: as width^slope."""

    layer: str
    step: int
    slope: float
    """NaN where it is not finite, or nothing moved, at some width."""
    change: Mapping[int, float]
    """Mean over seeds, by width."""

    @property
    def passed(self) -> bool:
        return abs(self.slope) <= TOLERANCE


class Check(NamedTuple):
    """A coordinate check of one design in one parametrization."""

    parametrization: str
    learning_rate: float
    growths: Sequence[Growth]

    @property
    def worst(self) -> Growth:
        return max(self.growths, key=lambda growth: math.inf if math.isnan(growth.slope) else abs(growth.slope))

    @property
    def passed(self) -> bool:
        return self.worst.passed

    @property
    def words(self) -> str:
        """`PASSED`, or which layer fails most."""
        worst = self.worst
        if self.passed:
            return PASSED
        if math.isnan(worst.slope):
            return f"the coordinate check failed: {worst.layer} is not finite, or does not move, at step {worst.step}"
        return f"the coordinate check failed: {worst.layer} moves as width^{worst.slope:.2f} at step {worst.step}"


def check_of(parametrization: str, learning_rate: float, moved: Iterable[Moved]) -> Check:
    """The slopes of what moved; a layer that has not moved at any width by a step, as before a zero start, has none."""
    growths = []
    order = sorted(moved, key=lambda m: (m.layer, m.step))
    for (layer, step), of_step in groupby(order, key=lambda m: (m.layer, m.step)):
        seeds: dict[int, list[float]] = {}
        for one in of_step:
            seeds.setdefault(one.width, []).append(one.change)
        change = {width: float(np.mean(seeds[width])) for width in sorted(seeds)}
        if any(change.values()):
            growths.append(Growth(layer=layer, step=step, slope=_slope(change), change=change))
    return Check(parametrization, learning_rate, growths)


def _slope(change: Mapping[int, float]) -> float:
    if not all(0 < value < math.inf for value in change.values()):
        return math.nan
    return float(np.polyfit(np.log([*change]), np.log([*change.values()]), 1)[0])


def checks_text(checks: Sequence[Check]) -> str:
    """The JSON document of some checks, what `parse_checks` reads."""
    body = [
        {
            "parametrization": check.parametrization,
            "learning_rate": check.learning_rate,
            "passed": check.passed,
            "worst": check.worst.layer,
            "layers": [_as_json(growth) for growth in check.growths],
        }
        for check in checks
    ]
    return (
        json.dumps({"document": DOCUMENT, "version": VERSION, "tolerance": TOLERANCE, "checks": body}, indent=1) + "\n"
    )


def parse_checks(text: str, path: Path) -> list[Check]:
    """The checks of a document; `path` is named in errors.

    Raises:
        LabError: if it is damaged or of another version.
    """
    try:
        body = json.loads(text)
        if body["version"] != VERSION:
            raise LabError(f"{path}: key version: this package reads version {VERSION}, not {body['version']}")
        return [
            Check(one["parametrization"], one["learning_rate"], [_growth(layer) for layer in one["layers"]])
            for one in body["checks"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LabError(f"{path}: damaged ({error}); delete it, and it is measured again") from error


def _growth(layer: Mapping[str, Any]) -> Growth:
    change = {int(width): math.nan if value is None else value for width, value in layer["change"].items()}
    slope = math.nan if layer["slope"] is None else float(layer["slope"])
    return Growth(layer=layer["layer"], step=layer["step"], slope=slope, change=change)


def _as_json(growth: Growth) -> dict[str, Any]:
    change = {width: finite_or_null(value) for width, value in growth.change.items()}
    return growth._asdict() | {"slope": finite_or_null(growth.slope), "change": change}

"""Whether further extractors, which measured the same images, see the same design ahead as the one that decides."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from lina_lab.analysis.confounds import Reasons
from lina_lab.analysis.gap_model import Gap, gaps, line
from lina_lab.analysis.interval import Interval
from lina_lab.analysis.match_cells import Columns, matched
from lina_lab.errors import LabError
from lina_lab.metric_names import axis_label, other_extractors


class Eye(NamedTuple):
    """The same metric of the same two designs by another extractor."""

    y: str
    ratio: Interval
    """yA / yB at the largest size."""
    slope: Interval
    agrees: bool
    """It sees the same design ahead at the largest size."""


def other_eyes(
    table: pd.DataFrame, columns: Columns, designs: Sequence[Sequence[str]], level: float, own: Gap, slope: Interval
) -> tuple[list[Eye], Reasons, list[str]]:
    """What further extractors see, their reasons against a claim, and a warning for each that cannot be compared.

    own: the ratio at the largest size by the extractor that decides, and `slope` its trend. An extractor that sees the
    other design ahead is a reason, however wide its interval: features that disagree on the sign show no winner.
    """
    seen, against, warnings = [], Reasons([], []), []
    for y in other_extractors(columns.y, table.columns):
        try:
            pairs = matched(table, columns._replace(y=y), designs[0], designs[1])
            scale = pairs.scale
        except LabError as error:
            warnings.append(f"{y} is not compared: {error}")
            continue
        largest, fitted = gaps(pairs, level)[-1], line(pairs, level)
        if largest.size != own.size:
            warnings.append(f"{y} is not compared: it has no pair at {own.size}")
            continue
        trend = fitted.slope if fitted else Interval(math.nan, math.nan, math.nan)
        agrees = (largest.ratio.mean < scale.neutral) == (own.ratio.mean < scale.neutral)
        seen.append(Eye(y=y, ratio=largest.ratio, slope=trend, agrees=agrees))
        if not agrees:
            mean, low, high = map(scale.shown, largest.ratio)
            reason = f"extractors disagree on which is ahead ({axis_label(y)} has a {scale.word} of {mean}"
            against.better.append(f"{reason}, {low} to {high})")
        if slope.mean * trend.mean < 0:
            against.scales.append(
                f"extractors disagree on which gains with size ({axis_label(y)} has a slope of {trend.mean:.4g})"
            )
    return seen, Reasons(against.better, against.better + against.scales), warnings

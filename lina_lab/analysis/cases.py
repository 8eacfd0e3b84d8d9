"""What came out of one comparison of a study, in one of four words, and how many seeds would settle it.

- helps, hurts: the verdict says which design is better at the largest size (`comparison`), with no reason against it;
- no difference seen: nothing stands against a verdict, and the interval there holds equal values and lies within the
  band of practical equality;
- undetermined: everything else.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lina_lab.analysis.comparison import Verdict
from lina_lab.analysis.contrasts import DesignPair, columns_of
from lina_lab.analysis.findings import Contrast
from lina_lab.analysis.gap_model import Gap
from lina_lab.analysis.interval import finite_or_null
from lina_lab.analysis.match_cells import Pairs, matched
from lina_lab.analysis.power import Needed, seeds_needed
from lina_lab.analysis.scale import RATIO
from lina_lab.analysis.study_metric import StudyMetric
from lina_lab.analysis.wording import UNDETERMINED

HELPS, HURTS, EQUAL = "helps", "hurts", "no difference seen"
OUTCOMES = (HELPS, HURTS, EQUAL, UNDETERMINED)
BAND = 0.05
"""Values closer than this share of the first value's count as equal in practice."""
MOST_SEEDS = 20


class Case(NamedTuple):
    """An axis value against the axis's first at one setting of the other axes."""

    pair: DesignPair
    verdict: Verdict
    outcome: str
    """One of `OUTCOMES`."""
    band: tuple[float, float]
    """Ratios, or differences, between which designs count as equal."""
    ahead: int
    """Pairs of cells, of all sizes, in which the value is better; of `verdict.num_pairs`."""
    needed: Needed | None
    """Seeds that would settle it; None where it is settled, where other reasons stand, or no spread is known."""

    @property
    def largest(self) -> Gap:
        return self.verdict.gaps[-1]

    @property
    def measured_spread(self) -> bool:
        return not math.isnan(self.largest.ratio.low)

    def as_json(self) -> dict[str, Any]:
        """Numbers are finite or null."""
        gap, needed = self.largest, self.needed
        low, mean, high = map(finite_or_null, (gap.ratio.low, gap.ratio.mean, gap.ratio.high))
        return {
            "setting": self.pair.setting,
            "names": list(self.pair.names),
            "a": self.pair.a,
            "b": self.pair.b,
            "outcome": self.outcome,
            "size": gap.size,
            "parameters": gap.x,
            self.verdict.scale.word: mean,
            "low": low,
            "high": high,
            "level": self.verdict.level,
            "seeds": self.verdict.seeds,
            "pairs": self.verdict.num_pairs,
            "ahead": self.ahead,
            "at_chance": self.verdict.at_chance,
            "reasons": self.verdict.better.reasons,
            "seeds_needed": needed and needed.seeds,
            "power": needed and needed.power,
        }


def case_of(table: pd.DataFrame, contrast: Contrast, metric: StudyMetric) -> Case:
    """The case of a contrast; `table` is that of its finding."""
    verdict = contrast.verdict
    pairs = matched(table, *columns_of(metric, contrast.pair), metric.scale)
    band = _band(pairs)
    outcome = _outcome(verdict, band)
    open_ = outcome == UNDETERMINED and not verdict.against
    return Case(
        pair=contrast.pair,
        verdict=verdict,
        outcome=outcome,
        band=band,
        ahead=int((metric.sign * (pairs.a - pairs.b) < 0).sum()),
        needed=seeds_needed(pairs, verdict.level, most=MOST_SEEDS) if open_ else None,
    )


def _band(pairs: Pairs) -> tuple[float, float]:
    """Of ratios by a factor, of differences by a share of the first value's mean at the largest size."""
    if pairs.scale == RATIO:
        return 1 / (1 + BAND), 1 + BAND
    half = BAND * abs(float(np.mean(pairs.b[np.array(pairs.size) == pairs.size[-1]])))
    return -half, half


def _outcome(verdict: Verdict, band: tuple[float, float]) -> str:
    if verdict.better.winner != UNDETERMINED:
        return {"A": HELPS, "B": HURTS}[verdict.better.winner]
    _, low, high = verdict.gaps[-1].ratio
    within = band[0] <= low <= verdict.scale.neutral <= high <= band[1]
    return EQUAL if within and not verdict.against else UNDETERMINED


def together(outcomes: Sequence[str]) -> str:
    """The outcome of a question from those of its cases: helps or hurts where some do and none does the opposite."""
    found = set(outcomes)
    if HELPS in found and HURTS in found:
        return UNDETERMINED
    return next((word for word in (HELPS, HURTS, UNDETERMINED) if word in found), EQUAL)


def with_outcome(cases: Iterable[Case], *outcomes: str) -> list[Case]:
    return [case for case in cases if case.outcome in outcomes]

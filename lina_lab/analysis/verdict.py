"""Two claims about designs A and B: which is better at the largest size, and which scales better, if that is known.

Of simulated studies of 4 sizes and 3 seeds, tuned and of equal exposure, where neither design scales better, 3 of 320
were told otherwise; with exponents 0.01 apart 67 of 80 were told so, none the wrong way round.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd

from lina_lab.analysis.compare import Interval
from lina_lab.analysis.confounds import Reasons, confounds, untuned
from lina_lab.analysis.paired import Gap, Prediction, doubt, gaps, lack_of_fit, line, predictions
from lina_lab.analysis.pairing import Columns, Pairs, matched
from lina_lab.analysis.spread import COMMON, UNEVEN, seed_effect, uneven_scatter
from lina_lab.analysis.table import human

UNDETERMINED = "undetermined"
BEYOND = 4
"""Predictions go to this multiple of the largest measured size; farther, no interval was seen to hold."""
ALPHA = 0.05


class Options(NamedTuple):
    """What a table cannot say of itself."""

    lr_tuned: bool = False
    """The learning rate of every size was tuned with an equal budget, though the table has no columns of it."""
    higher_is_better: bool = False
    comparisons: int = 1
    """Pairs of designs looked at together: all their intervals hold at once in 95 % (Bonferroni)."""

    @property
    def level(self) -> float:
        return 1 - ALPHA / self.comparisons


PLAIN = Options()


class Claim(NamedTuple):
    """Which design, or undetermined and why."""

    winner: str
    """"A", "B" or "undetermined"."""
    reasons: list[str]
    """Every reason against the claim; none where there is a winner."""
    sentence: str
    """For a reader, with its numbers."""


class Verdict(NamedTuple):
    """What n pairs say of two designs. A ratio is yA / yB; an interval that could not be had is NaN."""

    a: str
    b: str
    y: str
    level: float
    num_pairs: int
    seeds: int
    gaps: list[Gap]
    """The measured ratio at every size, smallest first."""
    slope: Interval
    """Of log(yA / yB) over log x."""
    lack_of_fit: float | None
    predictions: list[Prediction]
    better: Claim
    scales_better: Claim
    warnings: list[str]

    @property
    def sentence(self) -> str:
        return f"{self.better.sentence} {self.scales_better.sentence}"

    def as_json(self) -> dict[str, Any]:
        """For a JSON document: numbers are finite or null.

        a, b, y, level, num_pairs, seeds; sizes and gap_largest: {size, x, num_pairs, ratio, low, high};
        slope: {value, low, high}; lack_of_fit; predictions: {form, x, ratio, low, high, holdout_error};
        better and scales_better: {winner, reasons, sentence}; sentence; warnings.
        """
        sizes = [{"size": g.size, "x": g.x, "num_pairs": g.num_pairs, **_numbers(g.ratio, "ratio")} for g in self.gaps]
        forms = [
            {"form": p.form, "x": p.x, **_numbers(p.ratio, "ratio"), "holdout_error": _finite(p.holdout_error)}
            for p in self.predictions
        ]
        return {
            **{name: getattr(self, name) for name in ("a", "b", "y", "level", "num_pairs", "seeds")},
            "sizes": sizes,
            "gap_largest": sizes[-1],
            "slope": _numbers(self.slope, "value"),
            "lack_of_fit": self.lack_of_fit,
            "predictions": forms,
            "better": self.better._asdict(),
            "scales_better": self.scales_better._asdict(),
            "sentence": self.sentence,
            "warnings": self.warnings,
        }


def compare_designs(
    table: pd.DataFrame, columns: Columns, a: Sequence[str], b: Sequence[str], options: Options = PLAIN
) -> Verdict:
    """Both claims about design A against design B, from the pairs of cells that a table has of them.

    A scales better only if the slope's interval excludes 0, both forms see A ahead at 4 times the largest size and err
    by less than that gap where they can be checked, and no confound stands against it.

    Raises:
        LabError: if the table cannot be compared; see `matched`.
    """
    pairs = matched(table, columns, a, b)
    level = options.level
    measured, fitted = gaps(pairs, level), line(pairs, level)
    forms = predictions(pairs, BEYOND * measured[-1].x, floor=not options.higher_is_better, level=level)
    slope = fitted.slope if fitted else Interval(math.nan, math.nan, math.nan)
    lack = lack_of_fit(pairs)
    known = confounds(pairs, lr_tuned=options.lr_tuned)
    words = _Words(", ".join(a), ", ".join(b), columns.y, options)
    winner, reasons = _better(measured[-1], known, words.sign, doubt(pairs, level))
    trained = untuned(pairs, lr_tuned=options.lr_tuned)
    better = Claim(winner, reasons, words.at_largest(measured[-1], winner, reasons, trained))
    winner, reasons = _scales(slope, forms, lack, known, words)
    scales = Claim(winner, reasons, words.scaling(measured, forms, winner, reasons))
    return Verdict(
        *(words.a, words.b, columns.y, level, len(pairs.a), pairs.seeds, measured, slope, lack, forms),
        *(better, scales, _warnings(pairs, forms)),
    )


def _better(largest: Gap, known: Reasons, sign: int, doubtful: str | None) -> tuple[str, list[str]]:
    reasons = list(known.better)
    winner = _outside(largest.ratio, 1, sign)
    if winner != UNDETERMINED and doubtful:
        reasons.append(doubtful)
    elif winner == UNDETERMINED and not math.isnan(largest.ratio.low):
        reasons.append(f"the interval of the ratio holds 1 ({largest.ratio.low:.4g} to {largest.ratio.high:.4g})")
    elif winner == UNDETERMINED and not reasons:
        reasons.append("the largest size has one pair: its spread over seeds was not measured")
    return UNDETERMINED if reasons else winner, reasons


def _scales(
    slope: Interval, forms: list[Prediction], lack: float | None, known: Reasons, words: "_Words"
) -> tuple[str, list[str]]:
    sign = words.sign
    reasons = list(known.scales)
    gaining = _outside(slope, 0, sign)
    if gaining == UNDETERMINED:
        ends = "it has none" if math.isnan(slope.low) else f"{slope.low:.4g} to {slope.high:.4g}"
        reasons.append(f"the interval of the slope does not exclude 0 ({ends})")
    if lack is not None and lack < ALPHA:
        reasons.append(f"the log ratios do not lie on a line over log x (lack of fit, p = {lack:.2g})")
    if len(forms) < 2:
        why = "the form with a floor is for values that fall" if sign < 0 else "a floor needs 4 sizes"
        reasons.append(f"one form only: {why}")
    ahead = {_ahead(form.ratio.mean, sign) for form in forms}
    seen = ", ".join(f"{form.ratio.mean:.4g} {WORDS[form.form]}" for form in forms)
    if len(ahead) > 1:
        reasons.append(f"the forms disagree at {human(forms[0].x)}: ratio {seen}")
    elif gaining != UNDETERMINED and ahead and ahead != {gaining}:
        reasons.append(f"{words.name(gaining)} gains, but no form sees it ahead at {human(forms[0].x)}: ratio {seen}")
    for form in forms:
        claimed = abs(math.log(form.ratio.mean))
        if form.holdout_error > claimed:
            error = f"{100 * math.expm1(form.holdout_error):.3g} %"
            reasons.append(
                f"{WORDS[form.form]}, the largest size is missed by {error} without it, more than the gap of "
                f"{100 * math.expm1(claimed):.3g} % that it predicts"
            )
    return UNDETERMINED if reasons else gaining, reasons


def _warnings(pairs: Pairs, forms: list[Prediction]) -> list[str]:
    found = list(pairs.warnings)
    scatter, common = uneven_scatter(pairs), seed_effect(pairs)
    if scatter is not None and scatter < UNEVEN:
        own = "its interval takes the spread of that size alone"
        found.append(f"values scatter more at the largest size than elsewhere (p = {scatter:.2g}): {own}")
    if common is not None and common < COMMON:
        own = "intervals at a size take the spread of that size alone"
        found.append(f"a seed favours the same design at every size (p = {common:.2g}): {own}")
    if any(form.form == "offset" and math.isnan(form.holdout_error) for form in forms):
        found.append("the form with a floor could not be checked at the largest size: without it 4 sizes must be left")
    return found


WORDS = {"power": "as a power law", "offset": "with a floor"}


class _Words(NamedTuple):
    """Sentences about the two designs."""

    a: str
    b: str
    y: str
    options: Options

    @property
    def sign(self) -> int:
        return -1 if self.options.higher_is_better else 1

    def name(self, winner: str) -> str:
        return {"A": self.a, "B": self.b}[winner]

    def at_largest(self, largest: Gap, winner: str, reasons: list[str], lr_trouble: list[str]) -> str:
        where = human(largest.x)
        low, high = (f"{end:.4g}" for end in largest.ratio[1:])
        interval = "no interval" if low == "nan" else f"{self._level} interval {low} to {high}"
        start = f"At {where} {self.y} of {self.a} is {largest.ratio.mean:.4g} times that of {self.b} ({interval}): "
        if winner == UNDETERMINED:
            return f"{start}undetermined which is better there: {'; '.join(reasons)}."
        return f"{start}{self.name(winner)} is better there{', as trained' if lr_trouble else ''}."

    def scaling(self, measured: list[Gap], forms: list[Prediction], winner: str, reasons: list[str]) -> str:
        """The wording of the house: how the advantage grew, and what both forms predict."""
        if winner == UNDETERMINED:
            return f"Undetermined whether {self.a} or {self.b} scales better: {'; '.join(reasons)}."
        first, last = measured[0], measured[-1]
        now, *ends = (self._advantage(ratio, winner) for ratio in last.ratio)
        before = self._advantage(first.ratio.mean, winner)
        predicted = sorted(self._advantage(form.ratio.mean, winner) for form in forms)
        percent = " to ".join(dict.fromkeys(f"{value:.3g}" for value in predicted))
        return (
            f"{self.name(winner)} scales better: its advantage grows from {before:.3g} % at {human(first.x)} to "
            f"{now:.3g} % at {human(last.x)} ({self._level} interval {min(ends):.3g} to {max(ends):.3g} %); predicted "
            f"{percent} % at {human(forms[0].x)} under both forms."
        )

    @property
    def _level(self) -> str:
        return f"{100 * self.options.level:.4g} %"

    def _advantage(self, ratio: float, winner: str) -> float:
        """In percent of the other design's value."""
        return 100 * self.sign * (1 - (ratio if winner == "A" else 1 / ratio))


def _outside(interval: Interval, neutral: float, sign: int) -> str:
    """The design that an interval speaks for; none if it holds the neutral value or has no ends."""
    if not (interval.high < neutral or interval.low > neutral):
        return UNDETERMINED
    return "A" if sign * (interval.mean - neutral) < 0 else "B"


def _ahead(ratio: float, sign: int) -> str:
    return "A" if sign * math.log(ratio) < 0 else "B"


def _numbers(interval: Interval, name: str) -> dict[str, float | None]:
    return {name: _finite(interval.mean), "low": _finite(interval.low), "high": _finite(interval.high)}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

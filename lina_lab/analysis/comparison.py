"""Claims about designs A and B: which is better at the largest size, scales better, or is ahead by a floor.

How often each is made without cause, and with one, was simulated: benchmarks/false_claims.py.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

import pandas as pd

from lina_lab.analysis.chance import chance
from lina_lab.analysis.confounds import NO_SPREAD, Reasons, confounds, untuned, warnings
from lina_lab.analysis.eyes import Eye, other_eyes
from lina_lab.analysis.gap_model import Gap, Line, Prediction, doubt, gaps, lack_of_fit, line, predictions
from lina_lab.analysis.interval import Interval, finite_or_null
from lina_lab.analysis.match_cells import Columns, Pairs, matched
from lina_lab.analysis.multiplier import COSTS, Compute, compute_multiplier
from lina_lab.analysis.scale import RATIO, Scale
from lina_lab.analysis.scaling_fit.exponents import Exponents, exponents
from lina_lab.analysis.table import human
from lina_lab.analysis.wording import FORM_WORDS, UNDETERMINED, Words

BEYOND = 4
"""Predictions reach this multiple of the largest measured size; beyond it no interval held in simulations."""
ALPHA = 0.05
REFUSED = 0.2
"""The test against one exponent for both designs uses this fraction of alpha, as it depends on the shape of curves."""


class CompareOptions(NamedTuple):
    """What the table does not contain."""

    lr_tuned: bool = False
    """The learning rate of every size was tuned with an equal budget, though the table has no columns of it."""
    higher_is_better: bool = False
    scale: Scale | None = None
    """None: that of y."""
    comparisons: int = 1
    """Pairs of designs examined together; all their intervals hold at once with 95 % (Bonferroni)."""
    costs: tuple[str, ...] | None = None
    """Columns of cost to give multipliers of; None: training FLOPs and seconds, where the table has them."""

    @property
    def level(self) -> float:
        return 1 - ALPHA / self.comparisons


PLAIN = CompareOptions()
NO_SLOPE = Interval(math.nan, math.nan, math.nan)


class Conclusion(NamedTuple):
    """The design that a claim favours, or why it is undetermined."""

    winner: str
    """"A", "B" or "undetermined"."""
    reasons: list[str]
    """Every reason against the claim; none where there is a winner."""
    sentence: str
    """For a reader, with its numbers."""


class Verdict(NamedTuple):
    """Every claim about two designs, from n pairs of cells.

    Ratios are yA / yB, or yA - yB where `scale` says so; missing intervals are NaN.
    """

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
    better: Conclusion
    scales_better: Conclusion
    ahead_by_floor: Conclusion
    warnings: list[str]
    at_chance: bool
    """Neither design is better than chance or an untrained model at the largest size."""
    scale: Scale = RATIO
    eyes: tuple[Eye, ...] = ()
    """What further extractors see."""
    compute: tuple[Compute, ...] = ()
    """What B needs of each cost for what A reaches."""
    against: tuple[str, ...] = ()
    """Reasons against `better` that more seeds do not take away."""

    @property
    def sentences(self) -> list[str]:
        """Of each claim; of a floor only if a design is ahead by one."""
        floor = [self.ahead_by_floor.sentence] if self.ahead_by_floor.winner != UNDETERMINED else []
        words = Words(a=self.a, b=self.b, y=self.y, sign=1, level=self.level)
        compute = [words.needing(of_cost) for of_cost in self.compute]
        return [*compute, self.better.sentence, *floor, self.scales_better.sentence]

    @property
    def sentence(self) -> str:
        return " ".join(self.sentences)

    def as_json(self) -> dict[str, Any]:
        """For a JSON document: numbers are finite or null.

        a, b, y, level, num_pairs, seeds; sizes and gap_largest: {size, x, num_pairs, ratio, low, high}, with
        `difference` in the place of `ratio` where y has no ratios;
        slope: {value, low, high}; lack_of_fit; predictions: {form, x, ratio, low, high, holdout_error};
        better, scales_better and ahead_by_floor: {winner, reasons, sentence}; eyes: {y, ratio, low, high, agrees};
        compute: {cost, overall, sizes, reasons}, see `Compute.as_json`; sentence; warnings.
        """
        word = self.scale.word
        sizes = [{"size": g.size, "x": g.x, "num_pairs": g.num_pairs, **_numbers(g.ratio, word)} for g in self.gaps]
        forms = [
            {"form": p.form, "x": p.x, **_numbers(p.ratio, "ratio"), "holdout_error": finite_or_null(p.holdout_error)}
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
            "ahead_by_floor": self.ahead_by_floor._asdict(),
            "eyes": [{"y": e.y, **_numbers(e.ratio, "ratio"), "agrees": e.agrees} for e in self.eyes],
            "compute": [of_cost.as_json() for of_cost in self.compute],
            "sentence": self.sentence,
            "warnings": self.warnings,
        }


def compare_designs(
    table: pd.DataFrame, columns: Columns, a: Sequence[str], b: Sequence[str], options: CompareOptions = PLAIN
) -> Verdict:
    """All claims about design A against design B, from the pairs of cells that a table has of them.

    A scales better only if the slope's interval excludes 0, both forms see A ahead at 4 times the largest size and
    miss the largest size by less than that gap, one exponent does not serve both designs beside a floor of each, and
    no confound stands against it.

    Raises:
        LabError: if the table cannot be compared; see `matched`.
    """
    pairs = matched(table, columns, a, b, options.scale)
    level, sign = options.level, -1 if options.higher_is_better else 1
    measured, fitted = gaps(pairs, level), line(pairs, level)
    forms = predictions(pairs, BEYOND * measured[-1].x, floor=sign > 0, level=level)
    joint = exponents(pairs) if sign > 0 and pairs.scale == RATIO else None
    slope = fitted.slope if fitted else NO_SLOPE
    blind, known = chance(pairs, columns.y, sign=sign), confounds(pairs, columns.y, lr_tuned=options.lr_tuned)
    eyes, disagree, unseen = other_eyes(table, columns, (a, b), level, measured[-1], slope)
    known = Reasons(*(list(chain(*parts)) for parts in zip(blind, known, disagree, strict=True)))
    words = Words(a=", ".join(a), b=", ".join(b), y=columns.y, sign=sign, level=level, scale=pairs.scale)
    winner, reasons = _better(measured[-1], known, words, doubt(pairs, level))
    trained = untuned(pairs, lr_tuned=options.lr_tuned)
    better = Conclusion(winner, reasons, words.at_largest(measured[-1], winner, reasons, trained))
    grown = scaling_winner(pairs, fitted, forms, joint, known, words)
    scales = Conclusion(grown.winner, grown.reasons, words.scaling(measured, forms, *grown))
    winner, reasons = _by_floor(joint, known, sign, 1 - level)
    return Verdict(
        a=words.a,
        b=words.b,
        y=columns.y,
        level=level,
        num_pairs=len(pairs.a),
        seeds=pairs.seeds,
        gaps=measured,
        slope=slope,
        lack_of_fit=lack_of_fit(pairs),
        predictions=forms,
        better=better,
        scales_better=scales,
        ahead_by_floor=Conclusion(winner, reasons, words.by_floor(joint, winner, reasons)),
        warnings=warnings(pairs) + unseen,
        at_chance=bool(blind.better),
        scale=pairs.scale,
        eyes=tuple(eyes),
        compute=tuple(_compute(pairs, options, sign, known)),
        against=tuple(reason for reason in known.better if not reason.endswith(NO_SPREAD)),
    )


def _compute(pairs: Pairs, options: CompareOptions, sign: int, known: Reasons) -> Iterator[Compute]:
    costs = [cost for cost in COSTS if cost in pairs.rows] if options.costs is None else options.costs
    for cost in costs:
        found = compute_multiplier(pairs, cost, sign=sign, level=options.level)
        yield found._replace(reasons=found.reasons + known.better)


class Growth(NamedTuple):
    """The design that scales better, the reasons against that, and the one whose advantage grows for whatever cause."""

    winner: str
    reasons: list[str]
    grows: str


def scaling_winner(
    pairs: Pairs, fitted: Line | None, forms: list[Prediction], joint: Exponents | None, known: Reasons, words: Words
) -> Growth:
    """Which design scales better, by the fits of the pairs: `line`, `predictions` and `exponents`."""
    slope = fitted.slope if fitted else NO_SLOPE
    gaining, reasons = _scales(slope, forms, lack_of_fit(pairs), known, words)
    testable = words.falls and len(set(pairs.size)) >= 4
    shared = _one_exponent(joint, REFUSED * (1 - words.level)) if testable else []
    grows = UNDETERMINED if reasons else gaining
    return Growth(UNDETERMINED if shared else grows, reasons + shared, grows)


def _better(largest: Gap, known: Reasons, words: Words, doubtful: str | None) -> tuple[str, list[str]]:
    reasons, scale = list(known.better), words.scale
    winner = _outside(largest.ratio, scale.neutral, words.sign)
    if winner != UNDETERMINED and doubtful:
        reasons.append(doubtful)
    elif winner == UNDETERMINED and not math.isnan(largest.ratio.low):
        low, high = map(scale.shown, largest.ratio[1:])
        reasons.append(f"the interval of the {scale.word} holds {scale.neutral:g} ({low} to {high})")
    elif winner == UNDETERMINED and not reasons:
        reasons.append("the largest size has one pair: its spread over seeds was not measured")
    return UNDETERMINED if reasons else winner, reasons


def _scales(
    slope: Interval, forms: list[Prediction], lack: float | None, known: Reasons, words: Words
) -> tuple[str, list[str]]:
    sign = words.sign
    reasons = list(known.scales)
    if words.scale != RATIO:
        return UNDETERMINED, [*reasons, f"{words.y} may be zero or negative: no law of size describes its differences"]
    gaining = _outside(slope, 0, sign)
    if gaining == UNDETERMINED:
        ends = "it has none" if math.isnan(slope.low) else f"{slope.low:.4g} to {slope.high:.4g}"
        reasons.append(f"the interval of the slope does not exclude 0 ({ends})")
    if lack is not None and lack < ALPHA:
        reasons.append(f"the log ratios do not lie on a line over log x (lack of fit, p = {lack:.2g})")
    if len(forms) < 2:
        why = "the form with a floor is for values that fall" if sign < 0 else "a floor needs 4 sizes"
        reasons.append(f"one form only: {why}")
    ahead = {"A" if sign * math.log(form.ratio.mean) < 0 else "B" for form in forms}
    seen = ", ".join(f"{form.ratio.mean:.4g} {FORM_WORDS[form.form]}" for form in forms)
    if len(ahead) > 1:
        reasons.append(f"the forms disagree at {human(forms[0].x)}: ratio {seen}")
    elif gaining != UNDETERMINED and ahead and ahead != {gaining}:
        reasons.append(f"{words.name(gaining)} gains, but no form sees it ahead at {human(forms[0].x)}: ratio {seen}")
    for form in forms:
        claimed = abs(math.log(form.ratio.mean))
        if form.holdout_error > claimed:
            error = f"{100 * math.expm1(form.holdout_error):.3g} %"
            reasons.append(
                f"{FORM_WORDS[form.form]}, the largest size is missed by {error} without it, more than the gap of "
                f"{100 * math.expm1(claimed):.3g} % that it predicts"
            )
    return gaining, reasons


def _one_exponent(joint: Exponents | None, alpha: float) -> list[str]:
    """The reason against different exponents: floors explain the data as well."""
    if joint is None:
        return ["whether one exponent serves both designs beside floors could not be tested: too few seeds or no noise"]
    if joint.one < alpha:
        return []
    return [f"one exponent serves both designs where each has a floor of its own (p = {joint.one:.2g})"]


def _by_floor(joint: Exponents | None, known: Reasons, sign: int, alpha: float) -> tuple[str, list[str]]:
    """Which design has the lower floor, where one exponent serves both, floors are needed, and one is not enough."""
    if joint is None:
        why = "falling values, 4 sizes and seeds with a spread" if sign > 0 else "values that fall"
        return UNDETERMINED, [*known.scales, f"it needs {why}"]
    reasons = list(known.scales)
    if joint.one < REFUSED * alpha:
        reasons.append(f"one exponent does not serve both designs (p = {joint.one:.2g})")
    if joint.no_floor >= alpha:
        reasons.append(f"power laws without a floor fit as well (p = {joint.no_floor:.2g})")
    if joint.one_floor >= alpha:
        reasons.append(f"one floor serves both designs (p = {joint.one_floor:.2g})")
    return UNDETERMINED if reasons else "A" if joint.floors[0] < joint.floors[1] else "B", reasons


def _outside(interval: Interval, neutral: float, sign: int) -> str:
    """The design that an interval favours; undetermined if it holds the neutral value or has no ends."""
    if not (interval.high < neutral or interval.low > neutral):
        return UNDETERMINED
    return "A" if sign * (interval.mean - neutral) < 0 else "B"


def _numbers(interval: Interval, name: str) -> dict[str, float | None]:
    return dict(zip((name, "low", "high"), map(finite_or_null, interval), strict=True))

"""The findings of a study: every axis value against the axis's first, all else equal.

Each pair of designs is compared by itself; all intervals of a study hold at once with 95 % (Bonferroni).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import pandas as pd

from lina_lab.analysis.chance import NO_BETTER
from lina_lab.analysis.comparison import ALPHA, CompareOptions, Verdict, compare_designs
from lina_lab.analysis.contrasts import DesignPair, columns_of, design_pairs
from lina_lab.analysis.interval import finite_or_null
from lina_lab.analysis.multiplier import FLOPS, Compute, over_designs
from lina_lab.analysis.names import design_label
from lina_lab.analysis.scale import RATIO, Scale
from lina_lab.analysis.study_metric import StudyMetric
from lina_lab.analysis.table import human
from lina_lab.analysis.wording import UNDETERMINED
from lina_lab.config.sweep import Scalar
from lina_lab.errors import LabError
from lina_lab.ledger.plan import Plan
from lina_lab.metric_names import axis_label


class Contrast(NamedTuple):
    """Two designs that differ on one axis alone, with their verdict."""

    pair: DesignPair
    verdict: Verdict


class Finding(NamedTuple):
    """All contrasts of one axis value."""

    axis: str
    value: Scalar
    baseline: Scalar
    contrasts: list[Contrast]
    metric: StudyMetric
    compute: tuple[Compute, ...] = ()
    """What the first value needs of each cost, one factor for all contrasts whose models have learnt anything."""

    @property
    def name(self) -> str:
        return f"{self.axis} {self.value} against {self.baseline}"


def findings(
    table: pd.DataFrame,
    plan: Plan,
    metric: StudyMetric,
    progress: Callable[[float], None] = lambda share: None,
) -> tuple[list[Finding], list[str]]:
    """A finding for each axis value with contrasts, and a line for each contrast that failed, saying why.

    table: `with_losses`, which without class accuracy show whether anything was learnt.
    """
    pairs = list(design_pairs(plan))
    by_value: dict[tuple[str, Scalar], Finding] = {}
    missing = []
    for done, pair in enumerate(pairs, start=1):
        progress(done / len(pairs))
        try:
            verdict = _compare(table, metric, pair, len(pairs))
        except LabError as error:
            missing.append(f"{pair.question}: {error}")
            continue
        new = Finding(axis=pair.axis, value=pair.value, baseline=pair.baseline, contrasts=[], metric=metric)
        by_value.setdefault((pair.axis, pair.value), new).contrasts.append(Contrast(pair, verdict))
    level = 1 - ALPHA / max(len(by_value), 1)
    return [finding._replace(compute=tuple(_compute(finding, level))) for finding in by_value.values()], missing


def _compute(finding: Finding, level: float) -> Iterable[Compute]:
    of_cost: dict[str, list[Compute]] = {}
    for contrast in finding.contrasts:
        for compute in () if contrast.verdict.at_chance else contrast.verdict.compute:
            of_cost.setdefault(compute.cost, []).append(compute)
    return (over_designs(found, level) for found in of_cost.values())


def _compare(table: pd.DataFrame, metric: StudyMetric, pair: DesignPair, comparisons: int) -> Verdict:
    options = CompareOptions(higher_is_better=metric.sign < 0, scale=metric.scale, comparisons=comparisons)
    return compare_designs(table, *columns_of(metric, pair), options)


def sentences(finding: Finding) -> Iterable[str]:
    """Sentences on the largest size, on every size and on scaling; each number is one of the verdicts'.

    Designs that are no better than chance come first, and nothing else is claimed of them.
    """
    metric, scale = finding.metric, finding.metric.scale
    blind = [c for c in finding.contrasts if c.verdict.at_chance]
    if blind:
        where = _of(len(blind), len(finding.contrasts))
        reason = blind[0].verdict.better.reasons[0]
        yield f"{finding.name}: undetermined{where}: {reason}; their {metric.label} shows nothing."
    contrasts = [c for c in finding.contrasts if c not in blind]
    if not contrasts:
        return
    largest = [c.verdict.gaps[-1] for c in contrasts]
    span = _span([gap.ratio.mean for gap in largest], scale)
    gap = f"is {span} times as high" if scale == RATIO else f"differs by {span}"
    needed = {compute.cost: _needs(compute, finding) for compute in finding.compute}
    known = any(compute.cost == FLOPS and compute.known for compute in finding.compute)
    clause = f"{needed.pop(FLOPS)}; " if known else ""  # what is not known is no way to begin
    yield (
        f"{finding.name}: {clause}at {human(largest[0].x)} parameters {metric.label} {gap}; "
        f"{_count([c.verdict.better.winner for c in contrasts], metric.better, metric.worse)}."
    )
    yield from (f"{clause[0].upper()}{clause[1:]}." for clause in needed.values())
    yield from _by_other_eyes(contrasts, scale)
    yield from _at_every_size(contrasts, scale)
    for floor in (c.verdict.ahead_by_floor for c in contrasts):
        if floor.winner != UNDETERMINED:
            yield floor.sentence
    scaling = [c.verdict.scales_better for c in contrasts]
    if not metric.has_law:
        yield f"Which scales better is not asked of {metric.label}: no law of size describes it."
        return
    claims = [claim for claim in scaling if claim.winner != UNDETERMINED]
    yield from (claim.sentence for claim in claims)
    if len(claims) < len(scaling):
        where = _of(len(scaling) - len(claims), len(scaling))
        yield f"Which scales better is undetermined{where}: {_reasons(contrasts)}."


def _needs(compute: Compute, finding: Finding) -> str:
    """'for the same FID division needs 1.3 times (1.2 to 1.45) the training FLOPs of subtraction'."""
    value, baseline = (design_label({finding.axis: value}) for value in (finding.value, finding.baseline))
    y, whole = finding.metric.label, compute.overall
    if whole is not None and compute.known:
        return f"for the same {y} {baseline} needs {whole.text()} the {compute.words} of {value}"
    known = []
    if whole is not None and not math.isnan(whole.times):
        known.append(f"{whole.times:.3g} times by their curves")
    if whole is not None and whole.bounded:
        known.append(f"interval {whole.interval}")
    by_curves = f" ({', '.join(known)})" if known else ""
    why = f": {'; '.join(compute.reasons)}" if compute.reasons else ""
    return f"what {baseline} needs of the {compute.words} of {value} for the same {y} is unknown{by_curves}{why}"


def _span(values: list[float], scale: Scale) -> str:
    """'0.5 to 0.61', or with signs '-0.02 to +0.01'."""
    form = "{:.3g}" if scale == RATIO else "{:+.3g}"
    return " to ".join(form.format(end) for end in (min(values), max(values))[: len(values)])


def _by_other_eyes(contrasts: list[Contrast], scale: Scale) -> Iterable[str]:
    """Whether each further extractor sees the same designs ahead at the largest size."""
    eyes = [eye for contrast in contrasts for eye in contrast.verdict.eyes]
    for y in dict.fromkeys(eye.y for eye in eyes):
        own = [eye for eye in eyes if eye.y == y]
        span = _span([eye.ratio.mean for eye in own], scale)
        agreeing, total = sum(eye.agrees for eye in own), len(own)
        doubt = "" if agreeing == total else "; where it does not, the winner is undetermined"
        yield (
            f"By {axis_label(y)} the {scale.word} is {span}: it agrees on which is ahead in {agreeing} of {total} "
            f"design{'s' * (total > 1)}{doubt}."
        )


def _at_every_size(contrasts: list[Contrast], scale: Scale) -> Iterable[str]:
    """Where the interval lies on one side of equal values, size by size."""
    sizes = dict.fromkeys(gap.size for contrast in contrasts for gap in contrast.verdict.gaps)
    if len(sizes) < 2:
        return
    words = []
    for size in sizes:
        gaps = [gap for contrast in contrasts for gap in contrast.verdict.gaps if gap.size == size]
        lower = sum(gap.ratio.high < scale.neutral for gap in gaps)
        higher = sum(gap.ratio.low > scale.neutral for gap in gaps)
        words.append(f"{size} {lower} lower, {higher} higher, {len(gaps) - lower - higher} open")
    yield f"By the intervals at each size: {'; '.join(words)}."


def _count(winners: list[str], of_a: str, of_b: str) -> str:
    """'lower beyond its interval in 3 of 5 designs, higher in 1, undetermined in 1'."""
    total = len(winners)
    a, b, open_ = (winners.count(winner) for winner in ("A", "B", UNDETERMINED))
    what = f"{of_a} beyond chance in {a} of {total} design{'s' * (total > 1)}, {of_b} in {b}"
    return f"{what}, undetermined in {open_}" if open_ else what


def _of(part: int, total: int) -> str:
    return "" if total == 1 else f" in {part} of {total} designs"


def _reasons(contrasts: list[Contrast]) -> str:
    """Reasons against a claim of scaling, the same ones once, each with the number of designs that it concerns."""
    open_ = [c.verdict.scales_better for c in contrasts if c.verdict.scales_better.winner == UNDETERMINED]
    kinds: dict[str, int] = {}
    for claim in open_:
        for kind in dict.fromkeys(_kind(reason) for reason in claim.reasons):
            kinds[kind] = kinds.get(kind, 0) + 1
    return "; ".join(
        kind if count == len(open_) else f"{kind} ({count} of {len(open_)})"
        for kind, count in sorted(kinds.items(), key=lambda item: NO_BETTER not in item[0])
    )


def shared_reasons(study_findings: Sequence[Finding]) -> Iterable[str]:
    """Sentences on what stands against every claim of a study, so that it need be said only once."""
    verdicts = [contrast.verdict for finding in study_findings for contrast in finding.contrasts]
    open_ = [verdict for verdict in verdicts if verdict.scales_better.winner == UNDETERMINED]
    if not study_findings or not study_findings[0].metric.has_law or len(open_) < len(verdicts):
        return
    own = [{_kind(reason) for reason in verdict.scales_better.reasons} for verdict in open_]
    kinds = [_kind(reason) for reason in open_[0].scales_better.reasons]
    common = [kind for kind in dict.fromkeys(kinds) if all(kind in reasons for reasons in own)]
    yield f"Which scales better is undetermined for every question{': ' * bool(common)}{'; '.join(common)}."


def _kind(reason: str) -> str:
    """A reason without the numbers of its comparison, so that equal ones can be counted."""
    if reason.startswith("learning rates"):
        return reason.partition(": ")[0]
    return reason.partition(" (")[0].partition(": ratio")[0].partition(" by ")[0]


def verdicts_table(study_findings: list[Finding]) -> pd.DataFrame:
    """A row a contrast: designs, gap at the largest size, slope, predictions, all claims; as `lab compare` gives."""
    return pd.DataFrame([_row(contrast) for finding in study_findings for contrast in finding.contrasts])


def _row(contrast: Contrast) -> dict[str, Any]:
    pair, verdict = contrast
    largest = verdict.gaps[-1]
    word = verdict.scale.word
    row = {
        "axis": pair.axis,
        "value": pair.value,
        "baseline": pair.baseline,
        **{f"at_{name}": value for name, value in pair.others.items()},
        "level": verdict.level,
        "pairs": verdict.num_pairs,
        "seeds": verdict.seeds,
        "x": largest.x,
        word: largest.ratio.mean,
        f"{word}_low": largest.ratio.low,
        f"{word}_high": largest.ratio.high,
        "slope": verdict.slope.mean,
        "slope_low": verdict.slope.low,
        "slope_high": verdict.slope.high,
    }
    for compute in verdict.compute:
        whole = compute.overall
        row |= {f"times_{compute.cost}{end}": None for end in ("", "_low", "_high")}
        if whole is not None:
            ends = (whole.times, whole.low or math.nan, whole.high)
            row |= dict(zip(list(row)[-3:], map(finite_or_null, ends), strict=True))
        row[f"times_{compute.cost}_reasons"] = "; ".join(compute.reasons)
    for form in verdict.predictions:
        values = {"x": form.x, "ratio": form.ratio.mean, "low": form.ratio.low, "high": form.ratio.high}
        row |= {f"predicted_{form.form}_{k}": v for k, v in values.items()}
        row[f"predicted_{form.form}_holdout_error"] = form.holdout_error
    for eye in verdict.eyes:
        values = {"ratio": eye.ratio.mean, "ratio_low": eye.ratio.low, "ratio_high": eye.ratio.high}
        row |= {f"{eye.y}_{name}": value for name, value in values.items()}
    claims = {name: getattr(verdict, name) for name in ("better", "scales_better", "ahead_by_floor")}
    for name, claim in claims.items():
        row |= {name: claim.winner, f"{name}_reasons": "; ".join(claim.reasons)}
    return row

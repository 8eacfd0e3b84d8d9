"""The sentences of a card; each number in them is one of its cases'."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from lina_lab.analysis.cases import BAND, EQUAL, HELPS, HURTS, MOST_SEEDS, Case, with_outcome
from lina_lab.analysis.findings import Finding
from lina_lab.analysis.multiplier import FLOPS
from lina_lab.analysis.power import ENOUGH
from lina_lab.analysis.questions import LACKS
from lina_lab.analysis.scale import RATIO, Scale
from lina_lab.analysis.study_metric import StudyMetric
from lina_lab.analysis.table import human
from lina_lab.analysis.wording import UNDETERMINED


class Subject(NamedTuple):
    """What a card asks about."""

    new: str
    old: str
    metric: StudyMetric
    where: str = ""
    """' in the decoder', for an axis of one segment."""

    @property
    def name(self) -> str:
        """'a 5x5 depthwise convolution', 'subtraction against division'."""
        against = "" if self.old.startswith(LACKS) and not self.new.startswith(LACKS) else f" against {self.old}"
        return f"{self.new}{self.where}{against}"


def sentence(subject: Subject, outcome: str, cases: Sequence[Case]) -> str:
    """What came out, for a reader who knows the field and not the statistics."""
    seen = learnt(cases)
    decided = with_outcome(seen, HELPS, HURTS)
    if not seen:
        return f"The models have learnt nothing, so their {subject.metric.label} says nothing of this."
    if outcome == EQUAL:
        return f"{_equal(subject, cases)}; differences below {percent(BAND)} count as none."
    if not decided:
        return _undecided(subject, seen)
    if len({case.outcome for case in decided}) > 1:
        return f"It depends on the rest of the design: {_by_outcome(cases)}."
    every = "both" if len(cases) == 2 else f"all {len(cases)}"
    count = every if len(decided) == len(cases) else f"{len(decided)} of {len(cases)}"
    of = f" in {count} designs" if len(cases) > 1 else ""
    each = "" if len(decided) == len(cases) else f": {_by_outcome(cases)}"
    return f"{_change(subject, decided)} {_at(decided)}, beyond chance{of}{each}."


def learnt(cases: Sequence[Case]) -> list[Case]:
    """Those of models that are better than chance."""
    return [case for case in cases if not case.verdict.at_chance]


def percent(share: float) -> str:
    return f"{100 * share:.4g} %"


def _by_outcome(cases: Sequence[Case]) -> str:
    """'helps with division; undetermined with softmax and subtraction'."""
    outcomes = dict.fromkeys(case.outcome for case in sorted(cases, key=lambda case: case.outcome == UNDETERMINED))
    return "; ".join(f"{outcome} with {_settings(with_outcome(cases, outcome))}" for outcome in outcomes)


def _undecided(subject: Subject, seen: Sequence[Case]) -> str:
    pairs, ahead = sum(case.verdict.num_pairs for case in seen), sum(case.ahead for case in seen)
    better = subject.metric.better
    start = f"{_change(subject, seen)} {_at(seen)}, and {better} in {ahead} of {pairs} pair{'s' * (pairs > 1)} of cells"
    if not any(case.measured_spread for case in seen):
        return f"Seen with one seed, which is no evidence: {start}."
    if any(case.verdict.against for case in seen):
        return f"{start}, but something else may explain it."
    others = with_outcome(seen, EQUAL)
    return f"{start}, but not beyond chance{f' (no difference seen with {_settings(others)})' if others else ''}."


def _equal(subject: Subject, cases: Sequence[Case]) -> str:
    scale = subject.metric.scale
    most = max(abs(scale.forward(end)) for case in cases for end in case.largest.ratio[1:])
    within = f"{100 * math.expm1(most):.2g} %" if scale == RATIO else f"{most:.2g}"
    label = subject.metric.label
    return f"{label} {_at(cases)} is alike with {subject.new} and with {subject.old}, to within {within}"


def _change(subject: Subject, cases: Sequence[Case]) -> str:
    """'FID is 48 to 83 % lower with a 5x5 depthwise convolution than with no convolution'."""
    amount, than = _span([case.largest.ratio.mean for case in cases], subject.metric.scale)
    return f"{subject.metric.label} is {amount} with {subject.new}{subject.where} {than} with {subject.old}"


def _span(values: Sequence[float], scale: Scale) -> tuple[str, str]:
    """('48 to 83 % lower', 'than'), ('from 3 % lower to 10 % higher', 'than'), ('1.1 to 3.5 times as high', 'as')."""
    low, high = min(values), max(values)
    if scale == RATIO and low >= 1 and high >= 2:
        ends = dict.fromkeys(f"{value:.3g}" for value in (low, high))
        return f"{' to '.join(ends)} times as high", "as"
    if (low < scale.neutral) != (high < scale.neutral):
        return f"from {_amount(low, scale)} to {_amount(high, scale)}", "than"
    ends = dict.fromkeys(_amount(value, scale) for value in sorted((low, high), key=lambda v: abs(scale.forward(v))))
    *first, last = ends
    unit = f" {last.partition(' ')[2]}"
    return " to ".join([*(text.removesuffix(unit) for text in first), last]), "than"


def _amount(value: float, scale: Scale) -> str:
    """'48 % lower', '3.1 times as high', or without ratios '0.012 higher'."""
    if scale == RATIO and value >= 2:
        return f"{value:.3g} times as high"
    if scale == RATIO and value < 1e-3:
        return f"{1 / value:.3g} times lower"
    word = "lower" if value < scale.neutral else "higher"
    if scale != RATIO:
        return f"{abs(value):.2g} {word}"
    change = 100 * abs(value - 1)
    return f"{change:.{0 if 10 <= change <= 99 else 1}f} % {word}"


def _at(cases: Sequence[Case]) -> str:
    return f"at {human(cases[0].largest.x)} parameters"


def _settings(cases: Iterable[Case]) -> str:
    """'division + gate, subtraction and softmax'."""
    *most, last = (case.pair.setting for case in cases)
    return f"{', '.join(most)} and {last}" if most else last


def in_compute(finding: Finding, subject: Subject) -> str:
    """' For the same FID division needs 1.3 times (1.2 to 1.45) the training FLOPs.'; '' if that is not known."""
    for compute in finding.compute:
        if compute.cost == FLOPS and compute.known and compute.overall is not None:
            label, old = subject.metric.label, subject.old
            return f" For the same {label}, models with {old} need {compute.overall.text()} the {compute.words}."
    return ""


def in_scaling(cases: Sequence[Case]) -> str:
    """' It scales better in 2 of 5 designs.'; '' if no verdict says which scales better."""
    winners = [case.verdict.scales_better.winner for case in cases]
    said = [
        f" It scales {word}{f' in {winners.count(side)} of {len(cases)} designs' if len(cases) > 1 else ''}."
        for side, word in (("A", "better"), ("B", "worse"))
        if side in winners
    ]
    return "".join(said)


def settling(cases: Sequence[Case]) -> str:
    """What would settle the cases that are undetermined, as far as it can be computed; '' if none is."""
    open_ = with_outcome(cases, UNDETERMINED)
    blind = [case for case in open_ if case.verdict.at_chance]
    rest = [case for case in open_ if case not in blind]
    against = [case for case in rest if case.verdict.against]
    single = [case for case in rest if case not in against and not case.measured_spread]
    needed = [case for case in rest if case.needed is not None]
    parts = []
    if blind:
        parts.append(f"models that learn something{_of(blind, cases)}, by a longer training or another learning rate")
    if against:
        reasons = (reason for case in against for reason in case.verdict.against)
        kinds = "; ".join(dict.fromkeys(reason.partition(":")[0].partition(" (")[0] for reason in reasons))
        parts.append(f"cells with nothing against a verdict; now{_of(against, cases)}: {kinds}")
    if single:
        parts.append(f"more seeds{_of(single, cases)}; how many cannot be computed from one, which shows no spread")
    if needed:
        parts.append(_seeds(needed, cases))
    return "; ".join(parts) and f"{'; '.join(parts)}."


def _seeds(needed: Sequence[Case], cases: Sequence[Case]) -> str:
    """'more seeds, 3 were run: 5 with division, more than 20 with softmax, for a power of 80 % if ...'."""
    counts = {id(case): (case.needed.seeds if case.needed else None) or math.inf for case in needed}
    groups = [[case for case in needed if counts[id(case)] == count] for count in sorted({*counts.values()})]
    each = [
        f"{f'more than {MOST_SEEDS}' if math.isinf(counts[id(of[0])]) else counts[id(of[0])]} in all"
        f"{f' with {_settings(of)}' if len(cases) > 1 else ''}"
        for of in groups
    ]
    run = max(case.verdict.seeds for case in needed)
    return f"more seeds, {run} were run: {'; '.join(each)} (power {percent(ENOUGH)}, if the difference is as seen)"


def _of(some: Sequence[Case], cases: Sequence[Case]) -> str:
    return "" if len(some) == len(cases) else f" in {len(some)} of {len(cases)} designs"

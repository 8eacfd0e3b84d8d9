"""The verdict of a study as cards: a question, its answer in one of four words, and what would settle it.

Page, terminal, `verdict.md`, `verdict.json` and whatever else shows a verdict take them from here.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import pandas as pd

from lina_lab.analysis.card_words import Subject, in_compute, in_scaling, learnt, percent, sentence, settling
from lina_lab.analysis.cases import BAND, HELPS, HURTS, OUTCOMES, Case, case_of, together, with_outcome
from lina_lab.analysis.chance import with_losses
from lina_lab.analysis.findings import Finding, findings, sentences, shared_reasons
from lina_lab.analysis.first_lines import first_lines
from lina_lab.analysis.questions import question, said, segment
from lina_lab.analysis.study_metric import StudyMetric, study_metric
from lina_lab.analysis.table import human, refuse_mixtures
from lina_lab.config.sweep import Scalar
from lina_lab.escape import markdown_cell
from lina_lab.ledger.plan import Plan

VERSION = 1
"""Of `verdict.json`."""


class Card(NamedTuple):
    """One question of a study: an axis value against the axis's first, all else equal."""

    axis: str
    value: Scalar
    baseline: Scalar
    question: str
    outcome: str
    """helps, hurts, no difference seen, or undetermined."""
    subject: Subject
    cases: list[Case]
    """One a setting of the other axes; never empty."""
    sentence: str
    settle: str
    """What would settle it; '' where nothing is left to settle."""
    details: list[str]
    """Everything that the verdict says, with its numbers."""

    @property
    def badge(self) -> str:
        """The outcome, and of how many designs it was said if not of all: 'helps in 3 of 5 designs'."""
        own = len(with_outcome(self.cases, self.outcome))
        partial = self.outcome in (HELPS, HURTS) and own < len(self.cases)
        return f"{self.outcome} in {own} of {len(self.cases)} designs" if partial else self.outcome

    @property
    def line(self) -> str:
        """For a terminal: '[helps] Does a gate help? FID is ...'."""
        return f"[{self.badge}] {self.question} {self.sentence}"

    def as_json(self) -> dict[str, Any]:
        names = ("axis", "value", "baseline", "question", "outcome", "badge", "sentence", "settle")
        return {**{name: getattr(self, name) for name in names}, "cases": [case.as_json() for case in self.cases]}


class StudyVerdict(NamedTuple):
    """Everything that a study says about its questions."""

    plan: Plan
    metric: StudyMetric
    first: list[str]
    """What must be known before anything else: cells without a result, and models that have learnt nothing."""
    cards: list[Card]
    missing: list[str]
    """Comparisons that could not be had, and why."""
    notes: list[str]
    """What holds of all cards: how sure intervals are, and reasons against claims that all share."""
    findings: list[Finding]
    """The comparisons that the cards are made from, with all their numbers."""

    def __repr__(self) -> str:
        return "\n\n".join([*self.lines, *(f"Not compared: {line}" for line in self.missing)])

    def _repr_markdown_(self) -> str:
        """For a notebook."""
        return self.markdown()

    @property
    def answer(self) -> str:
        """What came out, in ten seconds."""
        return _answer(self)

    @property
    def lines(self) -> list[str]:
        """For a terminal."""
        return [*self.first, *([self.answer] if self.cards else []), *(card.line for card in self.cards)]

    def as_json(self) -> dict[str, Any]:
        """For `verdict.json`: see docs/json.md."""
        return {
            "document": "verdict",
            "version": VERSION,
            "sweep": self.plan.base,
            "plan": self.plan.id,
            "question": self.plan.question,
            "metric": self.metric.column,
            "better": self.metric.better,
            "first": self.first,
            "answer": self.answer,
            "cards": [card.as_json() for card in self.cards],
            "missing": self.missing,
            "notes": self.notes,
        }

    def markdown(self) -> str:
        """For `verdict.md`: readable where Markdown is shown, and as it is."""
        text = markdown_cell
        blocks = [f"# {text(self.plan.name)}", *(f"**{text(line)}**" for line in self.first), text(self.plan.question)]
        blocks += [text(self.answer)]
        for card in self.cards:
            settle = [f"What would settle it: {text(card.settle)}"] if card.settle else []
            blocks += [f"## {text(card.question)}", f"**{card.badge}**. {text(card.sentence)}", *settle]
        listed = [*(f"Not compared: {line}" for line in self.missing), *self.notes]
        blocks += ["\n".join(f"- {text(line)}" for line in listed)] if listed else []
        return "\n\n".join(filter(None, blocks)) + "\n"


def study_verdict(
    plan: Plan,
    table: pd.DataFrame,
    curves: pd.DataFrame | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> StudyVerdict:
    """The verdict of a study from its table and the held-out losses of its cells, as `ReportData` has them.

    `progress` is told the share of the comparisons that are made.

    Raises:
        LabError: if no cell has the study's metric yet, or cells cannot be compared.
    """
    metric = study_metric(table, plan)
    refuse_mixtures(table, metric.column)
    table = with_losses(table, curves)
    return verdict_of(table, plan, metric, *findings(table, plan, metric, progress))


def verdict_of(
    table: pd.DataFrame, plan: Plan, metric: StudyMetric, found: Sequence[Finding], missing: Sequence[str] = ()
) -> StudyVerdict:
    """The verdict of a study whose findings are there; `table` is theirs."""
    return StudyVerdict(
        plan=plan,
        metric=metric,
        first=first_lines(table, plan, metric),
        cards=[_card(table, plan, finding) for finding in found],
        missing=list(missing),
        notes=list(_notes(found)),
        findings=list(found),
    )


def _card(table: pd.DataFrame, plan: Plan, finding: Finding) -> Card:
    path, metric = plan.axes[finding.axis], finding.metric
    new, old = said(path, finding.value), said(path, finding.baseline)
    subject = Subject(new=new, old=old, metric=metric, where=segment(path))
    cases = [case_of(table, contrast, metric) for contrast in finding.contrasts]
    outcome = together([case.outcome for case in cases])
    return Card(
        axis=finding.axis,
        value=finding.value,
        baseline=finding.baseline,
        question=question(path, finding.value, finding.baseline),
        outcome=outcome,
        subject=subject,
        cases=cases,
        sentence=f"{sentence(subject, outcome, cases)}{in_compute(finding, subject)}{in_scaling(cases)}",
        settle=settling(cases),
        details=[*sentences(finding), *_reasons(cases)],
    )


def _reasons(cases: Sequence[Case]) -> Iterable[str]:
    """Why no design is said to be better, for each case."""
    for case in cases:
        a, b = case.pair.names
        if reasons := case.verdict.better.reasons:
            yield f"{a} (A) against {b} (B): undetermined which is better: {'; '.join(reasons)}."


def _answer(verdict: StudyVerdict) -> str:
    cards, metric = verdict.cards, verdict.metric
    if not cards:
        return "No two designs can be compared yet: too few cells are finished."
    cases = [case for card in cards for case in card.cases]
    if not learnt(cases):
        return f"Nothing is decided: no model has learnt anything, so {metric.label} tells no designs apart."
    size = human(max(case.largest.x for case in cases))
    at = f"by {metric.label} at {size} parameters, where {metric.better} is better"
    seeds = sorted({case.verdict.seeds for case in cases})
    if seeds == [1]:
        ahead = "; ".join(f"{card.subject.name} is {_ahead(card.cases)}" for card in cards if learnt(card.cases))
        return f"Nothing is decided: one seed was run, which shows no spread. Seen {at}: {ahead}."
    groups = [(word, [card for card in cards if card.outcome == word]) for word in OUTCOMES]
    parts = [f"{card.subject.name} {card.badge}" for word, of in groups if word in DECIDED for card in of]
    rest = [(word, [card.subject.name for card in of]) for word, of in groups if word not in DECIDED and of]
    parts += [f"{word}: {', '.join(names)}" for word, names in rest]
    sure = f"{seeds[0]} to {seeds[-1]} seeds" if len(seeds) > 1 else f"{seeds[0]} seeds"
    said = "; ".join(parts)
    return f"{said[0].upper()}{said[1:]} ({at}; {sure}; all {len(cases)} intervals hold together in 95 % of studies)."


DECIDED = (HELPS, HURTS)


def _ahead(cases: Sequence[Case]) -> str:
    """'ahead in 6 of 6 pairs', of models that have learnt anything."""
    seen = learnt(cases)
    pairs = sum(case.verdict.num_pairs for case in seen)
    return f"ahead in {sum(case.ahead for case in seen)} of {pairs} pair{'s' * (pairs > 1)}"


def _notes(found: Sequence[Finding]) -> Iterable[str]:
    if not found:
        return
    count = sum(len(finding.contrasts) for finding in found)
    level, scale = found[0].contrasts[0].verdict.level, found[0].metric.scale
    together_ = (
        "" if count == 1 else f", each of {percent(level)}, so that all {count} hold together in 95 % of studies"
    )
    yield (
        f"A difference is called beyond chance where its interval excludes {scale.neutral:g}{together_} (Bonferroni): "
        "t intervals from the spread over seeds of paired cells, which share data order, masks and noise. No "
        f"difference is seen where the whole interval lies within {percent(BAND)} of equal values."
    )
    if all(contrast.verdict.seeds < 2 for finding in found for contrast in finding.contrasts):
        yield "With a second seed each question says how many would settle it, and lab plan what that costs."
    yield from shared_reasons(found)

"""What `lab plan` prints of a study that it chose."""

import math
from pathlib import Path
from typing import Any, NamedTuple

from lina_lab.analysis.interval import finite_or_null
from lina_lab.analysis.power import ENOUGH
from lina_lab.analysis.study_plan import Candidate, Choice, Claim, Detail, Question, Search, frontier
from lina_lab.cli.console import print_table, text_table
from lina_lab.escape import shown
from lina_lab.sweep.next_study import Asked

WORDS = {"better": "which is better at the largest size", "scales": "which scales better"}


class PlanRequest(NamedTuple):
    """The options of `lab plan`."""

    file: Path
    budget: float | None
    pilot: str | None
    about: str | None
    claim: Claim
    max_seeds: int
    workers: Any
    settings: list[str]
    out: Path | None
    runs: Path


class Answer(NamedTuple):
    answer: str
    name: str
    search: Search
    budget_hours: float
    asked: Asked
    found: list[Candidate]
    choice: Choice | None
    notes: list[str]
    yaml: str


def print_answer(request: PlanRequest, answer: Answer) -> None:
    for line in answer.asked.without:
        print(shown(f"no pilot: {line}"))
    if answer.choice is not None:
        _print_candidates(request, answer, answer.choice)
        _print_details(answer.choice.details)
    for line in [
        *answer.notes,
        *(f"In the pilot this stands against {line}" for line in answer.asked.against),
    ]:
        print(shown(line))
    print(f"\n{shown(conclusion(request, answer))}")
    if answer.yaml:
        where = f"wrote {request.out}" if request.out else f"\n{answer.yaml}"
        print(where.rstrip())


def _print_candidates(request: PlanRequest, answer: Answer, choice: Choice) -> None:
    level = f"{100 * answer.search.level:.4g} %"
    print(f"comparisons of the study: {answer.asked.comparisons}, with intervals of {level} each\n")
    table = text_table("sizes", "seeds", "cells", "to run", "hours", "power: better", "scales, at most", "", numbers=7)
    best = frontier(answer.found, request.claim)
    others = [
        c for c in (choice.chosen, choice.enough_at) if c and c.seeds + c.sizes not in [b.seeds + b.sizes for b in best]
    ]
    for candidate in sorted([*best, *others], key=lambda c: (c.hours, c.cells)):
        same = (candidate.sizes, candidate.seeds) == (choice.chosen.sizes, choice.chosen.seeds)
        of = choice.chosen if same else candidate
        hours = f"{of.hours:.3g}{'*' if of.extrapolated else ''}"
        table.add_row(
            " ".join(of.sizes),
            str(len(of.seeds)),
            str(of.cells),
            str(of.to_run),
            hours,
            *_percents(of),
            "<" if same else "",
        )
    print_table(table)
    print()


def _percents(candidate: Candidate) -> tuple[str, str]:
    return f"{candidate.better:.0%}", f"{candidate.scales:.0%}"


def _print_details(details: list[Detail]) -> None:
    scale = details[0].question.pilot.scale
    table = text_table(
        "in the chosen study", f"{scale.word} seen", "power", "at that", "at its near end", "finds", "scales", numbers=6
    )
    for detail in details:
        power = detail.power
        seen = scale.shown(_seen(detail.question))
        finds = "-" if math.isinf(detail.smallest) else _finds(detail)
        numbers_of = (f"{value:.0%}" for value in (power.expected, power.at_estimate, power.near))
        table.add_row(_label(detail.question), seen, *numbers_of, finds, f"{detail.scales:.0%}")
    print_table(table)
    print(f"\nseen: at the pilot's largest size; finds: what new cells alone would find with power {ENOUGH}\n")


def _finds(detail: Detail) -> str:
    scale, value = detail.question.pilot.scale, detail.smallest
    return f"{1 / value:.3g} or {value:.3g}" if scale.word == "ratio" else f"{scale.shown(value)}, either way"


def _seen(question: Question) -> float:
    a, b = question.pilot.means[-1]
    return question.pilot.scale.back(float(a - b))


def _label(question: Question) -> str:
    pair = question.pair
    others = f" ({pair.setting})" if pair.setting else ""
    return f"{pair.axis} {pair.value} / {pair.baseline}{others}"


def conclusion(request: PlanRequest, answer: Answer) -> str:
    """The answer in words."""
    name, budget = answer.name, answer.budget_hours
    within = "" if math.isinf(budget) else f" within {budget:g} hours"
    if answer.answer == "pilot":
        return f"{name}: there is no pilot with a spread over seeds: run this one first, then lab plan again."
    if answer.choice is None:
        least = answer.found[0]
        return f"{name}: no study fits {budget:g} hours: the cheapest takes {least.hours:.3g} ({_described(least)})."
    chosen = answer.choice.chosen
    share, count = f"{chosen.power(request.claim):.0%}", len(answer.choice.details)
    power = f"its power is {share}" if count == 1 else f"{share} of {count} comparisons are expected to be decided"
    start = f"{name}: {_described(chosen)}, {chosen.hours:.3g} hours: {power}"
    if answer.choice.enough:
        return f"{start}; no cheaper study has {ENOUGH:.0%}."
    far = answer.choice.enough_at
    most = f"up to {request.max_seeds} seeds"
    cost = (
        f"{ENOUGH:.0%} takes {far.hours:.3g} hours ({_described(far)})"
        if far
        else f"no study of {most} has {ENOUGH:.0%}"
    )
    return f"{start}, the most{within}; {cost}."


def _described(candidate: Candidate) -> str:
    return f"{' '.join(candidate.sizes)} under {len(candidate.seeds)} seeds"


def document(request: PlanRequest, answer: Answer) -> dict[str, Any]:
    choice = answer.choice
    return {
        "sweep": answer.name,
        "claim": request.claim,
        "enough": ENOUGH,
        "level": answer.search.level,
        "comparisons": answer.asked.comparisons,
        "workers": answer.search.workers,
        "budget_hours": finite_or_null(answer.budget_hours),
        "answer": answer.answer,
        "candidates": [candidate._asdict() for candidate in answer.found],
        "chosen": choice and choice.chosen._asdict(),
        "enough_at": choice.enough_at._asdict() if choice and choice.enough_at else None,
        "details": [_detail(detail) for detail in choice.details] if choice else [],
        "without": answer.asked.without,
        "against": answer.asked.against,
        "notes": answer.notes,
        "yaml": answer.yaml,
    }


def _detail(detail: Detail) -> dict[str, Any]:
    pair = detail.question.pair
    return {
        "axis": pair.axis,
        "value": pair.value,
        "baseline": pair.baseline,
        "others": pair.others,
        detail.question.pilot.scale.word: _seen(detail.question),
        **detail.power._asdict(),
        "smallest": finite_or_null(detail.smallest),
        "scales": detail.scales,
    }

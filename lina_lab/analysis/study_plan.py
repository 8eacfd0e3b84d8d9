"""Which study decides a question: sizes and seeds, their hours, and the power of each choice, from a pilot.

A candidate has the sizes of a run of neighbours that ends with the largest that was asked for, or with one more, and
the first so many of the seeds. Power is the mean over the comparisons in question: the share of them that the study is
expected to decide for the design that is ahead.
"""

import heapq
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np

from lina_lab.analysis.contrasts import DesignPair
from lina_lab.analysis.decisions import may_scale, scales_better
from lina_lab.analysis.match_cells import Array
from lina_lab.analysis.power import (
    DRAWS,
    ENOUGH,
    Pilot,
    Power,
    Truth,
    drawn_truths,
    kept_values,
    power,
    right,
    simulated,
    smallest_gap,
)
from lina_lab.analysis.scale import RATIO
from lina_lab.config.sweep import Scalar

SEARCH = 500
"""Draws of each candidate; the chosen one has `DRAWS`."""
CHECKED = 12
"""Studies that are judged by the whole rule of "scales better", of those that its first part lets through."""
Claim = Literal["better", "scales"]


class StudyCell(NamedTuple):
    values: dict[str, Scalar]
    size: str
    seed: int
    seconds: float
    extrapolated: bool
    done: bool


class Question(NamedTuple):
    """Two designs and what is known of them."""

    pair: DesignPair
    pilot: Pilot
    x: dict[str, float]
    """Of every size that a study may have, largest last."""
    kept: frozenset[tuple[str, str]]
    """Sizes and seeds whose two cells are done and part of any study that has them."""
    has_law: bool
    """Whether the metric can fall with size as a power law does."""


class Candidate(NamedTuple):
    sizes: tuple[str, ...]
    seeds: tuple[int, ...]
    cells: int
    to_run: int
    hours: float
    """Of wall time, for the cells that are not done."""
    extrapolated: bool
    """Whether some of its hours are of a size that was never timed."""
    better: float
    scales: float
    """At most: by the first part of the rule; see `decisions.may_scale`."""

    def power(self, claim: Claim) -> float:
        return self.better if claim == "better" else self.scales


class Search(NamedTuple):
    """What may be chosen from."""

    cells: Sequence[StudyCell]
    asked: tuple[str, ...]
    """The sizes of the sweep, smallest first."""
    more: tuple[str, ...]
    """Sizes that may be added, smallest first."""
    seeds: tuple[int, ...]
    """In the order in which a study takes them."""
    workers: int
    level: float
    """Of each comparison's intervals."""


class Detail(NamedTuple):
    """One comparison within the chosen study."""

    question: Question
    power: Power
    smallest: float
    """The ratio nearest to 1, or the difference nearest to 0, that new cells alone would find with power `ENOUGH`."""
    scales: float
    """By the whole rule."""


def candidates(
    search: Search, questions: Sequence[Question], progress: Callable[[float], None] = lambda share: None
) -> list[Candidate]:
    """Every candidate with its cost and power, cheapest first."""
    choices = [(sizes, count) for sizes in _size_sets(search, questions) for count in range(2, len(search.seeds) + 1)]
    found = []
    for number, (sizes, count) in enumerate(choices, start=1):
        seeds = search.seeds[:count]
        powers = [_quick_powers(question, sizes, seeds, search.level) for question in questions]
        better, scales = np.mean(powers, axis=0)
        found.append(_costed(search, sizes, seeds)._replace(better=float(better), scales=float(scales)))
        progress(number / len(choices))
    return sorted(found, key=lambda candidate: (candidate.hours, candidate.cells))


def _size_sets(search: Search, questions: Sequence[Question]) -> Iterator[tuple[str, ...]]:
    for last in range(len(search.more) + 1):
        sizes = (*search.asked, *search.more[:last])
        if all(_known(question, sizes) for question in questions):
            yield from (sizes[first:] for first in range(len(sizes)))


def _known(question: Question, sizes: Sequence[str]) -> bool:
    """Whether the pilot tells the values at all sizes: by themselves, or on a line."""
    return set(sizes) <= set(question.pilot.sizes) or (question.pilot.scale == RATIO and len(question.pilot.x) > 1)


def _costed(search: Search, sizes: Sequence[str], seeds: Sequence[int]) -> Candidate:
    cells = [cell for cell in search.cells if cell.size in sizes and cell.seed in seeds]
    open_cells = [cell for cell in cells if not cell.done]
    return Candidate(
        sizes=tuple(sizes),
        seeds=tuple(seeds),
        cells=len(cells),
        to_run=len(open_cells),
        hours=wall_seconds([cell.seconds for cell in open_cells], search.workers) / 3600,
        extrapolated=any(cell.extrapolated for cell in open_cells),
        better=0.0,
        scales=0.0,
    )


def wall_seconds(seconds: Sequence[float], workers: int) -> float:
    """Until the last cell ends: the longest start first, each on the first free worker, as in the engine."""
    free = [0.0] * workers
    for each in sorted(seconds, reverse=True):
        heapq.heapreplace(free, free[0] + each)
    return max(free)


def _quick_powers(question: Question, sizes: Sequence[str], seeds: Sequence[int], level: float) -> tuple[float, float]:
    truth, done = _truth(question, sizes, SEARCH), _done(question, sizes, seeds)
    better = right(simulated(truth, len(seeds), done), truth, level)
    return better, _first_part(question, sizes, seeds, level)


def _x(question: Question, sizes: Sequence[str]) -> Array:
    return np.array([question.x[size] for size in sizes])


def _truth(question: Question, sizes: Sequence[str], draws: int, *, laws: bool = False) -> Truth:
    return drawn_truths(question.pilot, _x(question, sizes), draws, laws=laws)


def _done(question: Question, sizes: Sequence[str], seeds: Sequence[int]) -> Array:
    names = [str(seed) for seed in seeds]
    kept = kept_values(question.pilot, sizes, names)
    for row, size in enumerate(sizes):
        for place, seed in enumerate(names):
            if (size, seed) not in question.kept:
                kept[row, place] = np.nan
    return kept


def _scaling_studies(
    question: Question, sizes: Sequence[str], seeds: Sequence[int], level: float
) -> tuple[Array, Array] | None:
    """Studies y of which the first part of the rule sees the right design gain, and their share; None if no law holds.

    Both designs follow power laws there: of curves with floors no pilot of a few sizes tells enough.
    """
    if not question.has_law or len(sizes) < 4 or len(question.pilot.x) < 2:
        return None
    x = _x(question, sizes)
    truth = _truth(question, sizes, SEARCH, laws=True)
    y = simulated(truth, len(seeds), _done(question, sizes, seeds))
    gains = np.sign(truth.gaps[:, -1] - truth.gaps[:, 0])
    passed = may_scale(y, x, level) * gains > 0
    return y[passed], gains[passed]


def _first_part(question: Question, sizes: Sequence[str], seeds: Sequence[int], level: float) -> float:
    found = _scaling_studies(question, sizes, seeds, level)
    return 0.0 if found is None else len(found[1]) / SEARCH


def _whole_rule(question: Question, sizes: Sequence[str], seeds: Sequence[int], level: float) -> float:
    found = _scaling_studies(question, sizes, seeds, level)
    if found is None or not len(found[1]):
        return 0.0
    y, gains = found
    decided = scales_better(y[:CHECKED], _x(question, sizes), level) * gains[:CHECKED] > 0
    return float(decided.mean()) * len(gains) / SEARCH


def detailed(
    candidate: Candidate,
    questions: Sequence[Question],
    level: float,
    progress: Callable[[float], None] = lambda share: None,
) -> tuple[Candidate, list[Detail]]:
    """A candidate with more draws and the whole of both rules, and what it says of each comparison."""
    details = []
    for number, question in enumerate(questions, start=1):
        truth = _truth(question, candidate.sizes, DRAWS)
        gap = smallest_gap(truth, len(candidate.seeds), level)
        details.append(
            Detail(
                question=question,
                power=power(truth, len(candidate.seeds), level, _done(question, candidate.sizes, candidate.seeds)),
                smallest=question.pilot.scale.back(gap),
                scales=_whole_rule(question, candidate.sizes, candidate.seeds, level),
            )
        )
        progress(number / len(questions))
    better, scales = (
        float(np.mean(values)) for values in zip(*((d.power.expected, d.scales) for d in details), strict=True)
    )
    return candidate._replace(better=better, scales=scales), details


class Choice(NamedTuple):
    """The study to run."""

    chosen: Candidate
    details: list[Detail]
    enough: bool
    """Whether its power is `ENOUGH`; if not, it is the best within the budget."""
    enough_at: Candidate | None
    """The cheapest with `ENOUGH` whatever it costs; None if no candidate has it."""


def choose(
    found: Sequence[Candidate],
    questions: Sequence[Question],
    search: Search,
    claim: Claim,
    budget_hours: float,
    progress: Callable[[float], None] = lambda share: None,
) -> Choice | None:
    """The cheapest candidate within the budget that has `ENOUGH` power, else the one with most; None if none fits."""
    affordable = [candidate for candidate in found if candidate.hours <= budget_hours]
    if not affordable:
        return None
    tried = 0
    for candidate in affordable:
        if candidate.power(claim) >= ENOUGH and tried < TRIES:
            tried += 1
            chosen, details = detailed(candidate, questions, search.level, progress)
            if chosen.power(claim) >= ENOUGH:
                return Choice(chosen, details, enough=True, enough_at=chosen)
    best = max(affordable, key=lambda candidate: candidate.power(claim))
    beyond = [c for c in found if c.power(claim) >= ENOUGH and c.hours > budget_hours]
    chosen, details = detailed(best, questions, search.level, progress)
    return Choice(chosen, details, enough=chosen.power(claim) >= ENOUGH, enough_at=beyond[0] if beyond else None)


TRIES = 3
"""Candidates that seem to have enough power and are looked at more closely."""


def frontier(found: Sequence[Candidate], claim: Claim) -> list[Candidate]:
    """The candidates than which none is cheaper and has as much power, cheapest first."""
    kept: list[Candidate] = []
    for candidate in found:
        if not kept or candidate.power(claim) > kept[-1].power(claim):
            if kept and kept[-1].hours == candidate.hours:
                kept.pop()
            kept.append(candidate)
    return kept

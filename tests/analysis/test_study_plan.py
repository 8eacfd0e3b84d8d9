"""Which study is chosen: cheapest that suffices, or best within a budget; its hours; cells that are done."""

import numpy as np
import pytest

from lina_lab.analysis import study_plan
from lina_lab.analysis.contrasts import DesignPair
from lina_lab.analysis.decisions import study_pairs
from lina_lab.analysis.power import ENOUGH, pilot_of
from lina_lab.analysis.study_plan import (
    Candidate,
    Question,
    Search,
    StudyCell,
    candidates,
    choose,
    frontier,
    wall_seconds,
)
from tests.analysis.simulated import sizes

SIZES = ("1000000", "3000000", "9000000", "27000000")
"""As `study_pairs` names them."""
PAIR = DesignPair("design", {"design": "new"}, {"design": "old"})


def question(gap=0.03, seeds=3, kept=(), noise=0.012, slope=0.0):
    rng = np.random.default_rng(1)
    x = sizes(4)
    y = 3 - 0.3 * np.log(x / 1e6)[:, None, None] + noise * rng.normal(size=(4, seeds, 2))
    y[..., 0] -= gap + slope * np.log(x / x[0])[:, None]
    pilot = pilot_of(study_pairs(y[:3], x[:3]))
    return Question(PAIR, pilot, dict(zip(SIZES, x, strict=True)), frozenset(kept), has_law=True)


def search(done=(), workers=2, seeds=6, more=("27000000",)):
    cells = [
        StudyCell({}, size, seed, 10.0 * 3**place, size == SIZES[3], (size, seed) in done)
        for place, size in enumerate(SIZES)
        for seed in range(seeds)
        for _ in "AB"
    ]
    return Search(cells, SIZES[:3], more, tuple(range(seeds)), workers, 0.95)


def test_candidates_keep_the_largest_size_and_cost_what_is_not_done():
    done = {(size, seed) for size in SIZES[:2] for seed in range(3)}
    found = candidates(search(done), [question()])
    assert {candidate.sizes for candidate in found} == {SIZES[i:j] for j in (3, 4) for i in range(j)}
    hours = [candidate.hours for candidate in found]
    assert hours == sorted(hours)
    (one,) = [c for c in found if c.sizes == SIZES[:3] and len(c.seeds) == 4]
    assert (one.cells, one.to_run, one.extrapolated) == (24, 12, False)
    assert one.hours == pytest.approx((4 * 90 + 40) / 3600)
    (larger,) = [c for c in found if c.sizes == SIZES and len(c.seeds) == 2]
    assert larger.extrapolated


def test_wall_time_is_that_of_workers_that_take_the_longest_first():
    assert wall_seconds([1, 5, 2, 4], 1) == 12
    assert wall_seconds([1, 5, 2, 4], 2) == 6
    assert wall_seconds([], 3) == 0


def test_the_cheapest_study_that_suffices_is_chosen():
    asked = [question()]
    found = candidates(search(), asked)
    choice = choose(found, asked, search(), "better", np.inf)
    assert choice.enough
    assert choice.chosen.better >= ENOUGH
    cheaper = [c for c in found if c.hours < choice.chosen.hours]
    assert max(c.better for c in cheaper) < ENOUGH + 0.05


def test_within_a_small_budget_the_best_is_chosen_and_the_price_of_enough_is_told():
    asked = [question(0.01)]
    found = candidates(search(seeds=10), asked)
    choice = choose(found, asked, search(seeds=10), "better", found[8].hours)
    assert not choice.enough
    assert choice.chosen.hours <= found[8].hours
    assert choice.enough_at is None or choice.enough_at.hours > found[8].hours
    assert choose(found, asked, search(), "better", found[0].hours / 2) is None


def test_power_is_the_mean_over_comparisons():
    clear, open_ = question(0.2), question(0.0)
    (one,) = [c for c in candidates(search(more=()), [clear, open_]) if c.sizes == SIZES[:3] and len(c.seeds) == 6]
    assert one.better == pytest.approx(0.5, abs=0.25)


def test_cells_that_are_done_keep_their_values_only_where_they_are_part_of_the_study():
    kept = {(size, str(seed)) for size in SIZES[:3] for seed in range(3)}
    lucky = question(0.02, kept=kept)
    fresh = question(0.02)
    of = [study_plan._done(each, SIZES[:3], (0, 1, 2, 3)) for each in (lucky, fresh)]
    assert np.isfinite(of[0][:, :3]).all()
    assert np.isnan(of[0][:, 3]).all()
    assert np.isnan(of[1]).all()


@pytest.mark.slow
def test_what_scales_better_needs_four_sizes_and_the_whole_rule_refuses_some(monkeypatch):
    monkeypatch.setattr(study_plan, "CHECKED", 4)
    grows = question(0.0, slope=0.1, noise=0.004)
    found = candidates(search(), [grows])
    assert max(c.scales for c in found if len(c.sizes) < 4) == 0
    widest = max((c for c in found if len(c.sizes) == 4), key=lambda c: c.scales)
    assert widest.scales > 0.5
    whole, details = study_plan.detailed(widest, [grows], 0.95)
    assert 0 < whole.scales <= widest.scales
    assert details[0].smallest > 1


def test_the_frontier_has_no_candidate_that_another_beats():
    def of(hours, better):
        return Candidate(("a",), (0, 1), 1, 1, hours, False, better, 0.0)

    found = [of(1, 0.2), of(1, 0.3), of(2, 0.1), of(3, 0.3), of(4, 0.9)]
    assert frontier(found, "better") == [found[1], found[4]]

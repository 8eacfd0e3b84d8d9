"""A claim is made only where nothing stands against it, and every reason against it is said."""

import json
import math

import numpy as np
import pytest
from scipy import stats

from lina_lab.analysis import gap_model
from lina_lab.analysis.comparison import PLAIN, UNDETERMINED, CompareOptions, compare_designs
from lina_lab.analysis.match_cells import Columns
from tests.analysis.simulated import (
    APART,
    COLUMNS,
    EQUAL,
    OTHER_FLOOR,
    SHARED_FLOOR,
    Case,
    Truth,
    table,
)

STRONG = Case(Truth(40, 0.5), Truth(40, 0.4))
AHEAD = Case(Truth(40, 0.3), Truth(44, 0.3))


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    """Verdicts need the predictions' means alone."""
    monkeypatch.setattr(gap_model, "DRAWS", 2)


def verdict(drawn, options=PLAIN, a="new", b="old"):
    return compare_designs(drawn, COLUMNS, [a], [b], options)


@pytest.fixture
def drawn():
    """A clear case: 4 sizes, 3 seeds, exponents 0.05 apart, tuned, of equal exposure."""
    return table(STRONG, np.random.default_rng(0))


@pytest.mark.slow
def test_a_clear_case_is_said_in_the_wording_of_the_house(drawn):
    found = verdict(drawn)
    assert (found.better.winner, found.scales_better.winner) == ("A", "A")
    assert found.better.reasons == found.scales_better.reasons == []
    ratio = found.gaps[-1].ratio
    first, last = (100 * (1 - gap.ratio.mean) for gap in (found.gaps[0], found.gaps[-1]))
    low, high = sorted(100 * (1 - form.ratio.mean) for form in found.predictions)
    seen = dict.fromkeys(f"{share:.3g}" for share in (low, high))  # without a floor both forms are the same line
    assert found.sentence == (
        f"At 27M fid of new is {ratio.mean:.4g} times that of old (95 % interval {ratio.low:.4g} to {ratio.high:.4g}): "
        f"new is better there. new scales better: its advantage grows from {first:.3g} % at 1M to {last:.3g} % at 27M "
        f"(95 % interval {100 * (1 - ratio.high):.3g} to {100 * (1 - ratio.low):.3g} %); predicted "
        f"{' to '.join(seen)} % at 108M under both forms."
    )
    assert 24 < last < 32
    assert 34 < low <= high < 42


@pytest.mark.slow
def test_b_against_a_is_the_same_verdict_seen_from_the_other_side(drawn):
    found, other = verdict(drawn), verdict(drawn, a="old", b="new")
    assert (other.better.winner, other.scales_better.winner) == ("B", "B")
    assert other.gaps[-1].ratio.mean == pytest.approx(1 / found.gaps[-1].ratio.mean)
    assert other.slope.mean == pytest.approx(-found.slope.mean)
    now = 100 * (1 - found.gaps[-1].ratio.mean)
    before = 100 * (1 - found.gaps[0].ratio.mean)
    assert f"new scales better: its advantage grows from {before:.3g} % at 1M to {now:.3g} %" in other.sentence


@pytest.mark.slow
@pytest.mark.parametrize("case", [EQUAL, AHEAD, SHARED_FLOOR], ids=["equal", "ahead", "shared floor"])
def test_where_neither_scales_better_fewer_than_5_percent_are_told_otherwise(case):
    rng = np.random.default_rng(1)
    told = [verdict(table(case, rng)).scales_better.winner != UNDETERMINED for _ in range(14)]
    assert stats.binomtest(sum(told), len(told), 0.05, alternative="greater").pvalue > 0.05


@pytest.mark.slow
def test_exponents_that_differ_by_a_tenth_are_told_in_most_studies_and_rightly():
    rng = np.random.default_rng(2)
    told = [verdict(table(STRONG, rng)).scales_better.winner for _ in range(10)]
    assert stats.binomtest(told.count("A"), len(told), 0.9).pvalue > 0.01
    assert told.count("B") == 0


@pytest.mark.slow
def test_an_advantage_that_an_exponent_or_a_floor_explains_is_told_to_grow_and_no_more():
    """Exponents 0.01 apart: over a factor of 27 no study tells them from floors."""
    rng = np.random.default_rng(2)
    found = [verdict(table(APART, rng)) for _ in range(6)]
    assert all(one.scales_better.winner == one.ahead_by_floor.winner == UNDETERMINED for one in found)
    grows = [one.scales_better.sentence for one in found if "new's advantage grows from " in one.scales_better.sentence]
    assert len(grows) >= 3
    assert all("under both forms; but undetermined whether new or old scales better: one exponent" in s for s in grows)


@pytest.mark.slow
def test_a_difference_of_floors_is_told_as_one_of_floors():
    """Floors of 4 and 8: the power law's slope excludes 0, but the exponents are equal."""
    rng = np.random.default_rng(12)
    found = [verdict(table(OTHER_FLOOR, rng)) for _ in range(10)]
    assert sum(one.scales_better.winner != UNDETERMINED for one in found) <= 1
    told = [one.ahead_by_floor.winner for one in found]
    assert told.count("A") >= 7
    assert "B" not in told
    sentence = next(one.sentence for one in found if one.ahead_by_floor.winner == "A")
    assert " new is ahead by a floor: one exponent (0." in sentence


@pytest.mark.slow
def test_floors_that_differ_make_a_gap_and_no_line():
    found = verdict(table(OTHER_FLOOR, np.random.default_rng(3), 5, 5))
    assert found.better.winner == "A"
    assert found.scales_better.winner == UNDETERMINED
    assert "the log ratios do not lie on a line over log x (lack of fit, p = " in found.sentence


def against(drawn, options=PLAIN):
    found = verdict(drawn, options)
    assert (found.scales_better.winner == UNDETERMINED) == bool(found.scales_better.reasons)
    assert (found.better.winner == UNDETERMINED) == bool(found.better.reasons)
    assert all(reason in found.sentence for reason in found.scales_better.reasons)
    return found.better.reasons, found.scales_better.reasons


@pytest.mark.slow
def test_one_seed_speaks_for_neither_claim(drawn):
    better, scales = against(drawn[drawn["seed"] == 0])
    assert better == ["one seed: the spread over seeds was not measured"]
    assert better[0] in scales
    once = drawn[drawn["size"].str[-1].astype(int) % 3 == drawn["seed"]]
    assert against(once)[0] == ["no size has pairs of two seeds: the spread over seeds was not measured"]


@pytest.mark.slow
def test_too_few_sizes_make_no_trend(drawn):
    better, scales = against(drawn[drawn["size"].isin(["size0", "size3"])])
    assert better == []
    assert scales == ["2 sizes: a trend needs 3", "one form only: a floor needs 4 sizes"]
    assert "one form only: a floor needs 4 sizes" in against(drawn[drawn["size"] != "size1"])[1]


@pytest.mark.slow
def test_an_untuned_learning_rate_is_a_reason_unless_a_user_vouches_for_it(drawn):
    foreign = drawn.drop(columns=["learning_rate", "learning_rate_inside", "tune_trials"])
    assert against(foreign) == ([], ["the learning rate was not tuned for every size"])
    assert "new is better there, as trained." in verdict(foreign).sentence
    assert against(foreign, CompareOptions(lr_tuned=True)) == ([], [])
    assert "as trained" not in verdict(foreign, CompareOptions(lr_tuned=True)).sentence
    tuned = ["learning_rate", "learning_rate_inside", "tune_trials"]
    drawn[tuned] = drawn[tuned].astype(object)
    drawn.loc[:2, tuned] = math.nan
    assert against(drawn) == ([], ["the learning rate was not tuned for every size: not for A at size0"])
    assert against(drawn, CompareOptions(lr_tuned=True)) == ([], [])


@pytest.mark.slow
def test_a_rate_that_was_tuned_at_one_size_counts_where_the_coordinate_check_passed(drawn):
    drawn["tune_at"] = np.where(drawn["size"] == "size0", None, "size0")
    drawn["tune_transfer"] = np.where(drawn["size"] == "size0", None, "passed")
    assert against(drawn) == ([], [])
    failed = (drawn["size"] == "size2") & (drawn["design"] == "old")
    drawn.loc[failed, "tune_transfer"] = "the coordinate check failed: head.out moves as width^1.00 at step 1"
    reason = (
        "the learning rate was tuned at size0 alone and taken for B at size2, the coordinate check failed: head.out "
    )
    assert against(drawn) == ([], [f"{reason}moves as width^1.00 at step 1"])
    assert against(drawn, CompareOptions(lr_tuned=True))[1] == [f"{reason}moves as width^1.00 at step 1"]


@pytest.mark.slow
def test_rates_that_a_sweep_sets_are_no_tuning_and_are_named(drawn):
    rates = drawn.drop(columns=["learning_rate_inside", "tune_trials"])
    rates["learning_rate"] = np.where(rates["size"] == "size0", 8e-3, 4e-3)
    better, scales = against(rates)
    assert better == []
    assert len(scales) == 1
    start = "learning rates were chosen before the study, from trials that it does not know: 0.004 for A at size1, "
    assert scales[0].startswith(start)
    assert scales[0].endswith("; 0.008 for A at size0, B at size0")


@pytest.mark.slow
def test_unequal_budgets_and_edges_are_named_with_their_size(drawn):
    drawn["tune_trials"] = np.where((drawn["size"] == "size1") & (drawn["design"] == "old"), 4, 8)
    drawn["learning_rate_inside"] = (drawn["size"] != "size2").astype(object)
    budgets, edge = against(drawn, CompareOptions(lr_tuned=True))[1]
    start = (
        "learning rates were chosen from unequal numbers of trials: 4 for B at size1; 8 for A at size0, B at size0, "
    )
    assert budgets.startswith(start)
    assert edge == "the learning rate is the lowest or highest that was tried for A at size2, B at size2"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["samples_seen", "batch_size"])
def test_unequal_exposure_concerns_the_trend_and_at_the_largest_size_both(drawn, name):
    drawn[name] = np.where(drawn["size"] == "size1", 2_000_000, 1_000_000)
    (reason,) = against(drawn)[1]
    assert reason.startswith(f"{name} differs: size0 A 1,000,000, size0 B 1,000,000, size1 A 2,000,000, ")
    assert against(drawn)[0] == []
    drawn[name] = np.where((drawn["size"] == "size0") & (drawn["design"] == "old"), 2, 1)
    assert against(drawn)[0] == []
    drawn[name] = np.where((drawn["size"] == "size3") & (drawn["design"] == "old"), 2, 1)
    assert len(against(drawn)[0]) == 1
    drawn[name] = np.where(drawn["design"] == "old", 2, 1)
    assert against(drawn) == ([f"{name} differs: {EXPOSURE}"], [f"{name} differs: {EXPOSURE}"])


EXPOSURE = "size0 A 1, size0 B 2, size1 A 1, size1 B 2, size2 A 1, size2 B 2, size3 A 1, size3 B 2"


@pytest.mark.slow
def test_samples_seen_that_nobody_knows_are_not_taken_to_be_equal(drawn):
    reason = "the table does not say how many samples each cell has seen (samples_seen)"
    assert against(drawn.drop(columns="samples_seen")) == ([], [reason])
    drawn["samples_seen"] = drawn["samples_seen"].where(drawn.index != 5)
    assert against(drawn) == ([], [reason])


@pytest.mark.slow
def test_a_diverged_cell_is_a_reason_and_not_only_left_out(drawn):
    drawn.loc[12, "state"] = "diverged"
    reason = "cells diverged, and without them a design looks better than it is: B at size0, 0 (diverged)"
    assert against(drawn) == ([reason], [reason])


@pytest.mark.slow
def test_a_gap_that_the_held_out_size_contradicts_is_no_claim():
    """Both forms miss the largest size by more than the gap that they predict."""
    drawn = table(EQUAL, np.random.default_rng(5), 5, 3)
    drawn.loc[(drawn["size"] == "size4") & (drawn["design"] == "new"), "fid"] *= 0.9
    scales = against(drawn)[1]
    assert any(
        reason.startswith("as a power law, the largest size is missed by 1")
        and "without it, more than the gap of" in reason
        for reason in scales
    )


@pytest.mark.slow
def test_forms_that_disagree_and_a_design_that_only_catches_up_are_undetermined():
    behind = verdict(table(SHARED_FLOOR, np.random.default_rng(7), seeds=5))
    assert behind.slope.low > 0
    start = "old gains, but no form sees it ahead at 108M: ratio 0.9"
    assert any(reason.startswith(start) for reason in behind.scales_better.reasons)
    rng = np.random.default_rng(8)
    reasons = [reason for _ in range(8) for reason in verdict(table(EQUAL, rng)).scales_better.reasons]
    assert any(reason.startswith("the forms disagree at 108M: ratio ") for reason in reasons)


@pytest.mark.slow
def test_where_higher_is_better_the_other_design_wins_and_no_floor_is_fitted():
    rising = Case(Truth(0.2, -0.10), Truth(0.2, -0.05))
    found = verdict(table(rising, np.random.default_rng(9)), CompareOptions(higher_is_better=True))
    assert found.better.winner == "A"
    assert found.scales_better.reasons == ["one form only: the form with a floor is for values that fall"]
    assert verdict(table(rising, np.random.default_rng(9))).better.winner == "B"


@pytest.mark.slow
def test_what_only_the_spread_of_smaller_sizes_makes_certain_is_undetermined():
    """A study without any difference, whose seeds scatter 3 times as much at the largest size."""
    new = [40.124, 39.497, 40.361, 29.008, 29.310, 28.616, 20.516, 20.030, 22.262, 14.7258, 16.3689, 14.3148]
    old = [40.125, 39.333, 40.226, 29.198, 28.898, 28.903, 20.671, 19.799, 21.749, 14.5150, 16.0314, 14.1506]
    drawn = table(EQUAL, np.random.default_rng(0)).assign(fid=new + old)
    better = verdict(drawn).better
    assert better.winner == UNDETERMINED
    (reason,) = better.reasons
    assert reason == (
        "by the spread at the largest size alone the 98 % interval of the ratio holds 1 (0.9965 to 1.035), and the "
        "smaller sizes do not show the same difference"
    )


@pytest.mark.slow
def test_models_at_chance_are_the_first_reason_of_every_claim(drawn):
    accuracy = {"eval/class_accuracy/digits-cnn": 0.1, "num_generated": 1000}
    assert verdict(drawn.assign(**accuracy)[drawn["seed"] < 2]).at_chance
    found = verdict(drawn.assign(**accuracy))
    for claim in (found.better, found.scales_better, found.ahead_by_floor):
        assert claim.winner == UNDETERMINED
        assert claim.reasons[0] == (
            "both designs are no better than chance or an untrained model at size3 (A: class accuracy 0.1 of 3,000 "
            "images, 0.1 by chance; B: class accuracy 0.1 of 3,000 images, 0.1 by chance)"
        )
    learnt = drawn.assign(**accuracy)
    learnt.loc[learnt["design"] == "new", "eval/class_accuracy/digits-cnn"] = 0.9
    found = verdict(learnt)
    assert found.better.winner == "A"
    assert found.scales_better.reasons[0].startswith("a design is no better than chance or an untrained model, which")


@pytest.mark.slow
def test_more_comparisons_widen_every_interval(drawn):
    one, six = verdict(drawn), verdict(drawn, CompareOptions(comparisons=6))
    assert six.level == pytest.approx(1 - 0.05 / 6)
    assert "99.17 % interval" in six.sentence
    for a, b in [(one.slope, six.slope), (one.gaps[-1].ratio, six.gaps[-1].ratio)]:
        assert b.low < a.low < a.high < b.high
    assert six.predictions[0].ratio.low < one.predictions[0].ratio.low


@pytest.mark.slow
def test_warnings_say_what_the_intervals_rest_on(drawn):
    assert verdict(drawn).warnings == []
    rng = np.random.default_rng(10)
    last = drawn["size"] == "size3"
    drawn.loc[last, "fid"] *= np.exp(rng.normal(0, 0.3, 6))
    assert any(w.startswith("values scatter more at the largest size than elsewhere") for w in verdict(drawn).warnings)
    moved = table(STRONG, np.random.default_rng(0))
    moved.loc[moved["design"] == "new", "fid"] *= 1 + 0.1 * moved["seed"]
    assert any(w.startswith("a seed favours the same design at every size") for w in verdict(moved).warnings)


@pytest.mark.slow
def test_the_document_holds_finite_numbers_or_null(drawn):
    document = verdict(drawn).as_json()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    names = "a b y level num_pairs seeds sizes gap_largest slope lack_of_fit predictions"
    assert list(document) == f"{names} better scales_better ahead_by_floor eyes compute sentence warnings".split()
    assert document["gap_largest"] == document["sizes"][-1]
    assert set(document["gap_largest"]) == {"size", "x", "num_pairs", "ratio", "low", "high"}
    for form in document["predictions"]:
        assert set(form) == {"form", "x", "ratio", "low", "high", "holdout_error"}
    assert [form["form"] for form in document["predictions"]] == ["power", "offset"]
    assert 0 <= document["predictions"][1]["holdout_error"] < 0.1
    single = verdict(drawn[(drawn["seed"] == 0) & (drawn["size"] == "size0")]).as_json()
    assert json.dumps(single, allow_nan=False)
    assert single["slope"] == {"value": None, "low": None, "high": None}
    assert single["gap_largest"]["low"] is None


@pytest.mark.slow
def test_a_study_of_the_lab_is_compared_as_its_table_is(study):
    from lina_lab.analysis.table import results_table

    made = study(seeds=[0, 1])
    columns = Columns("parameters", "eval/fid/digits-cnn", ("normalization", "conv_kernel"), None)
    found = compare_designs(results_table(made.runs, made.stored), columns, ["division", "5"], ["division", "0"])
    assert (found.a, found.num_pairs, found.seeds) == ("division, 5", 4, 2)
    assert found.gaps[-1].ratio == pytest.approx((0.5, 0.5, 0.5))
    assert found.better.winner == "A"
    assert found.scales_better.reasons[:2] == [
        "2 sizes: a trend needs 3",
        "the learning rate was not tuned for every size",
    ]

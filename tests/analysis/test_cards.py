"""Cards of studies whose truth is known: what helps is said to help, and nothing else is."""

import json
import math
from collections import Counter

import pytest

from lina_lab.analysis.cases import BAND, EQUAL, HELPS, HURTS, OUTCOMES, together
from lina_lab.analysis.wording import UNDETERMINED
from tests.analysis.studies import CONV, FID, NORMALIZATION, simulated_study

ONE = ["nano"]


def card_of(*args, **more):
    (card,) = simulated_study(*args, **more).verdict.cards
    return card


def test_a_real_effect_helps_or_hurts_and_its_size_is_said():
    helps = card_of(CONV, {(5,): 0.5})
    assert (helps.outcome, helps.badge, helps.settle) == (HELPS, HELPS, "")
    assert helps.question == "Does a 5x5 depthwise convolution help?"
    ratio = helps.cases[0].largest.ratio
    assert ratio.low < 0.5 < ratio.high
    assert helps.sentence.startswith(
        f"FID is {100 * (1 - ratio.mean):.0f} % lower with a 5x5 depthwise convolution than with no convolution at "
        "1.6M parameters, beyond chance."
    )
    hurts = card_of(NORMALIZATION, {("subtraction",): 3.0})
    assert hurts.outcome == HURTS
    assert hurts.sentence.startswith(
        f"FID is {hurts.cases[0].largest.ratio.mean:.3g} times as high with subtraction as with division at"
    )


def test_one_seed_is_undetermined_whatever_it_shows_and_says_what_was_seen():
    study = simulated_study(CONV, {(5,): 0.1}, seeds=1).verdict
    (card,) = study.cards
    assert card.outcome == UNDETERMINED
    assert "no evidence" in card.sentence
    assert "lower in 3 of 3 pairs of cells" in card.sentence
    assert card.settle == "more seeds; how many cannot be computed from one, which shows no spread."
    assert card.cases[0].needed is None
    assert study.answer.startswith("Nothing is decided: one seed was run")
    assert "a 5x5 depthwise convolution is ahead in 3 of 3 pairs" in study.answer


def test_equal_designs_of_little_noise_show_no_difference_and_of_much_noise_are_undetermined():
    quiet = card_of(CONV, {}, noise=0.004)
    assert quiet.outcome == EQUAL
    assert "is alike with a 5x5 depthwise convolution and with no convolution, to within" in quiet.sentence
    assert quiet.settle == ""
    loud = card_of(CONV, {}, noise=0.2)
    assert loud.outcome == UNDETERMINED
    assert loud.settle.startswith("more seeds, 3 were run: ")
    assert "in all (power 80 %" in loud.settle


def test_an_interval_must_lie_within_the_band_to_show_no_difference():
    for seed in range(6):
        (case,) = card_of(CONV, {}, noise=0.02, seed=seed).cases
        _, low, high = case.largest.ratio
        assert (case.outcome == EQUAL) == (1 / (1 + BAND) <= low <= 1 <= high <= 1 + BAND)
        assert (case.needed is None) == (case.outcome == EQUAL)


def conv_card(effects):
    _, card = simulated_study(NORMALIZATION | CONV, effects).verdict.cards
    assert card.axis == "conv_kernel"
    return card


def test_an_effect_in_some_designs_is_said_with_their_number_and_names():
    card = conv_card({("division", 5): 0.5})
    assert card.badge == "helps in 1 of 2 designs"
    assert "beyond chance in 1 of 2 designs: helps with division; undetermined with subtraction." in card.sentence
    assert card.settle.startswith("more seeds, 3 were run: ")
    assert "with subtraction" in card.settle
    assert conv_card({(5,): 0.5}).sentence.split(" For ")[0].endswith("beyond chance in both designs.")


def test_opposite_effects_are_no_answer():
    card = conv_card({("division", 5): 0.5, ("subtraction", 5): 2.0})
    assert card.badge == UNDETERMINED
    assert card.sentence == "It depends on the rest of the design: helps with division; hurts with subtraction."
    assert card.settle == ""


def test_models_at_chance_are_said_first_and_nothing_is_claimed_of_them():
    study = simulated_study(CONV, {(5,): 0.1})
    chance = {"eval/class_accuracy/digits-cnn": 0.1, "num_generated": 1000, "class_chance": 0.1}
    verdict = study._replace(table=study.table.assign(**chance)).verdict
    assert verdict.lines[0].startswith("Nothing learnt: 6 of 6 models")
    (card,) = verdict.cards
    assert card.outcome == UNDETERMINED
    assert card.sentence == "The models have learnt nothing, so their FID says nothing of this."
    assert card.settle == "models that learn something, by a longer training or another learning rate."


def test_a_diverged_cell_is_said_first_and_stands_against_a_verdict():
    study = simulated_study(CONV, {(5,): 0.5})
    last = study.table.index[-1]
    study.table.loc[last, ["state", FID]] = ["diverged", math.nan]
    verdict = study.verdict
    assert verdict.lines[0].startswith("Diverged: 1 of 18 cells")
    assert "division + conv, tiny, seed 2" in verdict.lines[0]
    (card,) = verdict.cards
    assert card.outcome == UNDETERMINED
    assert "something else may explain it" in card.sentence
    assert card.settle == (
        "cells with nothing against a verdict; now: cells diverged, and without them a design looks better than it is."
    )
    assert "division + conv (A) against division (B): undetermined which is better: cells diverged" in card.details[-1]
    assert card.cases[0].needed is None


def test_the_answer_names_what_helps_and_what_is_open():
    verdict = simulated_study(NORMALIZATION | CONV, {(5,): 0.5}, noise=0.1).verdict
    start = "A 5x5 depthwise convolution helps; undetermined: subtraction against division (by FID at 1.6M parameters"
    assert verdict.answer.startswith(start)
    assert "3 seeds; all 4 intervals hold together in 95 % of studies" in verdict.answer
    assert verdict.lines == [verdict.answer, *(card.line for card in verdict.cards)]
    assert [note.split(" ")[0] for note in verdict.notes] == ["A", "Which"]


def test_a_study_without_pairs_has_no_card():
    verdict = simulated_study({"model.attention.conv_kernel": [5]}, {}).verdict
    assert (verdict.cards, verdict.lines, verdict.notes) == ([], [], [])
    assert verdict.answer == "No two designs can be compared yet: too few cells are finished."
    assert verdict.markdown().count("\n\n") == 2


def test_json_is_finite_and_says_what_the_card_says():
    for seeds in (1, 3):
        verdict = simulated_study(NORMALIZATION | CONV, {(5,): 0.5}, seeds=seeds).verdict
        body = json.loads(json.dumps(verdict.as_json(), allow_nan=False))
        assert (body["document"], body["version"], body["metric"]) == ("verdict", 1, FID)
        for card, found in zip(verdict.cards, body["cards"], strict=True):
            assert (card.outcome, card.sentence) == (found["outcome"], found["sentence"])
            assert found["outcome"] in OUTCOMES
            gap = card.cases[0].largest
            case = found["cases"][0]
            assert (case["ratio"], case["size"], case["seeds"]) == (gap.ratio.mean, gap.size, seeds)
            assert (case["low"] is None) == (seeds == 1)


def test_hostile_names_cannot_break_markdown_or_a_terminal():
    hostile = "a\n# <b>|`\x1b[31m"
    verdict = simulated_study({"data.path": ["plain", hostile]}, {(hostile,): 0.5}).verdict
    assert all(line.isprintable() for line in verdict.lines)
    text = verdict.markdown()
    assert "\x1b" not in text
    assert [line for line in text.splitlines() if line.startswith("#")][1:] == [
        line for line in text.splitlines() if line.startswith("## ")
    ]
    assert r"\<b>" in text


@pytest.mark.slow
def test_without_an_effect_few_studies_are_told_of_one_and_at_the_edge_of_the_band_few_of_none(monkeypatch):
    monkeypatch.setattr("lina_lab.analysis.cases.seeds_needed", lambda *_, **__: None)  # most of the time
    none = Counter(card_of(CONV, {}, seeds=6, seed=seed, sizes=ONE).outcome for seed in range(200))
    assert none[HELPS] + none[HURTS] <= 0.05 * 200 + 3 * math.sqrt(0.05 * 0.95 * 200)
    edge = Counter(card_of(CONV, {(5,): 1 + BAND}, seeds=6, seed=seed, sizes=ONE).outcome for seed in range(200))
    assert edge[EQUAL] <= 0.025 * 200 + 3 * math.sqrt(0.025 * 0.975 * 200)
    assert edge[HELPS] == 0


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([HELPS, HELPS], HELPS),
        ([HELPS, UNDETERMINED, EQUAL], HELPS),
        ([HURTS, EQUAL], HURTS),
        ([HELPS, HURTS], UNDETERMINED),
        ([EQUAL, UNDETERMINED], UNDETERMINED),
        ([EQUAL, EQUAL], EQUAL),
    ],
)
def test_the_outcome_of_a_question_from_those_of_its_designs(outcomes, expected):
    assert together(outcomes) == expected

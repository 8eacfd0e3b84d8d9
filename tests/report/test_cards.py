"""The picture of a card: what it says is in its text, and its marks stand where the numbers are."""

import math
import xml.etree.ElementTree as ET

import pytest

from lina_lab.analysis.study_metric import metric_of
from lina_lab.report.cards import EDGE, WIDTH, effect_picture, numbers
from tests.analysis.studies import CONV, NORMALIZATION, simulated_study

SVG = "{*}"


def card_of(axes, effects, **more):
    return simulated_study(axes, effects, **more).verdict.cards[-1]


def picture(card):
    return ET.fromstring(effect_picture(card))  # noqa: S314, it is ours


def with_effect(card, **ends):
    (case,) = card.cases
    gap = case.largest._replace(ratio=case.largest.ratio._replace(**ends))
    return card._replace(cases=[case._replace(verdict=case.verdict._replace(gaps=[gap]))])


def reach(root):
    """Where the axis ends, by its own words."""
    word = root.findall(f".//{SVG}g[@class='axis']/{SVG}text")[-1].text
    return math.log(float(word.partition("×")[2]))


def test_marks_stand_where_the_numbers_are():
    card = card_of(NORMALIZATION | CONV, {(5,): 0.6, ("subtraction", 5): 0.5})
    root = picture(card)
    dots, bars = root.findall(f".//{SVG}circle"), root.findall(f".//{SVG}line[@class='bar']")
    assert len(dots) == len(bars) == len(card.cases) == 2

    def at(value):
        return WIDTH / 2 + (WIDTH / 2 - EDGE) * math.log(value) / reach(root)

    for case, dot, bar in zip(card.cases, dots, bars, strict=True):
        ratio = case.largest.ratio
        assert float(dot.get("cx")) == pytest.approx(at(ratio.mean), abs=0.06)
        assert float(bar.get("x1")) == pytest.approx(at(ratio.low), abs=0.06)
        assert float(bar.get("x2")) == pytest.approx(at(ratio.high), abs=0.06)
        assert numbers(case) in "".join(root.itertext())
    assert root.find(f"{SVG}title").text.startswith(
        f"FID, ratio (below 1: lower): division: ratio {card.cases[0].largest.ratio.mean:.3g}"
    )
    assert root.get("role") == "img"


def test_one_seed_has_a_hollow_mark_and_no_bar():
    root = picture(card_of(CONV, {(5,): 0.1}, seeds=1))
    assert root.findall(f".//{SVG}line[@class='bar']") == []
    assert [group.get("class") for group in root.findall(f"{SVG}g")] == ["open", "axis"]
    assert "no interval" in "".join(root.itertext())


def test_an_interval_beyond_the_axis_ends_in_an_arrow_within_the_picture():
    card = card_of(CONV, {}, seeds=2, sizes=["nano"])
    root = picture(with_effect(card, mean=1.1, low=0.0, high=math.inf))
    assert len(root.findall(f".//{SVG}path[@class='tip']")) == 2
    (bar,) = root.findall(f".//{SVG}line[@class='bar']")
    assert (float(bar.get("x1")), float(bar.get("x2"))) == (EDGE, WIDTH - EDGE)


def test_the_better_side_is_named_and_differences_have_an_axis_of_their_own():
    def sides(card):
        return [text.text for text in picture(card).findall(f".//{SVG}g[@class='axis']/{SVG}text")]

    lower = card_of(CONV, {(5,): 0.5})
    assert [words.strip("×.0123456789 ") for words in sides(lower)] == ["better", "same", "worse"]
    recall = metric_of("eval/recall/digits-cnn")
    higher = with_effect(lower, mean=0.1, low=0.05, high=0.15)
    higher = higher._replace(
        subject=lower.subject._replace(metric=recall), cases=[higher.cases[0]._replace(band=(-0.02, 0.02))]
    )
    assert sides(higher) == ["-0.2 worse", "same", "better +0.2"]


def test_hostile_names_stay_text():
    hostile = '</text><script>alert("1")</script>'
    card = card_of({"data.path": ["plain", hostile]} | CONV, {(5,): 0.5})
    assert "<script" not in effect_picture(card)
    assert "script" in "".join(picture(card).itertext())

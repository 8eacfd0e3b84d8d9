"""A winner that extractors disagree on is undetermined; one that they agree on stays."""

import numpy as np
import pytest

from lina_lab.analysis import gap_model
from lina_lab.analysis.comparison import PLAIN, compare_designs
from lina_lab.analysis.match_cells import Columns
from tests.analysis.simulated import COLUMNS, Case, Truth, table

OWN, OTHER = "eval/fid/digits-cnn", "eval/fid/dinov2"


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(gap_model, "DRAWS", 2)


@pytest.fixture
def drawn():
    """The design new is ahead at every size, and gains."""
    found = table(Case(Truth(40, 0.5), Truth(40, 0.4)), np.random.default_rng(0))
    return found.rename(columns={"fid": OWN})


def verdict(drawn):
    return compare_designs(drawn, Columns(COLUMNS.x, OWN, COLUMNS.by, COLUMNS.pair), ["new"], ["old"], PLAIN)


@pytest.mark.slow
def test_one_that_agrees_changes_nothing_but_is_told(drawn):
    alone, both = verdict(drawn), verdict(drawn.assign(**{OTHER: 7 * drawn[OWN]}))
    assert alone.eyes == ()
    assert (both.better, both.scales_better) == (alone.better, alone.scales_better)
    (eye,) = both.eyes
    assert (eye.y, eye.agrees) == (OTHER, True)
    assert eye.ratio == pytest.approx(alone.gaps[-1].ratio)
    assert both.as_json()["eyes"][0]["agrees"] is True


@pytest.mark.slow
def test_one_that_sees_the_other_design_ahead_is_a_reason_against_every_claim(drawn):
    found = verdict(drawn.assign(**{OTHER: 1 / drawn[OWN]}))
    assert [found.better.winner, found.scales_better.winner] == ["undetermined", "undetermined"]
    assert found.better.reasons[0].startswith("extractors disagree on which is ahead (FD-DINOv2 has a ratio of 1.")
    assert "extractors disagree on which gains with size (FD-DINOv2 has a slope of 0.1" in found.scales_better.sentence
    assert not found.eyes[0].agrees


@pytest.mark.slow
def test_one_that_measured_too_little_is_a_warning_and_no_reason(drawn):
    some = drawn[OWN].where(drawn["parameters"] < drawn["parameters"].max())
    found = verdict(drawn.assign(**{OTHER: some}))
    assert (found.better.winner, found.eyes) == ("A", ())
    assert f"{OTHER} is not compared: it has no pair at" in found.warnings[-1]
    none = verdict(drawn.assign(**{OTHER: np.nan}))
    assert none.better.winner == "A"
    assert any(warning.startswith(f"{OTHER} is not compared") for warning in none.warnings)


@pytest.mark.slow
def test_other_metrics_are_no_eyes(drawn):
    assert verdict(drawn.assign(**{"eval/kid/dinov2": 1 / drawn[OWN], "loss": 1 / drawn[OWN]})).eyes == ()

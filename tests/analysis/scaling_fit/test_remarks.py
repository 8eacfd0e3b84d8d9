"""What stands beside a fit: what a bound set, and what nothing checks."""

import math

import numpy as np
import pytest

from lina_lab.analysis.interval import Interval
from lina_lab.analysis.scaling_fit.fits import HUBER, Fit, fit, predict
from lina_lab.analysis.scaling_fit.intervals import intervals
from lina_lab.analysis.scaling_fit.remarks import at_bound, in_words, remarks

X = np.repeat(np.geomspace(1e5, 6.4e6, 4), 3)


def said(form: str, x, y) -> tuple[dict, list[str]]:
    found = fit(form, x, y)
    ranges = intervals(found, x, y)
    return at_bound(found, ranges, y), remarks(found, ranges, x, y)


def noisy(floor: float) -> np.ndarray:
    curve = predict("offset", {"E": floor, "A": 20 * 1e6**0.4, "alpha": 0.4}, X)
    return curve * np.exp(np.random.default_rng(0).normal(0, 0.02, len(X)))


@pytest.mark.slow
def test_of_a_floor_that_is_there_nothing_need_be_said():
    assert said("offset", X, noisy(8)) == ({}, [])
    assert said("power", X, noisy(0)) == ({}, [])


def test_two_sizes_have_no_check_whatever_the_seeds():
    x = np.repeat([1e5, 1e6], 3)
    sentence = "power has two sizes alone: a line through two points always fits, so that nothing checks the law"
    assert said("power", x, [9, 9.1, 9.2, 5, 5.1, 5.2])[1] == [sentence]
    assert sentence in said("power", [1e5, 1e6], [9, 5])[1]


@pytest.mark.slow
def test_a_floor_at_its_bounds_is_marked_and_called_not_identified():
    x, y = [3.3e7, 1.3e8, 4.58e8, 6.75e8], [68.4, 43.47, 23.33, 19.47]
    marks, sentences = said("offset", x, y)
    assert marks["E"] == ["value", "low", "high"]
    assert "low" in marks["alpha"]
    assert sentences[0] == (
        "E not identified by offset: 0 and any floor up to 19.47, the lowest y, fit the data (95 %)"
    )


def test_a_curve_that_rises_has_no_floor():
    marks, sentences = said("offset", X, 3 * X**0.2)
    assert marks == {"E": ["value"]}
    assert sentences == ["E not identified by offset: y does not fall with x, so that it has no floor; see power"]


@pytest.mark.slow
def test_a_term_that_vanished_has_no_exponent():
    pairs = np.array([(n, d) for n in np.geomspace(1e5, 1e8, 5) for d in np.geomspace(1e8, 1e11, 5)])
    y = (1.7 + 800 * pairs[:, 1] ** -0.28) * np.exp(0.01 * np.log(pairs[:, 0] / 3e6) ** 2)
    found = fit("surface", pairs, y * (pairs[:, 0] / 1e5) ** 0.02)  # rises with n
    assert found.params["A"] == 0
    marks = at_bound(found, dict.fromkeys(found.params), y)
    assert marks["A"] == ["value"]
    sentences = remarks(found, dict.fromkeys(found.params), pairs, y)
    assert "A is 0, the bound of the search, so that alpha is not identified by surface" in sentences


@pytest.mark.slow
def test_an_exponent_at_the_bound_of_the_search_is_named():
    y = np.repeat([100.0, 10, 10, 10], 3) * np.exp(np.random.default_rng(0).normal(0, 0.01, 12))
    marks, sentences = said("offset", np.repeat([1e5, 1.1e5, 1.2e5, 1.3e5], 3), y)
    assert "value" in marks["alpha"]
    assert "alpha is 10, the bound of the search by offset" in sentences


def test_a_value_at_an_end_of_its_interval_is_warned_of():
    found = Fit("power", {"A": 5.0, "alpha": 0.3}, 1e-3, 12, HUBER)
    ranges = {"A": Interval(5, 2, 9), "alpha": Interval(0.3, 0.3, 0.4)}
    assert remarks(found, ranges, X, X) == [
        "alpha of power stands at an end of its interval: look for outliers before either is quoted"
    ]


def test_ends_that_a_bound_set_are_no_ends_in_words():
    ends = [(1.8, 1.9), (0.0, 1.9), (1.8, math.inf), (0.0, math.inf), (-0.2, 0.1)]
    words = ["1.8 to 1.9", "at most 1.9", "at least 1.8", "not identified", "-0.2 to 0.1"]
    assert [in_words(Interval(1, *pair)) for pair in ends] == words
    assert in_words(None) == ""

"""Intervals of shares over prompts and images: how often they hold the truth, and what they are in plain cases."""

import numpy as np
import pytest
from scipy.stats import binomtest

from lina_lab.composition.proportions import Proportion, as_metrics, difference, mean, share


def simulated(p: float, alike: float, prompts: int, each: int, rng: np.random.Generator) -> np.ndarray:
    """Right images (prompts, each): prompts' own shares are beta-distributed about p.

    `alike` is the correlation of two images of a prompt.
    """
    if alike == 0:
        return rng.random((prompts, each)) < p
    total = 1 / alike - 1
    return rng.random((prompts, each)) < rng.beta(p * total, (1 - p) * total, (prompts, 1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("p", "alike", "prompts", "each"),
    [(0.5, 0.5, 80, 4), (0.95, 0.7, 80, 4), (0.05, 0.3, 80, 4), (0.9, 0, 84, 1), (0.99, 0, 84, 1), (0.5, 0.2, 12, 8)],
)
def test_the_interval_of_a_share_holds_the_truth_in_19_of_20_sets_of_prompts(p, alike, prompts, each):
    rng = np.random.default_rng(0)
    found = [share(simulated(p, alike, prompts, each, rng)) for _ in range(1000)]
    # With 4 right or wrong images in 80 prompts, how alike they are is itself hardly known.
    assert 0.92 < np.mean([one.low <= p <= one.high for one in found]) < 0.99
    assert all(one.low <= one.value <= one.high for one in found)


def test_the_interval_of_a_mean_is_that_of_independent_shares_and_keeps_their_skew():
    """Four shares whose ends are 0.2 below and 0.1 above: of their mean it is half of that, 1 / √4."""
    found = mean([Proportion(value, value - 0.2, value + 0.1) for value in (0.3, 0.5, 0.6, 0.8)])
    assert found == pytest.approx((0.55, 0.45, 0.6))


@pytest.mark.slow
def test_intervals_of_means_and_differences_hold_the_truth():
    rng = np.random.default_rng(1)
    truths = np.array([0.97, 0.9, 0.6, 0.8, 0.3, 0.05])
    held = np.zeros((1000, 2))
    for place in range(1000):
        shares = [share(simulated(p, 0.4, 40, 4, rng)) for p in truths]
        overall, gap = mean(shares), difference(mean(shares[:3]), mean(shares[3:]))
        held[place] = overall.low <= truths.mean() <= overall.high, gap.low <= 0.44 <= gap.high
    assert truths[:3].mean() - truths[3:].mean() == pytest.approx(0.44)
    assert (held.mean(0) > 0.935).all()
    assert (held.mean(0) < 0.985).all()


def test_the_ends_of_a_difference_are_those_of_its_parts_in_squares():
    found = difference(Proportion(0.9, 0.8, 0.95), Proportion(0.5, 0.45, 0.7))
    assert found == pytest.approx((0.4, 0.4 - np.hypot(0.1, 0.2), 0.4 + np.hypot(0.05, 0.05)))


def test_one_image_a_prompt_is_wilsons_interval():
    right = np.arange(2000)[:, None] < 1700
    exact = binomtest(1700, 2000).proportion_ci(0.95, method="wilson")
    assert share(right)[1:] == pytest.approx((exact.low, exact.high), abs=1e-4)


def test_images_of_a_prompt_that_are_all_alike_count_once():
    right = np.arange(60)[:, None] < 45
    once = share(right)
    assert share(right.repeat(8, axis=1))[:] == pytest.approx(once[:], abs=2e-3)
    assert share(np.ones((60, 8), dtype=bool)) == share(np.ones((60, 1), dtype=bool))
    mixed = np.random.default_rng(2).permutation(right.repeat(8)).reshape(60, 8)
    assert share(mixed).high - share(mixed).low < 0.5 * (once.high - once.low)


def test_shares_of_none_and_all_are_sure_of_one_side_only():
    for right, end in ((np.zeros((50, 2), dtype=bool), 0), (np.ones((50, 2), dtype=bool), 1)):
        found = share(right)
        assert found.value == end
        assert found[1:][end] == end
        assert 0.05 < abs(found[2 - end] - end) < 0.1


def test_one_prompt_has_no_interval():
    with pytest.raises(ValueError, match="needs at least 2, not 1"):
        share(np.ones((1, 8), dtype=bool))


def test_metrics_are_named_with_their_ends():
    assert as_metrics("eval/x", {"a": Proportion(0.5, 0.25, 0.75)}) == {
        "eval/x/a": 0.5,
        "eval/x/a_low": 0.25,
        "eval/x/a_high": 0.75,
    }

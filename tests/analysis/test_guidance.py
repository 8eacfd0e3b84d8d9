"""The search for the best guidance against curves with known minima, its file, and what is said of its end."""

import math

import numpy as np
import pytest

from lina_lab.analysis.guidance import (
    GuidancePoint,
    add_point,
    best_scale,
    guidance_summary,
    is_worse,
    next_scale,
    read_points,
    search,
)
from lina_lab.config.settings import GUIDANCE_GRID as GRID
from lina_lab.config.settings import GUIDANCE_REFINEMENTS as REFINEMENTS
from lina_lab.errors import LabError


def point(guidance_scale=1.0, fid=2.0, deviations=(0.1, -0.1), **changes):
    values = {
        "guidance_scale": guidance_scale,
        "autoregressive_steps": 16,
        "flow_steps": 25,
        "guidance_min": 1.0,
        "sampling_precision": "fp32",
        "seed": 0,
        "num_samples": 500,
        "extractor": "digits-cnn-1a2b3c4d",
        "reference": "held-out",
        "weights": "0123456789ab",
        "flops": 1e9,
        "fid": fid,
        "fid_jackknife": None,
        "kid": 0.25,
        "precision": 0.5,
        "recall": None,
        "seconds": 3.5,
        "fid_deviations": deviations,
    }
    return GuidancePoint(**values | changes)


@pytest.mark.parametrize("truth", [1.1, 1.37, 1.8, 2.24, 2.9, 3.6])
@pytest.mark.parametrize("steepness", [(1.0, 1.0), (6.0, 0.5)])
def test_the_search_finds_a_known_minimum_with_exactly_its_budget(truth, steepness):
    """FID 4 + a x² in x = log(scale / truth), steeper on one side than on the other."""
    asked = []

    def curve(scale):
        asked.append(scale)
        x = math.log(scale / truth)
        return 4 + steepness[x > 0] * x * x

    found = search(curve, GRID, REFINEMENTS)
    assert len(asked) == len(set(asked)) == len(GRID) + REFINEMENTS
    assert asked[: len(GRID)] == list(GRID)
    assert all(1 < scale < 4 for scale in asked[len(GRID) :])
    nearest = min(abs(math.log(scale / truth)) for scale in GRID)
    assert abs(math.log(best_scale(found) / truth)) <= min(nearest, 0.06)


def test_a_noisy_curve_is_searched_about_as_well():
    """Noise of a hundredth of the range: the scale found costs little more FID than the best."""

    def lost(seed):
        noise, truth = np.random.default_rng(seed), 1.2 + 2 * seed / 40

        def curve(scale):
            return 3 * math.log(scale / truth) ** 2

        return curve(best_scale(search(lambda scale: curve(scale) + noise.normal(0, 0.02), GRID, REFINEMENTS)))

    found = [lost(seed) for seed in range(40)]
    assert np.mean(found) < 0.02
    assert max(found) < 0.1


def test_the_first_refinement_is_the_lowest_point_of_the_parabola():
    """In log scale, of which any three points tell all."""
    found = {scale: (math.log(scale) - 0.5) ** 2 for scale in (1.0, 1.5, 2.5)}
    assert next_scale(found) == pytest.approx(math.exp(0.5), rel=1e-3)


def test_at_an_edge_the_gap_beside_it_is_divided():
    golden = (3 - math.sqrt(5)) / 2
    assert next_scale({1.0: 1, 2.0: 2, 4.0: 3}) == pytest.approx(2**golden, rel=1e-3)
    assert next_scale({1.0: 3, 2.0: 2, 4.0: 1}) == pytest.approx(4 / 2**golden, rel=1e-3)


def test_equal_fids_do_not_stop_the_search():
    found = search(lambda scale: 1.0, GRID, REFINEMENTS)
    assert len(found) == len(GRID) + REFINEMENTS
    assert best_scale(found) == 1.0


def test_a_grid_of_one_scale_is_measured_and_no_more():
    assert search(lambda scale: scale, [2.0], 4) == {2.0: 2.0}


def test_points_come_back_to_the_last_bit_and_a_new_one_takes_the_place_of_its_setting(tmp_path):
    path = tmp_path / "guidance.csv"
    assert read_points(path) == []
    first, second = point(1.1, fid=0.1 + 0.2), point(2.0, deviations=())
    add_point(path, first)
    add_point(path, second)
    assert read_points(path) == [first, second]
    add_point(path, better := first._replace(fid=0.25))
    assert read_points(path) == [second, better]
    assert [one.fid_sd for one in read_points(path)] == [None, pytest.approx(0.1)]


def test_a_line_that_is_no_point_is_named(tmp_path):
    path = tmp_path / "guidance.csv"
    add_point(path, point())
    text = path.read_text()
    path.write_text(text.replace(",500,", ",many,"))
    with pytest.raises(LabError, match=r"guidance\.csv:2: must be a point with 18 values: .*many"):
        read_points(path)
    path.write_text(text.rpartition(",")[0] + "\n")
    with pytest.raises(LabError, match=r"guidance\.csv:2: must be a point"):
        read_points(path)
    path.write_text(text.replace(",2.0,", ",,"))  # a FID cannot be missing
    with pytest.raises(LabError, match=r"guidance\.csv:2: must be a point"):
        read_points(path)
    path.write_text("a,b\n")
    with pytest.raises(LabError, match=r"guidance\.csv:1: must have the columns guidance_scale,"):
        read_points(path)


def test_points_of_the_same_seeds_are_told_apart_by_their_paired_difference():
    """Each FID alone has an SD of 0.1; where they move together, a difference of 0.03 is plain."""
    best = point(2.0, fid=1.0, deviations=(0.1, -0.1, 0.1, -0.1))
    together = point(3.0, fid=1.03, deviations=(0.11, -0.11, 0.11, -0.11))
    apart = point(4.0, fid=1.03, deviations=(-0.1, 0.1, 0.1, -0.1))
    assert is_worse(together, best)
    assert not is_worse(apart, best)
    words = guidance_summary([together, best, apart, point(1.0, fid=9.0, deviations=(0.1, -0.1, 0.1, -0.1))])
    assert words == [
        "best guidance_scale of 4 measured: 2, FID 1 ± 0.1",
        "not told from it by 2 standard deviations of the paired difference: 4",
    ]


def test_the_best_at_an_edge_is_said_to_be_there():
    def last(*points, over="guidance_scale"):
        return guidance_summary(points, over)[-1]

    low, high = point(1.5, fid=1.0), point(4.0, fid=2.0)
    assert last(low, high) == "the best is at the lowest edge of what was tried: a better one may lie beyond 1.5"
    highest = last(low, high._replace(fid=0.5))
    assert highest == "the best is at the highest edge of what was tried: a better one may lie beyond 4"
    assert last(point(1.0, fid=0.5), low) == "the best is without guidance: no scale that was tried helps"
    few = [point(flow_steps=5, fid=1.0), point(flow_steps=1, fid=2.0)]
    assert "highest edge of what was tried: a better one may lie beyond 5" in last(*few, over="flow_steps")
    assert not any("edge" in line for line in guidance_summary([low]))


def test_without_noise_nothing_is_said_to_be_told_apart():
    words = guidance_summary([point(1.5, fid=1.0, deviations=()), point(2.0, deviations=()), point(1.0, deviations=())])
    assert words[1] == "the sampling noise of these FIDs is not known, nor how far they are told apart"
    assert "±" not in words[0]

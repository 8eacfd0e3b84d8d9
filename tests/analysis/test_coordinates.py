"""Slopes of activations against width, where they are known in closed form."""

import math
from pathlib import Path

import pytest

from lina_lab.analysis.coordinates import PASSED, TOLERANCE, Moved, check_of, checks_text, parse_checks
from lina_lab.errors import LabError

WIDTHS = (32, 64, 128, 256)


def moved(layer: str, power: float, step: int = 1, widths: tuple[int, ...] = WIDTHS) -> list[Moved]:
    """A layer that moves as width^power in the mean over two seeds."""
    return [
        Moved(layer, width, seed, step, f * 0.3 * width**power) for width in widths for seed, f in ((0, 0.5), (1, 1.5))
    ]


def test_the_slope_is_the_power_of_the_width():
    check = check_of("standard", 1e-3, [*moved("head.out", 1.0), *moved("patch", -0.25), *moved("patch", 0.0, step=2)])
    found = {(growth.layer, growth.step): growth.slope for growth in check.growths}
    assert found == {
        ("head.out", 1): pytest.approx(1),
        ("patch", 1): pytest.approx(-0.25),
        ("patch", 2): pytest.approx(0),
    }
    assert check.worst.layer == "head.out"
    assert not check.passed
    assert check.words == "the coordinate check failed: head.out moves as width^1.00 at step 1"
    assert check.growths[0].change == pytest.approx({width: 0.3 * width for width in WIDTHS})


@pytest.mark.parametrize("power", [TOLERANCE - 0.01, 0.01 - TOLERANCE])
def test_growing_and_vanishing_layers_fail_alike(power):
    assert check_of("mup", 1e-3, [*moved("a", power), *moved("b", 0)]).words == PASSED
    assert not check_of("mup", 1e-3, moved("a", power + math.copysign(0.02, power))).passed


def test_a_layer_that_has_not_moved_yet_is_left_out_and_one_that_moves_at_some_widths_fails():
    still = [Moved("head.modulation", width, 0, 1, 0.0) for width in WIDTHS]
    assert check_of("mup", 1e-3, [*still, *moved("a", 0)]).passed
    check = check_of("mup", 1e-3, [*moved("a", 1), *moved("b", 0), Moved("b", 512, 0, 1, 0.0)])
    assert check.worst.layer == "b"
    assert check.words == "the coordinate check failed: b is not finite, or does not move, at step 1"
    assert not check_of("mup", 1e-3, [*moved("a", 0), Moved("a", 512, 0, 1, math.nan)]).passed


def test_a_document_reads_back_as_it_was_written():
    checks = [check_of("mup", 1e-3, [*moved("a", 0.1), Moved("b", 32, 0, 1, 1.0), Moved("b", 64, 0, 1, 0.0)])]
    again = parse_checks(checks_text(checks), Path("c.json"))
    assert checks_text(again) == checks_text(checks)
    assert again[0].words == checks[0].words


@pytest.mark.parametrize(
    ("text", "says"), [("{", "damaged"), ('{"version": 1}', "damaged"), ('{"version": 2}', "version 1, not 2")]
)
def test_a_damaged_document_is_named(text, says):
    with pytest.raises(LabError, match=f"c.json.*{says}"):
        parse_checks(text, Path("c.json"))

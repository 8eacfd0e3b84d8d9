"""The figure of a coordinate check against the numbers that it shows."""

import numpy as np

from lina_lab.analysis.coordinates import Moved, check_of
from lina_lab.figures.coordinates import COLOURS, coordinates_figure

WIDTHS = (32, 64, 128)


def moved(layer: str, power: float) -> list[Moved]:
    return [Moved(layer, width, 0, step, step * width**power) for width in WIDTHS for step in (1, 4)]


def test_a_panel_a_parametrization_and_a_line_a_layer_dashed_where_it_fails():
    checks = [
        check_of(kind, 1e-3, [*moved("head.out", p), *moved("patch", 0)]) for kind, p in (("standard", 1), ("mup", 0))
    ]
    figure = coordinates_figure(checks)
    standard, mup = figure.axes
    assert standard.get_title().replace("\n", " ") == "standard: slopes of 1 of 2 layers within ±0.3"
    assert mup.get_title().replace("\n", " ") == "mup: slopes of 2 of 2 layers within ±0.3"
    out, patch = standard.lines[:2]
    np.testing.assert_allclose(out.get_xydata(), [(width, 4 * width) for width in WIDTHS])
    np.testing.assert_allclose(patch.get_ydata(), [4, 4, 4])
    assert (out.get_color(), patch.get_color()) == (COLOURS["head"], COLOURS["other"])
    assert out.is_dashed()
    assert not patch.is_dashed()
    assert not any(line.is_dashed() for line in mup.lines)


def test_ticks_are_numbers_and_no_markup():
    """Text is never parsed as mathematics, so a label of matplotlib's own would show its dollars."""
    figure = coordinates_figure([check_of("mup", 1e-3, moved("head.out", 1))])
    figure.canvas.draw()
    words = [tick.get_text() for tick in figure.axes[0].get_yticklabels(which="both")]
    assert any(words)
    assert not any("$" in word for word in words)

"""Loss curves as SVG: what is drawn is where the values are, no peak is lost, no mean is of other seeds than before."""

import math
import re
import time
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lina_lab.design.convolutions import CONV_KERNEL
from lina_lab.design.gates import KV_GATE
from lina_lab.design.normalization import NORMALIZATION
from lina_lab.figures.style import design_looks
from lina_lab.report.loss_curves import (
    BOTTOM,
    BUCKETS,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    DesignRuns,
    Run,
    Span,
    marker,
    panel,
    span,
    swatch,
    thinned,
    together,
)
from lina_lab.report.watch import Curve
from tests.nasty import NASTY

DESIGNS = [
    {"normalization": n, "conv_kernel": k, "kv_gate": g}
    for n in NORMALIZATION.values
    for k in CONV_KERNEL.values
    for g in KV_GATE.values
]
LOOKS = design_looks(DESIGNS)
LOOK = LOOKS(DESIGNS[0])
SVG = "{http://www.w3.org/2000/svg}"


def curve(steps, values):
    return Curve(np.array(steps, np.int64), np.array(values, float))


def drawn(*runs, steps=100, name="a"):
    designs = [DesignRuns(name, LOOK, [run if isinstance(run, Run) else Run(run) for run in runs])]
    text = panel("nano", designs, steps, span(designs))
    return ET.fromstring(text.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))  # noqa: S314


def lines(tree):
    """The points of every line of a design, in the order in which they are drawn."""
    paths = [path.get("d") for path in tree.iter(f"{SVG}path") if path.find(f"{SVG}title") is not None]
    return [[tuple(map(float, place.split(","))) for place in path[1:].split("L")] for path in paths if "h" not in path]


def test_a_value_stands_where_the_axes_say():
    """Heights of ticks and of values are one map: the value of a tick lies on its line."""
    tree = drawn(curve([0, 50, 100], [1.0, 0.5, 0.1]))
    texts = {t.text: float(t.get("y")) - 3.5 for t in tree.iter(f"{SVG}text") if t.get("text-anchor") == "end"}
    ((x, y),) = [line[1] for line in lines(tree)]
    assert x == pytest.approx(LEFT + (WIDTH - LEFT - RIGHT) / 2)
    assert y == pytest.approx(texts["0.5"], abs=0.11)
    assert lines(tree)[0][2][1] == pytest.approx(texts["0.1"], abs=0.11)


@given(st.floats(1e-9, 1e9), st.floats(1e-6, 1e6))
def test_ticks_are_within_the_axis_and_few(low, more):
    axis = span([DesignRuns("a", LOOK, [Run(curve([1, 2], [low, low + more]))])])
    ticks = axis.ticks()
    assert all(axis.low <= tick <= axis.high for tick in ticks)
    assert len(ticks) <= 7
    places = axis.places(np.array([axis.low, axis.high]))
    assert places.tolist() == pytest.approx([HEIGHT - BOTTOM, TOP])


def test_an_axis_of_values_that_are_not_above_0_is_linear():
    assert not span([DesignRuns("a", LOOK, [Run(curve([1, 2], [-1.0, 1.0]))])]).is_log
    assert Span(0.1, 1.0).is_log
    assert math.isfinite(Span(0.1, 1.0).places(np.array([-1.0]))[0])


def test_a_run_that_diverged_does_not_set_the_axis():
    sound, wild = Run(curve([1, 2], [1.0, 0.5])), Run(curve([1, 2], [1.0, 1e30]), diverged=True)
    assert span([DesignRuns("a", LOOK, [sound, wild])]).high < 2
    assert span([DesignRuns("a", LOOK, [wild])]).high > 1e29
    assert span([DesignRuns("a", LOOK, [])]) is None


def test_a_mean_is_of_all_seeds_and_only_where_all_are():
    """Otherwise the line would jump where one seed ends, without any loss having changed."""
    first, second = curve(range(10), np.arange(10.0)), curve(range(6), np.arange(6.0) + 2)
    seeds = together([Run(first), Run(second), Run(curve([0], [1e9]), diverged=True)])
    assert seeds.mean.steps.tolist() == list(range(6))
    assert seeds.mean.values.tolist() == (np.arange(6.0) + 1).tolist()
    assert (seeds.low.tolist(), seeds.high.tolist()) == (np.arange(6.0).tolist(), (np.arange(6.0) + 2).tolist())
    rest, diverged = seeds.single
    assert rest.steps.tolist() == [5, 6, 7, 8, 9]
    assert diverged.values.tolist() == [1e9]


def test_seeds_without_a_common_step_stand_alone():
    seeds = together([Run(curve([1, 2], [1, 1])), Run(curve([3], [2]))])
    assert len(seeds.mean.steps) == 0
    assert [single.steps.tolist() for single in seeds.single] == [[1, 2], [3]]
    assert together([]).single == []


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=2000))
def test_a_thinned_line_keeps_both_ends_and_its_extremes(values):
    values = np.array(values)
    kept = thinned(values)
    assert (kept[0], kept[-1]) == (0, len(values) - 1)
    assert (values[kept].min(), values[kept].max()) == (values.min(), values.max())
    assert (np.diff(kept) > 0).all()
    assert len(kept) <= 2 * BUCKETS + 2


def test_one_point_is_a_dot():
    tree = drawn(curve([50], [1.0]))
    assert [p.get("d") for p in tree.iter(f"{SVG}path") if (p.get("d") or "").endswith("h0")]


def test_seeds_are_a_band():
    tree = drawn(curve([0, 100], [1.0, 0.5]), curve([0, 100], [2.0, 1.0]))
    (band,) = [p.get("d") for p in tree.iter(f"{SVG}path") if p.get("fill-opacity")]
    assert len(band.split("L")) == 4
    assert not [p for p in drawn(curve([0, 100], [1.0, 0.5])).iter(f"{SVG}path") if p.get("fill-opacity")]


@pytest.mark.parametrize("name", [name for name in NASTY if name.isprintable()])
def test_a_name_is_a_name(name):
    tree = drawn(curve([0, 100], [1.0, 0.5]), name=name)
    assert {title.text for title in tree.iter(f"{SVG}title")} == {name}
    assert not list(tree.iter(f"{SVG}script"))


def test_no_two_designs_of_the_figures_have_the_same_swatch():
    swatches = [swatch(LOOKS(values)) for values in DESIGNS]
    assert len(set(swatches)) == len(DESIGNS) > 60


def test_a_marker_is_around_its_point():
    for values in DESIGNS:
        look = LOOKS(values)
        drawn = marker((look["marker"], look["fillstyle"], look["color"], look["markerfacecolor"]))
        places = np.array([float(n) for d in re.findall(r' d="([^"]*)"', drawn) for n in re.findall(r"-?[\d.]+", d)])
        assert 2.5 < np.abs(places).max() < 5


@pytest.mark.slow
def test_a_large_sweep_is_drawn_in_a_second():
    """120 cells of 5,000 steps: 8 designs, 5 sizes, 3 seeds, two metrics."""
    draw = np.random.default_rng(0)
    steps = np.arange(5000)
    runs = [Run(Curve(steps, 1 / (1 + steps) + draw.uniform(0.1, 0.2, 5000))) for _ in range(3)]
    designs = [DesignRuns(str(values), LOOKS(values), runs) for values in DESIGNS[:8]]
    began = time.process_time()
    whole = [panel("nano", designs, 5000, span(designs)) for _ in range(10)]
    assert time.process_time() - began < 1
    assert sum(map(len, whole)) < 2_000_000

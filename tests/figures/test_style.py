"""Looks of designs, as a printer without colour sees them."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lina_lab.design.axes import AXES
from lina_lab.design.gates import KVGate
from lina_lab.errors import LabError
from lina_lab.figures.style import design_looks, design_style

SHIPPED = [
    {"normalization": n, "conv_kernel": k, "kv_gate": g}
    for n in AXES["normalization"].values
    for k in AXES["conv_kernel"].values
    for g in AXES["kv_gate"].values
]

GOLDEN = Path(__file__).parents[1] / "golden" / "looks.json"


def ink(look: dict[str, Any], *, line: bool = True) -> bytes:
    """What a look leaves on paper, in black: a line with two markers, or a marker alone."""
    figure = Figure(figsize=(1.0, 0.4))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    black = {name: "white" if value == "white" else "black" for name, value in look.items() if "color" in name}
    axes.plot([0, 1], [0, 0], **(look | black | ({} if line else {"linestyle": "none"})))
    axes.set(xlim=(-0.2, 1.2))
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., 0].tobytes()


@pytest.mark.slow
def test_the_shipped_designs_of_one_figure_all_differ_in_print_without_colour():
    look = design_looks(SHIPPED)
    assert len(SHIPPED) > 78
    assert len({ink(look(design)) for design in SHIPPED}) == len(SHIPPED)
    some = design_looks(SHIPPED[::2])
    assert len(SHIPPED[::2]) <= 78
    assert len({ink(some(design), line=False) for design in SHIPPED[::2]}) == len(SHIPPED[::2])


@pytest.mark.parametrize(
    ("axis", "values"),
    [
        ("feature_map", ["relu", "elu1", "identity"]),
        ("sequence_conv", ["none", "fixed_5", "generated_3", "generated_5"]),
        ("memory_groups", [1, 2, 4, 8]),
        ("learning_rate", [1e-3, 2e-3, 4e-3]),
        ("softmax_every", [None, 2, 4]),
        pytest.param("anything", [f"value {n}" for n in range(78)], marks=pytest.mark.slow),
    ],
)
def test_designs_that_differ_on_any_axis_differ_in_print(axis, values):
    """Whatever the axis, alone or beside others, with markers alone."""
    alone = [{axis: value} for value in values]
    look = design_looks(alone)
    assert len({ink(look(design), line=False) for design in alone}) == len(values)
    beside = [{"normalization": "subtraction", "conv_kernel": k, axis: v} for k in (0, 5) for v in values]
    look = design_looks(beside)
    assert len({ink(look(design)) for design in beside}) == len(beside)


@pytest.mark.slow
def test_more_designs_than_there_are_looks_still_get_one_and_neighbours_differ():
    many = [{"anything": number} for number in range(1000)]
    look = design_looks(many)
    inks = [ink(look(design)) for design in many[300:330]]
    assert len(set(inks)) == 30


@pytest.mark.parametrize(
    "design",
    [{"kv_gate": "new"}, {"conv_kernel": 9}, {"conv_kernel": None}, {"normalization": None}],
)
def test_a_value_without_a_look_raises_and_gets_that_of_no_other(design):
    (axis,) = design
    with pytest.raises(LabError, match=rf"{axis} {design[axis]} has no look in figures; known are"):
        design_style(design)


def test_designs_look_as_in_earlier_figures_alone_and_together():
    """Marker, filling, face, colour and line."""
    parts = ("marker", "fillstyle", "markerfacecolor", "color", "linestyle")
    golden = json.loads(GOLDEN.read_text())
    together = design_looks(design for design, *_ in golden)
    for design, alone, among_all in golden:
        for look, expected in ((design_style(design), alone), (together(design), among_all)):
            assert json.loads(json.dumps([look[part] for part in parts])) == expected, design


@pytest.mark.slow
def test_a_new_gate_is_drawn_as_its_entry_says_and_as_no_other(monkeypatch):
    new = KVGate("formula", "source", weights=("key",), marker="h")
    monkeypatch.setitem(AXES["kv_gate"].values, "new", new)
    designs = [*SHIPPED, *(design | {"kv_gate": "new"} for design in SHIPPED if design["kv_gate"] == "none")]
    look = design_looks(designs)
    looks = {ink(look(design)) for design in designs}
    assert len(looks) == len(designs)
    assert design_style({"kv_gate": "new"})["marker"] == "h"


def test_a_users_normalizations_look_like_no_other_and_each_keeps_its_colour():
    own = [{"normalization": n, "conv_kernel": k} for n in ("mine", "<b>$x$") for k in (0, 5)]
    look = design_looks([*SHIPPED, *own])
    assert len({ink(look(design)) for design in [*SHIPPED, *own]}) == len(SHIPPED) + len(own)
    colours = [look(design)["color"] for design in own]
    assert colours[0] == colours[1] != colours[2] == colours[3]
    assert not set(colours) & {value.colour for value in AXES["normalization"].values.values()}


def test_every_shipped_value_has_a_look():
    for axis in ("normalization", "conv_kernel", "kv_gate"):
        for value in AXES[axis].values:
            assert design_style({axis: value})


def test_a_design_keeps_its_look_in_every_order_and_study_and_as_a_table_has_it():
    few = [design for design in SHIPPED if design["kv_gate"] in {"none", "key_value"}]
    for some in itertools.permutations([few[0], few[5], few[9]]):
        look = design_looks(some)
        assert all(look(design) == design_style(design) for design in some)
    reordered = dict(reversed(few[0].items()))
    assert design_looks(few)(reordered) == design_looks(few)(few[0])
    look = design_looks([{"flow_steps_last": None}])
    assert look({"flow_steps_last": float("nan")}) == look({"flow_steps_last": None})


@pytest.mark.parametrize(
    ("axis", "usual", "other"),
    [
        ("output_gate", "none", "sigmoid"),
        ("memory_groups", 1, 4),
        ("sequence_conv", "none", "fixed_5"),
        ("conv_weights", "fixed", "generated"),
        ("position", "table", "rotary"),
        ("softmax_every", None, 8),
        ("flow_steps_last", None, 5),
        ("feature_map", "relu", "elu1"),
    ],
)
def test_a_change_of_a_younger_axis_is_seen_and_its_usual_value_is_not(axis, usual, other):
    for normalization in AXES["normalization"].values:
        plain = {"normalization": normalization}
        assert design_style(plain | {axis: usual}) == design_style(plain)
        assert design_style(plain | {axis: other}) != design_style(plain)

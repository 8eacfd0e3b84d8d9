"""Panels: which designs share one, how wide figures are on paper, and that no words lie on others."""

import itertools
import re
import zlib
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.text import Text
from PIL import Image

from lina_lab.analysis import gap_model
from lina_lab.analysis.ablation import ablation_table
from lina_lab.analysis.report_data import report_data_of_ledger
from lina_lab.figures.panels import MOST, apart, grouped, legend_below, name_ends, panel_grid
from lina_lab.figures.style import COLUMN, DPI, PAGE, SMALL, save, style
from lina_lab.report import page as report_page
from tests.study import AXES, TWO

NONE = pd.DataFrame()


def words_of(figure):
    """Every word that is drawn, with its box in pixels."""
    drawn = []
    with mock.patch.object(Text, "draw", lambda text, renderer: drawn.append(text)):
        figure.canvas.draw()
    seen = [text for text in drawn if text.get_visible() and text.get_text().strip()]
    return [(text.get_text(), Text.get_window_extent(text)) for text in seen]


def overlapping(figure):
    """Pairs of words whose boxes share more than a pixel, and words that leave the figure."""
    seen = words_of(figure)
    pairs = [
        (a, b)
        for (a, one), (b, two) in itertools.combinations(seen, 2)
        if min(one.x1, two.x1) - max(one.x0, two.x0) > 1 and min(one.y1, two.y1) - max(one.y0, two.y0) > 1
    ]
    width, height = figure.get_size_inches() * figure.dpi
    outside = [word for word, box in seen if min(box.x0, box.y0) < -2 or box.x1 > width + 2 or box.y1 > height + 2]
    return pairs, outside


def designs_of(**axes):
    return [(dict(zip(axes, values, strict=True)), NONE) for values in itertools.product(*axes.values())]


@pytest.mark.parametrize(
    ("axes", "titles"),
    [
        ({"a": [1, 2], "b": [1, 2]}, [""]),
        ({"a": [1, 2, 3], "b": [1, 2], "c": [1, 2]}, ["a 1", "a 2", "a 3"]),
        ({"a": range(2), "b": range(5)}, ["a 0", "a 1"]),
        ({"a": range(13)}, ["a, 1 of 3", "a, 2 of 3", "a, 3 of 3"]),
        ({"a": range(4), "b": range(5), "c": range(2)}, [f"a {a}, c {c}" for a in range(4) for c in range(2)]),
    ],
)
def test_panels_are_the_fewest_that_an_axis_makes(axes, titles):
    assert [group.title for group in grouped(designs_of(**axes), list(axes))] == titles


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(1, 7))
def test_every_design_is_in_one_panel_and_none_has_too_many(counts, most):
    axes = {f"axis {number}": range(count) for number, count in enumerate(counts)}
    whole = designs_of(**axes)
    groups = grouped(whole, list(axes), most=most)
    assert sorted(map(str, (values for group in groups for values, _ in group.designs))) == sorted(
        str(values) for values, _ in whole
    )
    assert max(len(group.designs) for group in groups) <= most
    assert len({group.title for group in groups}) == len(groups)


def test_a_name_in_a_panel_leaves_out_what_its_title_says():
    first = grouped(
        designs_of(normalization=["division", "softmax", "subtraction"], conv_kernel=[0, 5]),
        ["normalization", "conv_kernel"],
    )[0]
    assert first.title == "no conv"
    assert [first.label(values) for values, _ in first.designs] == ["division", "softmax", "subtraction"]


@given(st.lists(st.floats(-1, 2), min_size=1, max_size=8), st.floats(0.01, 0.3))
def test_names_are_moved_apart_as_little_as_it_takes(heights, room):
    placed = apart(heights, room)
    inorder = [place for _, place in sorted(zip(heights, placed, strict=True))]
    assert all(above - below >= room - 1e-9 for below, above in itertools.pairwise(inorder))
    assert np.mean(placed) == pytest.approx(np.mean(heights), abs=1e-9)  # least squares moves no mean
    wide = [10.0 * number for number in range(len(heights))]
    assert apart(wide, room) == pytest.approx(wide)


@pytest.mark.parametrize(("columns", "inches"), [(1, COLUMN), (2, PAGE)])
def test_files_are_as_wide_as_a_column_or_a_page_and_need_no_font(tmp_path, columns, inches):
    with style():
        grid = panel_grid(3, columns, 1.5, columns, "both")
        for panel in grid.panels:
            panel.plot([1, 2], [2, 1], label="a $name$ & <another>")
            panel.set_xlabel("parameters")
        legend_below(grid.figure)
    save(grid.figure, tmp_path / "a", ("png", "pdf", "svg"))
    pdf = (tmp_path / "a.pdf").read_bytes()
    (box,) = re.findall(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", pdf)
    assert float(box[0]) == pytest.approx(72 * inches)
    assert b"/FontFile2" in pdf  # embedded TrueType
    assert b"/Type3" not in pdf
    with Image.open(tmp_path / "a.png") as image:
        assert image.width == DPI * inches
    svg = (tmp_path / "a.svg").read_text()
    assert f'width="{72 * inches:g}pt"' in svg
    assert "<text" not in svg
    assert "font" not in re.sub(r"<!--.*?-->", "", svg)
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, flags=re.DOTALL)
    content = b"".join(zlib.decompress(s) for s in streams if s[:1] == b"x")
    sizes = {float(size) for size in re.findall(rb"/\S+ ([\d.]+) Tf", content)}
    assert sizes
    assert all(SMALL <= size <= 9 for size in sizes)


def test_a_grid_has_no_empty_frames():
    grid = panel_grid(5, 2, 1.0, 3)
    assert len(grid.figure.axes) == len(grid.panels) == 5
    assert [len(row) for row in grid.rows] == [3, 2]
    assert grid.lowest == grid.panels[2:]


def test_names_at_the_ends_of_lines_that_meet_do_not_meet():
    with style():
        grid = panel_grid(1, 1, 2.0)
        for number in range(MOST):
            grid.panels[0].plot([1, 2], [number, 1 + 0.001 * number], label=f"design {number}")
        grid.panels[0].plot([1, 2], [1, np.nan], label="no end")
        grid.panels[0].plot([], [], label="nothing")
        name_ends(grid.figure, grid.panels)
    assert [text.get_text() for text in grid.panels[0].texts] == [*(f"design {n}" for n in range(MOST)), "no end"]
    assert overlapping(grid.figure) == ([], [])


def test_words_that_overlap_would_be_seen():
    grid = panel_grid(1, 1, 2.0)
    grid.panels[0].text(0.5, 0.5, "one")
    grid.panels[0].text(0.5, 0.5, "two")
    grid.panels[0].text(2, 0.7, "far")
    grid.figure.set_layout_engine("none")
    assert overlapping(grid.figure) == ([("one", "two")], ["far"])


FORTY = {
    "model.attention.conv_kernel": [0, 3, 5, 7],
    "model.attention.kv_gate": ["none", "key", "value", "key_value", "key_value_split"],
    "model.attention.feature_map": ["relu", "elu1"],
    "model.size": ["nano", "micro"],
}
STUDIES = {
    "four designs": (AXES, [0, 1]),
    "one size": (AXES | {"model.size": ["nano"]}, [0]),
    "one design": ({"model.size": ["nano", "micro", "tiny", "small"]}, [0, 1]),
    "two cells": (TWO, [0]),
    "forty designs": (FORTY, [0]),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("hostile", [False, True])
def test_no_figure_of_a_report_has_words_on_words_and_all_fit_a_column_or_a_page(study, monkeypatch, name, hostile):
    monkeypatch.setattr(gap_model, "DRAWS", 2)
    axes, seeds = STUDIES[name]
    made = study(axes=axes, seeds=seeds)
    data = report_data_of_ledger(made.runs, made.stored)
    data.table.loc[data.table.index[0], "eval/fid/digits-cnn"] *= 30
    data.table.loc[data.table.index[-1], ["eval/kid/digits-cnn", "training_seconds"]] = np.nan
    if hostile:
        data = renamed(data)
    results = report_page.study_findings(data, lambda share: None, lambda line: None)
    effects = ablation_table(data.table, data.plan, results.metric)
    figures = report_page.study_figures(data, results, effects, data.gates)
    for which, figure in figures.items():
        if figure is not None:
            assert float(figure.get_figwidth()) in {COLUMN, PAGE}, which
            assert overlapping(figure) == ([], []), which


def renamed(data):
    """With values of an axis as a stranger might name them."""
    axis = next(iter(data.plan.axes))
    if axis == "size":
        return data
    names = {value: f"$x^2$ <b>{value}</b> & {'a very long name of a value ' * 2}" for value in set(data.table[axis])}
    cells = tuple(c._replace(values=c.values | {axis: names[c.values[axis]]}) for c in data.plan.cells)
    axes = {("dial" if a == axis else a): path for a, path in data.plan.axes.items()}
    cells = tuple(c._replace(values={("dial" if a == axis else a): v for a, v in c.values.items()}) for c in cells)
    table = data.table.assign(**{axis: data.table[axis].map(names)}).rename(columns={axis: "dial"})
    table.attrs["axes"] = list(axes)
    return data._replace(table=table, plan=data.plan._replace(axes=axes, cells=cells))

"""Figures against the numbers that they show."""

import math
from collections import Counter

import matplotlib as mpl
import pytest

from lina_lab.analysis.interval import mean_interval
from lina_lab.analysis.report_data import curves_table, report_data_of_ledger
from lina_lab.analysis.scale import RATIO
from lina_lab.analysis.study_metric import metric_of
from lina_lab.analysis.table import results_table
from lina_lab.figures.curves import length_figure, training_figure
from lina_lab.figures.panels import BEHIND
from lina_lab.figures.scaling import human, scaling_figure
from lina_lab.figures.style import PAGE, new_figure, save, style
from tests.study import TWO

FID = "eval/fid/digits-cnn"


def drawn(figure):
    """The error bars of each line by its label: x, y, lower end, upper end."""
    found = {}
    for container in figure.axes[0].containers:
        x, y = container.lines[0].get_data()
        ends = [segment[:, 1] for segment in container.lines[2][0].get_segments()]
        found[container.get_label()] = (list(x), list(y), [e.min() for e in ends], [e.max() for e in ends])
    return found


def shown(panel):
    """The lines of a panel's own designs, by their names."""
    return {line.get_label(): line for line in panel.lines if not line.get_label().startswith("_")}


@pytest.mark.slow
def test_one_line_a_design_with_the_tables_values(study):
    made = study()
    lines = drawn(scaling_figure(results_table(made.runs, made.stored), made.stored))
    assert list(lines) == [f"{n}{conv}" for n in ("division", "subtraction") for conv in ("", " + conv")]
    x, y, low, high = lines["subtraction + conv"]
    assert x == pytest.approx([105_000, 405_000], rel=0.06)  # bars of one size stand side by side
    assert y == pytest.approx([44, 27.5])
    assert low == pytest.approx([43.5, 27.0])  # one seed: a standard deviation of 0.5 either way
    assert high == pytest.approx([44.5, 28.0])


@pytest.mark.slow
def test_with_seeds_the_bars_are_the_t_interval_of_the_logs(study):
    made = study(seeds=[0, 1, 2])
    x, y, low, high = drawn(scaling_figure(results_table(made.runs, made.stored), made.stored))["division"]
    expected = RATIO.interval(mean_interval([math.log(80 * f) for f in (1.0, 1.02, 1.04)]))
    assert (y[0], low[0], high[0]) == pytest.approx(expected)
    assert x == pytest.approx([100_000, 400_000], rel=0.06)


@pytest.mark.slow
def test_the_figure_says_what_the_bars_are(study):
    made = study()
    assert "one seed" in scaling_figure(results_table(made.runs, made.stored), made.stored).get_suptitle()
    made = study(seeds=[0, 1])
    told = scaling_figure(results_table(made.runs, made.stored), made.stored).get_suptitle()
    assert told == "bars: 95 % t interval over training seeds"


@pytest.mark.slow
def test_a_diverged_cell_is_marked_and_not_silently_missing(study):
    made = study()
    made.change(0, state="diverged", diverged_at=17, metrics={})
    figure = scaling_figure(results_table(made.runs, made.stored), made.stored)
    assert figure.get_suptitle().replace("\n", " ").endswith("x: a cell that diverged")
    crosses = [line.get_xdata() for line in figure.axes[0].lines if line.get_marker() == "x"]
    assert [list(x) for x in crosses if len(x)] == [[100_000]]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_a_figure_has_the_same_bytes_twice(study, tmp_path, kind):
    made = study()
    for name in ("a", "b"):
        save(scaling_figure(results_table(made.runs, made.stored), made.stored), tmp_path / name, (kind,))
    assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


@pytest.mark.slow
def test_training_curves_are_against_samples_seen(study):
    made = study()
    table = results_table(made.runs, made.stored)
    curves = curves_table(made.runs, table)
    assert curves["samples"].tolist()[:2] == [400, 800]
    assert curves["loss"].tolist()[:2] == pytest.approx([80 / 50, 80 / 100])
    panels = training_figure(curves, table, made.stored).axes
    assert [panel.get_title() for panel in panels] == ["nano", "micro"]
    assert all(len(shown(panel)) == 4 for panel in panels)
    assert [text.get_text() for text in panels[0].texts] == []  # names stand at the last panel of a row
    assert {text.get_text() for text in panels[1].texts} == set(shown(panels[1]))


@pytest.mark.parametrize(("count", "text"), [(111_364, "111k"), (1_526_788, "1.53M"), (2e9, "2B"), (12, "12")])
def test_counts_are_short(count, text):
    assert human(count) == text


@pytest.mark.slow
def test_forty_designs_stand_in_panels_of_five_at_most_before_all_others_in_grey(study):
    axes = {
        "model.attention.conv_kernel": [0, 3, 5, 7],
        "model.attention.kv_gate": ["none", "key", "value", "key_value", "key_value_split"],
        "model.attention.feature_map": ["relu", "elu1"],
        "model.size": ["nano", "micro"],
    }
    made = study(axes=axes)
    table = results_table(made.runs, made.stored)
    figure = scaling_figure(table, made.stored)
    assert figure.get_figwidth() == PAGE
    names = [(panel.get_title(), c.get_label()) for panel in figure.axes for c in panel.containers]
    assert len(set(names)) == 40
    assert Counter(title for title, _ in names).most_common(1)[0][1] <= 5
    for panel in figure.axes:
        grey = [line for line in panel.lines if line.get_color() == BEHIND["color"]]
        assert len(grey) == 40 - len(panel.containers)
    curves = training_figure(curves_table(made.runs, table), table, made.stored)
    assert all(len(shown(panel)) <= 5 for panel in curves.axes)
    assert sum(len(shown(panel)) for panel in curves.axes) == 40 * 2


@pytest.mark.slow
def test_a_users_matplotlibrc_changes_no_byte_of_a_figure(tmp_path):
    def drawn(name: str) -> bytes:
        with style():
            figure = new_figure(3, 2)
            axes = figure.add_subplot()
            axes.plot([1, 2], [2, 1], label="a")
            axes.legend()
        save(figure, tmp_path / name, ("png", "svg"))
        return (tmp_path / f"{name}.png").read_bytes() + (tmp_path / f"{name}.svg").read_bytes()

    plain = drawn("plain")
    own = {
        "text.usetex": True,
        "font.size": 30,
        "lines.linewidth": 9,
        "savefig.facecolor": "black",
        "font.family": "serif",
    }
    with mpl.rc_context(own | {"axes.prop_cycle": mpl.cycler("color", ["red"]), "figure.dpi": 20}):
        assert drawn("own") == plain
        assert mpl.rcParams["font.size"] == 30  # the user's own, as before


def test_fid_along_the_runs_goes_through_every_point_and_the_end(study):
    made = study(axes=TWO)
    made.add_points()
    data = report_data_of_ledger(made.runs, made.stored)
    lines = length_figure(data.points, data.table, made.stored, metric_of(FID)).axes[0].get_lines()
    assert [line.get_xdata().tolist() for line in lines] == [[200, 400, 800]] * 2
    assert lines[0].get_ydata() == pytest.approx([160, 80 * 2**0.5, 80])
    assert length_figure(data.points.iloc[:0], data.table, made.stored, metric_of(FID)) is None

"""Figures against the numbers that they show."""

import math

import matplotlib as mpl
import numpy as np
import pytest
import torch

from lina_lab.analysis.interval import mean_interval
from lina_lab.analysis.report_data import curves_table, report_data_of_ledger
from lina_lab.analysis.samples import samples_of_ledger
from lina_lab.analysis.scale import RATIO
from lina_lab.analysis.study_metric import metric_of
from lina_lab.analysis.table import results_table
from lina_lab.figures.curves import length_figure, training_figure
from lina_lab.figures.samples import samples_sheets
from lina_lab.figures.scaling import human, scaling_figure
from lina_lab.figures.style import new_figure, save, style
from lina_lab.model.lina import Lina
from lina_lab.sampling.generate import generate
from tests.cells import experiment
from tests.study import AXES, TWO

FID = "eval/fid/digits-cnn"


def drawn(figure):
    """The error bars of each line by its label: x, y, lower end, upper end."""
    found = {}
    for container in figure.axes[0].containers:
        x, y = container.lines[0].get_data()
        ends = [segment[:, 1] for segment in container.lines[2][0].get_segments()]
        found[container.get_label()] = (list(x), list(y), [e.min() for e in ends], [e.max() for e in ends])
    return found


@pytest.mark.slow
def test_one_line_a_design_with_the_tables_values(study):
    made = study()
    lines = drawn(scaling_figure(results_table(made.runs, made.stored), made.stored))
    assert list(lines) == [f"{n}{conv}" for n in ("division", "subtraction") for conv in ("", " + conv")]
    x, y, low, high = lines["subtraction + conv"]
    assert x == [105_000, 405_000]
    assert y == pytest.approx([44, 27.5])
    assert low == pytest.approx([43.5, 27.0])  # one seed: a standard deviation of 0.5 either way
    assert high == pytest.approx([44.5, 28.0])


@pytest.mark.slow
def test_with_seeds_the_bars_are_the_t_interval_of_the_logs(study):
    made = study(seeds=[0, 1, 2])
    x, y, low, high = drawn(scaling_figure(results_table(made.runs, made.stored), made.stored))["division"]
    expected = RATIO.interval(mean_interval([math.log(80 * f) for f in (1.0, 1.02, 1.04)]))
    assert (y[0], low[0], high[0]) == pytest.approx(expected)
    assert x == [100_000, 400_000]


@pytest.mark.slow
def test_the_legend_says_what_the_bars_are(study):
    made = study()
    legend = scaling_figure(results_table(made.runs, made.stored), made.stored).axes[0].get_legend()
    assert "one seed" in legend.get_title().get_text()
    made = study(seeds=[0, 1])
    legend = scaling_figure(results_table(made.runs, made.stored), made.stored).axes[0].get_legend()
    assert "95 % t interval over training seeds" in legend.get_title().get_text()


@pytest.mark.slow
def test_a_diverged_cell_is_marked_and_not_silently_missing(study):
    made = study()
    made.change(0, state="diverged", diverged_at=17, metrics={})
    figure = scaling_figure(results_table(made.runs, made.stored), made.stored)
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert "division: diverged" in labels


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
    assert all(len(panel.lines) == 4 for panel in panels)


def draw_samples(made, index, numbers, side=8):
    """A cell's 20 images of 10 classes in the order of `numbers`; each is as bright as its number."""
    numbers = np.array(list(numbers))
    path = made.folder(index) / "samples" / "generated.npz"
    path.parent.mkdir()
    images = np.broadcast_to((10 * numbers)[:, None, None, None], (20, side, side, 3)).astype(np.uint8)
    names = np.array(["T-shirt", *map(str, range(1, 10))])
    np.savez(path, arr_0=images, labels=numbers % 10, numbers=numbers, classes=names[numbers % 10])


def sheets_of(made):
    table = results_table(made.runs, made.stored)
    return samples_sheets(samples_of_ledger(made.runs, table), table, made.stored)


def test_every_column_of_the_samples_has_one_class_and_one_noise_whatever_their_order(study):
    made = study()
    assert sheets_of(made) == {}
    draw_samples(made, 0, range(20))
    draw_samples(made, 3, reversed(range(20)))
    sheets = sheets_of(made)
    pixels = np.asarray(sheets["samples"])
    assert list(sheets) == ["samples"]
    middles = pixels[:, -90 * 10 + 1 :: 90][:, :, 0]  # just within the left edge of each of ten columns
    rows = [row.tolist() for row in middles if 60 in row]
    assert rows == [rows[0]] * 2 * 88
    assert rows[0] == [10 * number for number in range(10)]


@pytest.mark.slow
def test_of_many_cells_the_first_sheet_shows_the_largest_size(study):
    made = study(axes=AXES | {"model.size": ["nano", "micro", "tiny", "small"]})
    for index in range(16):
        draw_samples(made, index, range(20))
    sheets = sheets_of(made)
    assert list(sheets) == ["samples", "samples-all"]
    assert sheets["samples"].height < sheets["samples-all"].height / 3
    assert sheets["samples"].width <= 960


def test_two_designs_of_one_seed_draw_from_the_same_noise():
    """With weights that answer nothing, all that is left of two designs is their noise."""
    images = []
    for kernel, normalization in ((0, "division"), (5, "subtraction")):
        attention = {"conv_kernel": kernel, "normalization": normalization}
        cell = experiment(model__attention=attention)
        model = Lina(cell.model, cell.data.shape).eval()
        for weights in model.parameters():
            torch.nn.init.zeros_(weights)
        images.append(generate(model, torch.tensor([3, 7]), cell.sampling, seed=4))
    assert images[0].float().std() > 1
    assert torch.equal(*images)


@pytest.mark.parametrize(("count", "text"), [(111_364, "111k"), (1_526_788, "1.53M"), (2e9, "2B"), (12, "12")])
def test_counts_are_short(count, text):
    assert human(count) == text


@pytest.mark.slow
def test_forty_designs_stand_in_rows_of_panels_of_six_at_most_and_no_picture_is_wider_than_a_page(study):
    axes = {
        "model.attention.conv_kernel": [0, 3, 5, 7],
        "model.attention.kv_gate": ["none", "key", "value", "key_value", "key_value_split"],
        "model.attention.feature_map": ["relu", "elu1"],
        "model.size": ["nano", "micro"],
    }
    made = study(axes=axes)
    table = results_table(made.runs, made.stored)
    figure = scaling_figure(table, made.stored)
    assert max(figure.get_size_inches()) <= 60
    assert figure.get_figwidth() < 15.1
    legends = [panel.get_legend() for panel in figure.axes if panel.get_legend()]
    labels = [[text.get_text() for text in legend.get_texts()] for legend in legends]
    assert all(len(some) <= 6 for some in labels)
    assert len({label for some in labels for label in some}) == sum(map(len, labels)) == 40
    curves = training_figure(curves_table(made.runs, table), table, made.stored)
    assert all(len(panel.lines) <= 6 for panel in curves.axes)
    assert sum(len(panel.lines) for panel in curves.axes) == 40 * 2


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

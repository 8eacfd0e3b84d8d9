"""The forest plot against the table that it shows."""

import numpy as np
import pytest

from lina_lab.analysis.ablation import ablation_table
from lina_lab.analysis.study_metric import metric_of
from lina_lab.analysis.table import results_table
from lina_lab.figures.forest import forest_figure
from tests.study import TWO

FID = "eval/fid/digits-cnn"


def noisy(made):
    table = results_table(made.runs, made.stored)
    table[FID] *= np.exp(np.random.default_rng(0).normal(0, 0.05, len(table)))
    return table


def drawn(figure):
    """Markers (ratio, shape) and bars (low, high), in the order of the rows, and the marks themselves."""
    lines = [line for panel in figure.axes for line in panel.lines]
    marks = [line for line in lines if line.get_marker() in {"D", "o"}]
    bars = [line.get_xdata() for line in lines if line.get_marker() == "None" and len(set(line.get_xdata())) > 1]
    return [(line.get_xdata()[0], line.get_marker()) for line in marks], [tuple(bar) for bar in bars], marks


@pytest.mark.slow
def test_markers_and_bars_are_the_tables_numbers(study):
    made = study(seeds=[0, 1, 2])
    effects = ablation_table(noisy(made), made.stored, metric_of(FID))
    figure = forest_figure(effects, metric_of(FID), made.stored)
    marks, bars, _ = drawn(figure)
    assert [m[0] for m in marks] == pytest.approx(effects["ratio"].tolist())
    assert bars == [pytest.approx(pair) for pair in effects[["low", "high"]].to_numpy().tolist()]
    assert [m[1] for m in marks] == ["D", "o", "o"] * 2
    titles = [panel.get_title(loc="left") for panel in figure.axes]
    assert titles == ["subtraction / division, 12 pairs", "conv / no conv, 12 pairs"]
    for panel in figure.axes:
        assert [label.get_text() for label in panel.get_yticklabels()] == ["all sizes", "nano", "micro"]
        assert panel.get_xscale() == "log"
        assert panel.get_xlim() == figure.axes[0].get_xlim()


@pytest.mark.slow
def test_the_text_beside_a_row_has_its_numbers(study):
    made = study(seeds=[0, 1, 2])
    effects = ablation_table(noisy(made), made.stored, metric_of(FID))
    first = effects.iloc[0]
    text = forest_figure(effects, metric_of(FID), made.stored).axes[0].texts[0].get_text()
    assert text == f"{first['ratio']:.3f} ({first['low']:.3f} to {first['high']:.3f})"


@pytest.mark.slow
def test_with_one_seed_there_are_no_bars_markers_are_hollow_and_the_figure_says_so(study):
    made = study()
    figure = forest_figure(ablation_table(noisy(made), made.stored, metric_of(FID)), metric_of(FID), made.stored)
    _, bars, marks = drawn(figure)
    assert bars == []
    assert {mark.get_markerfacecolor() for mark in marks} == {"white"}
    assert figure.get_suptitle() == "one seed: no interval"
    made = study(seeds=[0, 1])
    figure = forest_figure(ablation_table(noisy(made), made.stored, metric_of(FID)), metric_of(FID), made.stored)
    assert "one seed" not in figure.get_suptitle()


@pytest.mark.slow
def test_of_one_size_all_sizes_is_the_one_row(study):
    made = study(axes=TWO)
    figure = forest_figure(ablation_table(noisy(made), made.stored, metric_of(FID)), metric_of(FID), made.stored)
    assert [len(panel.get_yticks()) for panel in figure.axes] == [1]


def test_no_pairs_make_no_figure(study):
    made = study()
    for index in range(8):
        made.unfinish(index, "waiting")
    effects = ablation_table(results_table(made.runs, made.stored), made.stored, metric_of(FID))
    assert forest_figure(effects, metric_of(FID), made.stored) is None

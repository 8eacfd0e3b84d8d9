"""The forest plot against the table that it shows."""

import numpy as np
import pytest

from lina_lab.analysis.ablation import ablation_table
from lina_lab.analysis.study_metric import metric_of
from lina_lab.analysis.table import results_table
from lina_lab.figures.forest import forest_figure

FID = "eval/fid/digits-cnn"


def noisy(made):
    table = results_table(made.runs, made.stored)
    table[FID] *= np.exp(np.random.default_rng(0).normal(0, 0.05, len(table)))
    return table


def drawn(axes):
    """Markers (ratio, height, shape) and bars (low, high, height), in the order of the rows."""
    marks = [line for line in axes.lines if line.get_marker() in {"D", "o"}]
    bars = [line.get_xydata() for line in axes.lines if line.get_marker() == "None" and len(set(line.get_xdata())) > 1]
    return (
        [(*line.get_xydata()[0], line.get_marker()) for line in marks],
        [(bar[0, 0], bar[1, 0], bar[0, 1]) for bar in bars],
        marks,
    )


@pytest.mark.slow
def test_markers_and_bars_are_the_tables_numbers(study):
    made = study(seeds=[0, 1, 2])
    effects = ablation_table(noisy(made), made.stored, metric_of(FID))
    axes = forest_figure(effects, metric_of(FID)).axes[0]
    marks, bars, _ = drawn(axes)
    assert [m[0] for m in marks] == pytest.approx(effects["ratio"].tolist())
    assert [b[:2] for b in bars] == [pytest.approx(pair) for pair in effects[["low", "high"]].to_numpy().tolist()]
    assert [m[1] for m in marks] == [b[2] for b in bars] == list(axes.get_yticks())
    assert [m[2] for m in marks] == ["D", "o", "o"] * 2
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["normalization: subtraction / division", "nano", "micro", "conv_kernel: 5 / 0", "nano", "micro"]
    assert axes.get_xscale() == "log"


@pytest.mark.slow
def test_the_text_beside_a_row_has_its_numbers(study):
    made = study(seeds=[0, 1, 2])
    effects = ablation_table(noisy(made), made.stored, metric_of(FID))
    first = effects.iloc[0]
    text = forest_figure(effects, metric_of(FID)).axes[0].texts[0].get_text()
    assert text == f"{first['ratio']:.3f} ({first['low']:.3f} to {first['high']:.3f}), 12 pairs"


@pytest.mark.slow
def test_with_one_seed_there_are_no_bars_markers_are_hollow_and_the_axis_says_so(study):
    made = study()
    axes = forest_figure(ablation_table(noisy(made), made.stored, metric_of(FID)), metric_of(FID)).axes[0]
    _, bars, marks = drawn(axes)
    assert bars == []
    assert {mark.get_markerfacecolor() for mark in marks} == {"white"}
    assert "one seed: no interval" in axes.get_xlabel()
    made = study(seeds=[0, 1])
    assert (
        "one seed"
        not in forest_figure(ablation_table(noisy(made), made.stored, metric_of(FID)), metric_of(FID))
        .axes[0]
        .get_xlabel()
    )


def test_no_pairs_make_no_figure(study):
    made = study()
    for index in range(8):
        made.unfinish(index, "waiting")
    effects = ablation_table(results_table(made.runs, made.stored), made.stored, metric_of(FID))
    assert forest_figure(effects, metric_of(FID)) is None

"""The forest plot against the table that it shows."""

import numpy as np
import pandas as pd
import pytest

from lina_lab.analysis.ablation import ablation_table
from lina_lab.analysis.table import results_table
from lina_lab.figures.forest import forest_figure, write_ablation
from lina_lab.figures.style import save
from lina_lab.figures.ticks import log_ticks, si

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


def test_markers_and_bars_are_the_tables_numbers(study):
    made = study(seeds=[0, 1, 2])
    effects = ablation_table(noisy(made), made.stored, FID)
    axes = forest_figure(effects, "FID").axes[0]
    marks, bars, _ = drawn(axes)
    assert [m[0] for m in marks] == pytest.approx(effects["ratio"].tolist())
    assert [b[:2] for b in bars] == [pytest.approx(pair) for pair in effects[["low", "high"]].to_numpy().tolist()]
    assert [m[1] for m in marks] == [b[2] for b in bars] == list(axes.get_yticks())
    assert [m[2] for m in marks] == ["D", "o", "o"] * 2
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["normalization: subtraction / division", "nano", "micro", "conv_kernel: 5 / 0", "nano", "micro"]
    assert axes.get_xscale() == "log"


def test_the_text_beside_a_row_has_its_numbers(study):
    made = study(seeds=[0, 1, 2])
    effects = ablation_table(noisy(made), made.stored, FID)
    first = effects.iloc[0]
    text = forest_figure(effects, "FID").axes[0].texts[0].get_text()
    assert text == f"{first['ratio']:.3f} ({first['low']:.3f} to {first['high']:.3f}), 12 pairs"


def test_with_one_seed_there_are_no_bars_markers_are_hollow_and_the_axis_says_so(study):
    made = study()
    axes = forest_figure(ablation_table(noisy(made), made.stored, FID), "FID").axes[0]
    _, bars, marks = drawn(axes)
    assert bars == []
    assert {mark.get_markerfacecolor() for mark in marks} == {"white"}
    assert "one seed: no interval" in axes.get_xlabel()
    made = study(seeds=[0, 1])
    assert "one seed" not in forest_figure(ablation_table(noisy(made), made.stored, FID), "FID").axes[0].get_xlabel()


def test_no_pairs_make_no_figure_and_no_files(study, tmp_path):
    made = study()
    for index in range(8):
        made.unfinish(index, "waiting")
    write_ablation(results_table(made.runs, made.stored), made.stored, FID, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_ablation_is_written_as_figure_table_and_text(study, tmp_path):
    made = study(seeds=[0, 1])
    table = noisy(made)
    write_ablation(table, made.stored, FID, tmp_path)
    assert {p.name for p in tmp_path.iterdir() if p.is_file()} == {
        "ablation.csv",
        "ablation.md",
        "ablation.tex",
        "forest.png",
        "forest.pdf",
        "forest.svg",
    }
    effects = ablation_table(table, made.stored, FID)
    written = pd.read_csv(tmp_path / "ablation.csv")
    assert written["ratio"].tolist() == pytest.approx(effects["ratio"].tolist(), rel=1e-12)
    for ratio in effects["ratio"]:
        assert f" {ratio:.3f} " in (tmp_path / "ablation.md").read_text()
        assert f" {ratio:.3f} " in (tmp_path / "ablation.tex").read_text()


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_the_forest_plot_has_the_same_bytes_twice(study, tmp_path, kind):
    made = study(seeds=[0, 1])
    effects = ablation_table(noisy(made), made.stored, FID)
    for name in ("a", "b"):
        save(forest_figure(effects, "FID"), tmp_path / name, (kind,))
    assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.5, 2000, [1, 10, 100, 1000]),
        (0.45, 1.2, [0.5, 0.7, 1]),
        (9, 16, [10, 12, 14, 16]),
        (1e-8, 1e4, [1e-8, 1e-5, 1e-2, 10, 1e4]),
    ],
)
def test_ticks_are_few_and_round(low, high, ticks):
    assert log_ticks(low, high) == pytest.approx(ticks)


@pytest.mark.parametrize(("number", "text"), [(3e11, "300G"), (1.5e12, "1.5T"), (2e21, "2e+03E"), (12, "12")])
def test_numbers_have_metric_prefixes(number, text):
    assert si(number) == text

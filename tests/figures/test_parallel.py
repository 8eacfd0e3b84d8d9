"""Parallel coordinates against the table: a line a design and size, each at its values and numbers."""

import numpy as np
import pytest

from lina_lab.analysis.study_metric import metric_of
from lina_lab.analysis.table import results_table
from lina_lab.figures.parallel import parallel_figure
from tests.figures.test_panels import overlapping
from tests.study import FID


def lines(figure):
    return [line.get_ydata() for line in figure.axes[0].lines if len(line.get_ydata()) > 2]


@pytest.mark.slow
def test_a_line_a_design_and_size_whose_ends_are_those_of_the_metric(study):
    made = study(seeds=[0, 1])
    table = results_table(made.runs, made.stored)
    figure = parallel_figure(table, made.stored, metric_of(FID))
    means = table.groupby(list(made.stored.axes), sort=False)[FID].mean()
    logs = np.log(means.to_numpy())
    drawn = lines(figure)
    assert [line[-1] for line in drawn] == pytest.approx((logs - logs.min()) / np.ptp(logs))
    assert [round(line[0]) for line in drawn] == [0] * 4 + [1] * 4  # division, subtraction
    assert [round(line[1]) for line in drawn] == [0, 0, 1, 1] * 2
    words = [text.get_text() for text in figure.axes[0].texts]
    assert {"division", "no conv", "nano", f"{means.min():.3g}", f"{means.max():.3g}"} <= set(words)
    assert overlapping(figure) == ([], [])


@pytest.mark.slow
def test_a_metric_that_a_cell_lacks_is_left_out_and_few_cells_make_no_figure(study):
    made = study()
    table = results_table(made.runs, made.stored)
    whole = parallel_figure(table, made.stored, metric_of(FID))
    table.loc[0, "eval/kid/digits-cnn"] = np.nan
    assert len(lines(parallel_figure(table, made.stored, metric_of(FID)))[0]) == len(lines(whole)[0]) - 1
    assert parallel_figure(table.iloc[:1], made.stored, metric_of(FID)) is None

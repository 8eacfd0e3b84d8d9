"""Seconds of cells to come: exact where a cell like them was timed, by FLOPs where none was."""

import pandas as pd
import pytest

from lina_lab.analysis.cell_seconds import Work, duration, timed_cells

ROWS = pd.DataFrame({
    "state": "done",
    "normalization": ["division", "softmax", "division", "softmax"],
    "size": ["nano", "nano", "micro", "micro"],
    "parameters": [1e5, 1e5, 4e5, 4e5],
    "flops_training": [1e11, 1e11, 4e11, 4e11],
    "flops_sampling": [1e7, 1e7, 4e7, 4e7],
    "num_generated": 1000,
    "training_seconds": [10.0, 20.0, 50.0, 60.0],
    "sampling_seconds": [1.0, 2.0, 4.0, 8.0],
    "evaluation_seconds": 0.5,
})  # fmt: skip


def of(size, work, normalization="softmax", rows=ROWS):
    return duration(timed_cells(rows), {"normalization": normalization, "size": size}, work)


def test_a_cell_like_one_that_was_timed_takes_as_long():
    assert of("micro", Work(4e5, 4e11, 4e10)) == (68.5, False)
    assert of("nano", Work(1e5, 1e11, 1e10), "division") == (11.5, False)


def test_a_longer_training_takes_longer_and_its_images_do_not():
    assert of("micro", Work(4e5, 8e11, 4e10)) == (128.5, False)


def test_a_new_size_goes_with_the_flops_of_the_nearest_and_says_so():
    assert of("tiny", Work(16e5, 16e11, 16e10)) == (240 + 32 + 0.5, True)


def test_a_new_design_takes_what_its_size_took_on_average():
    assert of("nano", Work(1e5, 1e11, 1e10), "subtraction").seconds == pytest.approx(15 + 1.5 + 0.5)


def test_cells_that_are_not_done_or_have_no_seconds_tell_nothing():
    rows = ROWS.assign(state=["done", "failed", "done", "done"], training_seconds=[1.0, 2.0, None, 4.0])
    assert timed_cells(rows).index.tolist() == [0, 3]
    assert timed_cells(ROWS.drop(columns="training_seconds")).empty
    with pytest.raises(ValueError, match="no cell was timed"):
        of("nano", Work(1e5, 1e11, 1e10), rows=ROWS.iloc[:0])

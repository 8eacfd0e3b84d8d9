"""Samples side by side: a row has one class and one noise, whatever the order in which its pictures were drawn."""

import numpy as np
import pytest
import torch

from lina_lab.analysis.sample_steps import SampleSteps
from lina_lab.analysis.samples import samples_of_ledger
from lina_lab.analysis.table import results_table
from lina_lab.figures.samples import FEW, MANY, MOST_DESIGNS, board_sheet, sample_boards, step_boards
from lina_lab.model.lina import Lina
from lina_lab.sampling.generate import generate
from tests.cells import experiment
from tests.study import AXES


def draw_samples(made, index, numbers, side=8):
    """A cell's 20 images of 10 classes in the order of `numbers`; each is as bright as its number."""
    numbers = np.array(list(numbers))
    path = made.folder(index) / "samples" / "generated.npz"
    path.parent.mkdir()
    images = np.broadcast_to((10 * numbers)[:, None, None, None], (20, side, side, 3)).astype(np.uint8)
    names = np.array(["T-shirt", *map(str, range(1, 10))])
    np.savez(path, arr_0=images, labels=numbers % 10, numbers=numbers, classes=names[numbers % 10])


def boards_of(made):
    table = results_table(made.runs, made.stored)
    return sample_boards(samples_of_ledger(made.runs, table), table, made.stored)


def brightness(row):
    return [None if picture is None else int(picture.max()) for picture in row.pictures]


def test_a_row_has_one_class_and_one_noise_in_every_column_and_an_empty_place_where_nothing_was_drawn(study):
    made = study()
    assert boards_of(made) == {}
    draw_samples(made, 0, range(20))  # division, nano
    draw_samples(made, 2, reversed(range(20)))  # division + conv, nano
    draw_samples(made, 3, range(20))  # division + conv, micro
    boards = boards_of(made)
    few, every = boards["samples"], boards["samples-all"]
    assert few.names == every.names == ["division", "division + conv"]
    assert [row.size for row in few.rows] == ["nano"] * FEW + ["micro"] * FEW
    assert [row.title for row in few.rows[:FEW]] == ["T-shirt", "4", "9"]
    assert [brightness(row) for row in few.rows] == [[0, 0], [40, 40], [90, 90], [None, 0], [None, 40], [None, 90]]
    assert [brightness(row) for row in every.rows[:MANY]] == [[10 * n, 10 * n] for n in range(10)]


def test_the_sheet_for_a_paper_has_designs_across(study):
    made = study()
    draw_samples(made, 0, range(20))
    draw_samples(made, 2, range(20))
    pixels = np.asarray(board_sheet(boards_of(made)["samples"]))[:, :, 0]
    middles = pixels[-88 // 2]  # through the last row
    assert (middles == 90).sum() == 2 * 88
    assert (pixels == 40).sum() >= 2 * 88**2
    assert pixels.shape[1] < 300


def of_steps(steps, places, titles):
    """Each picture is as bright as its step and its place."""
    bright = np.array(steps)[:, None] + np.array(places)
    return SampleSteps(np.array(steps), np.tile(bright[:, :, None, None, None], (8, 8, 3)).astype(np.uint8), titles)


def test_boards_of_steps_have_a_place_for_every_design_and_picture_at_every_step(study):
    made = study()
    keys = [made.plan.cells[index].key for index in (3, 1)]  # micro: division + conv, division
    table = results_table(made.runs, made.stored)
    titles = np.array(["cat", "dog"])
    first, second = of_steps([10, 30], [1, 2], titles), of_steps([10, 20, 30], [1], np.array(["cat"]))
    boards = step_boards(dict(zip(keys, (first, second), strict=True)), table, made.stored)
    assert [step for step, _ in boards] == [10, 20, 30]
    for step, board in boards:
        assert board.names == ["division", "division + conv"]
        assert [(row.size, row.title) for row in board.rows] == [("micro", "cat"), ("micro", "")]
        there = step != 20
        assert [brightness(row) for row in board.rows] == [
            [step + 1, step + 1 if there else None],
            [None, step + 2 if there else None],
        ]
    assert step_boards({}, table, made.stored) == []


@pytest.mark.slow
def test_of_many_designs_the_first_board_has_some_and_the_other_all(study):
    kernels = {"model.attention.conv_kernel": [0, 3, 5, 7]}
    gates = {"model.attention.kv_gate": ["none", "key", "value", "key_value"], "model.size": ["nano"]}
    made = study(axes={**kernels, **gates})
    for index in range(16):
        draw_samples(made, index, range(20), side=32)
    boards = boards_of(made)
    assert [len(board.names) for board in boards.values()] == [MOST_DESIGNS, 16]
    assert board_sheet(boards["samples"]).width < 1300


@pytest.mark.slow
def test_few_pictures_are_all_on_one_board(study):
    made = study(axes=AXES | {"model.size": ["nano"]})
    path = made.folder(0) / "samples" / "generated.npz"
    path.parent.mkdir()
    np.savez(path, arr_0=np.zeros((4, 8, 8, 3), np.uint8), labels=np.array([1, 1, 0, 0]))
    assert list(boards_of(made)) == ["samples"]
    assert [row.title for row in boards_of(made)["samples"].rows] == ["0", "1"]


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


def test_without_sheets_there_are_no_boards_of_steps_also_where_no_axis_is_of_designs(study):
    made = study(axes={"model.size": AXES["model.size"]})
    assert step_boards({}, results_table(made.runs, made.stored), made.stored) == []

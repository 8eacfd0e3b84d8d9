"""Pictures by step are those that training drew, the same bit for bit; a report keeps few."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from lina_lab.analysis import sample_steps
from lina_lab.analysis.sample_steps import SampleSteps, spread, steps_of_ledger
from lina_lab.analysis.samples import npz_bytes, read_npz, samples_of_ledger
from lina_lab.analysis.table import results_table
from lina_lab.sampling.contact_sheet import save_sheet
from lina_lab.training.train import SHEET_COLUMNS, SHEET_ROWS

NAMES = ["T-shirt", "a pair of trousers", *map(str, range(2, 10))]


def draw(made, index, steps, side=8, heads=NAMES):
    """A cell's images of its end, and sheets as training draws them: rows of all classes, each picture its own."""
    folder = made.folder(index) / "samples"
    folder.mkdir()
    images = np.zeros((10, side, side, 3), np.uint8)
    np.savez(folder / "generated.npz", arr_0=images, labels=np.arange(10), classes=np.array(NAMES))
    drawn = {}
    for step in steps:
        noise = np.random.default_rng((index, step)).integers(0, 256, (SHEET_ROWS * SHEET_COLUMNS, side, side, 3))
        drawn[step] = noise.astype(np.uint8)
        sheet = torch.from_numpy(drawn[step]).permute(0, 3, 1, 2)
        save_sheet(folder / f"step-{step:07d}.png", sheet, SHEET_COLUMNS, heads)
    return drawn


def steps_of(made):
    table = results_table(made.runs, made.stored)
    return steps_of_ledger(made.runs, table, samples_of_ledger(made.runs, table))


@pytest.mark.slow
def test_pictures_are_cut_out_of_the_sheets_as_they_were_drawn(study):
    made = study(seeds=[0, 1])
    cells = made.plan.cells
    drawn = {index: draw(made, index, range(10, 130, 10)) for index, cell in enumerate(cells) if cell.seed == 0}
    found = steps_of(made)
    largest = {i: c.key for i, c in enumerate(cells) if c.seed == 0 and c.values["size"] == "micro"}
    assert set(found) == set(largest.values())
    for index, key in largest.items():
        one = found[key]
        assert one.titles.tolist() == ["T-shirt", "3", "6", "9"]
        assert (len(one.steps), one.steps[0], one.steps[-1]) == (8, 10, 120)
        for step, images in zip(one.steps.tolist(), one.images, strict=True):
            np.testing.assert_array_equal(images, drawn[index][step][[0, 3, 6, 9]])


@pytest.mark.slow
def test_a_title_that_does_not_stand_on_the_sheet_is_not_said(study):
    made = study()
    draw(made, 1, [1, 2], heads=NAMES[::-1])
    draw(made, 3, [1, 2], heads=())
    assert [one.titles.tolist() for one in steps_of(made).values()] == [[""] * 4] * 2


@pytest.mark.slow
def test_what_is_no_sheet_of_its_pictures_is_left_out(study):
    made = study()
    assert steps_of(made) == {}
    draw(made, 1, [1, 2, 3])
    folder = made.folder(1) / "samples"
    (folder / "step-0000002.png").write_bytes(b"no picture")
    Image.new("RGB", (900, 400), (1, 2, 3)).save(folder / "step-0000003.png")
    assert steps_of(made)[made.plan.cells[1].key].steps.tolist() == [1]
    (folder / "step-0000001.png").unlink()
    assert steps_of(made) == {}


@pytest.mark.slow
def test_one_step_needs_no_slider(study):
    made = study()
    draw(made, 1, [5])
    assert steps_of(made) == {}


@pytest.mark.slow
def test_where_they_are_too_large_there_are_fewer_pictures_then_fewer_steps(study, monkeypatch):
    made = study()
    draw(made, 1, range(1, 20))
    draw(made, 3, range(1, 20))
    found = steps_of(made)
    seen = []
    while found:
        ((steps, pictures),) = {one.images.shape[:2] for one in found.values()}
        assert all((one.steps[-1], len(one.steps), len(one.titles)) == (19, steps, pictures) for one in found.values())
        seen.append((steps, pictures))
        most = len(npz_bytes(found)) - 1
        monkeypatch.setattr(sample_steps, "MOST_BYTES", most)
        found = steps_of(made)
        assert len(npz_bytes(found)) <= most
    assert seen == [(8, 4), (8, 3), (8, 2), (8, 1), (6, 1), (4, 1), (2, 2), (2, 1)]


@pytest.mark.slow
def test_the_file_gives_them_back_and_is_always_the_same(study, tmp_path):
    made = study()
    draw(made, 1, [1, 2])
    found, path = steps_of(made), tmp_path / "samples-steps.npz"
    path.write_bytes(npz_bytes(found))
    back = read_npz(path, SampleSteps)
    assert list(back) == list(found)
    for key, one in found.items():
        for name, array in one._asdict().items():
            np.testing.assert_array_equal(getattr(back[key], name), array)
    assert npz_bytes(back) == path.read_bytes()
    assert np.load(io.BytesIO(path.read_bytes())).files
    assert read_npz(tmp_path / "none.npz", SampleSteps) == {}


def test_steps_are_few_and_include_the_last():
    assert spread([1, 2, 3], 12) == [1, 2, 3]
    steps = list(range(0, 1000, 7))
    few = spread(steps, 12)
    assert (len(few), few[0], few[-1]) == (12, steps[0], steps[-1])
    assert np.ptp(np.diff(few)) <= 7

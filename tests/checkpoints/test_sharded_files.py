"""Checkpoints of several processes, written here by one: what is joined, what is whole, what is damaged."""

import pytest
import torch

from lina_lab.checkpoints.sharded_files import ROWS, Rows, read_sharded, read_whole, undamaged_step

WEIGHT = torch.arange(20.0).reshape(5, 4)


@pytest.fixture
def checkpoint(tmp_path):
    """Step 7 of two processes, which have three and two rows of a weight."""
    folder = tmp_path / "step-0000007.ckpt"
    folder.mkdir()
    for rank, rows in enumerate((WEIGHT[:3], WEIGHT[3:])):
        saved = {"global_step": 7, "state": [{"weight": {ROWS: rows.clone()}}, "plain"]}
        torch.save(saved, folder / f"{rank}-of-2.pt")
    return folder


def test_rows_of_several_processes_are_one_tensor_and_the_rest_is_the_first_ones(checkpoint):
    whole = read_whole(checkpoint)
    assert (whole["global_step"], whole["state"][1]) == (7, "plain")
    assert torch.equal(whole["state"][0]["weight"], WEIGHT)
    rows = read_sharded(checkpoint)["state"][0]["weight"]
    assert isinstance(rows, Rows)
    assert torch.equal(rows.whole(), WEIGHT)


@pytest.mark.parametrize(("start", "stop"), [(0, 5), (0, 2), (2, 4), (3, 5), (4, 5), (2, 2)])
def test_rows_between_two_of_them_may_be_in_several_files(start, stop):
    assert torch.equal(Rows([WEIGHT[:3], WEIGHT[3:]]).between(start, stop), WEIGHT[start:stop])


def test_the_step_is_that_of_whole_files_alone(checkpoint):
    assert undamaged_step(checkpoint) == 7
    second = checkpoint / "1-of-2.pt"
    content = second.read_bytes()
    at = content.index(WEIGHT[3:].numpy().tobytes())
    second.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    assert undamaged_step(checkpoint) is None
    second.unlink()
    assert undamaged_step(checkpoint) is None
    second.write_bytes(content)
    torch.save({"global_step": 8, "state": []}, second)
    assert undamaged_step(checkpoint) is None, "files of two steps"

"""Groups of processes: sharded checkpoints, and what they are to another number of processes; parts of a batch; bf16.

All cells of a group are trained by one start of it.
"""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lina_lab.checkpoints.ema_weights import keep_trained
from lina_lab.checkpoints.sharded_files import Rows, read_whole
from lina_lab.data.datasets import load_dataset
from lina_lab.errors import LabError
from lina_lab.ledger.cells import create_cell
from lina_lab.ledger.metrics import read_metrics
from lina_lab.training.as_numpy import checkpoint_weights
from lina_lab.training.module import LinaModule
from lina_lab.training.recorder import Stopped, checkpoints, newest_checkpoint
from lina_lab.training.train import build_model, train
from tests.cells import experiment
from tests.training.ranks import together

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("sharded")]  # its cells serve all

CLIPPED = {"training__batch_size": 12, "training__gradient_clip": 0.2, "training__ema_every": 3}
PARTS = {"execution__accumulate": 2, "execution__activation_checkpointing": "block"}
BF16 = {"training__precision": "bf16"}
MUP = {"training__parametrization": "mup", "model__size": "micro"}


class Cells:
    """Cells of the same training, each in a runs folder of its own."""

    def __init__(self, root):
        self.root, self.made = root, {}

    def __call__(self, name, **changes):
        if name not in self.made:
            self.made[name] = experiment(**CLIPPED, **changes)
        return create_cell(self.root / name, self.made[name])

    def alone(self, name, until=0, **changes):
        folder = self(name, **changes)
        try:
            cell = self.made[name]
            keep_trained(folder, train(folder, cell, load_dataset(cell.data), until=until))
        except Stopped:
            assert until

    def copy(self, name, of):
        self.made[name] = self.made[of]
        folder = self(name)
        shutil.copytree(self(of), folder, dirs_exist_ok=True)
        return folder


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    cells = Cells(tmp_path_factory.mktemp("runs"))
    cells.alone("one")
    cells.alone("from one", until=5)
    (cells("from one") / "checkpoints" / "step-0000006.part").mkdir()  # as killed groups leave them
    (cells("from one") / "checkpoints" / "step-0000008.part").write_bytes(b"half")
    cells.alone("one bf16", **BF16)
    cells.alone("one mup", **MUP)
    two = [
        (cells("sharded"), "fsdp", 0),
        (cells("paused"), "fsdp", 9),
        (cells("ended", training__steps=9, checkpoint__keep_end="yes"), "fsdp", 0),
        (cells("to one"), "fsdp", 5),
        (cells("to three"), "fsdp", 5),
        (cells("to ddp"), "fsdp", 5),
        (cells("to ddp"), "ddp", 0),
        (cells("from one"), "fsdp", 0),
        (cells("resumed"), "fsdp", 5),
        (cells("resumed"), "fsdp", 0),
        (cells("parts sharded", **PARTS), "fsdp", 5),
        (cells("parts sharded"), "fsdp", 0),
        (cells("parts ddp", **PARTS), "ddp", 0),
        (cells("bf16 sharded", **BF16), "fsdp", 0),
        (cells("bf16 ddp", **BF16), "ddp", 0),
        (cells("mup sharded", **MUP), "fsdp", 5),
        (cells("mup sharded"), "fsdp", 0),
    ]
    together((2, two), (3, [(cells("to three"), "fsdp", 9)]))
    cells.alone("to one")
    cells.alone("to three")
    return cells


def rows(folder):
    return [(row.step, row.metric, row.value) for row in read_metrics(folder)]


def weights(folder):
    return load_file(folder / "ema.safetensors")


def assert_close(folder, other, rtol=1e-3, atol=2e-6):
    ours, theirs = rows(folder), rows(other)
    assert [row[:2] for row in ours] == [row[:2] for row in theirs]
    assert [row[2] for row in ours] == pytest.approx([row[2] for row in theirs], rel=1e-5)
    for name, tensor in weights(other).items():
        torch.testing.assert_close(
            weights(folder)[name], tensor, rtol=rtol, atol=atol, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.parametrize("name", ["sharded", "to one", "to three", "to ddp", "from one"])
def test_any_number_of_processes_trains_and_continues_the_same(cells, name):
    assert_close(cells(name), cells("one"))


def test_groups_of_several_rates_train_and_continue_the_same_when_sharded(cells):
    assert_close(cells("mup sharded"), cells("one mup"))


@pytest.mark.parametrize("name", ["parts sharded", "parts ddp"])
def test_parts_and_blocks_computed_again_change_nothing(cells, name):
    assert_close(cells(name), cells("one"))


def test_a_group_that_was_stopped_continues_to_the_same_bits(cells):
    assert rows(cells("resumed")) == rows(cells("sharded"))
    ours, theirs = weights(cells("resumed")), weights(cells("sharded"))
    assert all(torch.equal(ours[tensor], theirs[tensor]) for tensor in theirs)


def test_every_process_writes_its_share_of_a_checkpoint_and_old_ones_go(cells):
    found = checkpoints(cells("paused"))
    assert [path.name for path in found] == ["step-0000009.ckpt", "step-0000008.ckpt"]
    assert len(list(found[0].parent.iterdir())) == 2
    whole = checkpoints(cells("one"))[0].stat().st_size
    sizes = {file.name: file.stat().st_size for file in found[0].iterdir()}
    assert sizes.keys() == {"0-of-2.pt", "1-of-2.pt"}
    assert all(size < 0.6 * whole for size in sizes.values())  # the rest are names, and what pads tensors


def test_a_sharded_checkpoint_holds_what_one_process_writes(cells):
    """Against a checkpoint of one process at the same step: the same names, shapes and, to rounding, numbers."""
    sharded, alone = (read_whole(cells(name) / "checkpoints" / "step-0000008.ckpt") for name in ("paused", "one"))
    assert sharded.keys() == alone.keys()
    assert sharded["global_step"] == alone["global_step"] == 8
    ours, theirs = (c["optimizer_states"][0]["state"] for c in (sharded, alone))
    assert ours.keys() == theirs.keys()
    pairs = [(ours[i][name], value) for i in theirs for name, value in theirs[i].items()]
    pairs += [(sharded["state_dict"][name], value) for name, value in alone["state_dict"].items()]
    for mine, expected in pairs:
        torch.testing.assert_close(mine, expected, rtol=1e-3, atol=1e-6)


def test_the_kept_end_of_a_shorter_training_is_what_a_longer_one_has_at_that_step(cells):
    ended, longer = (
        read_whole(cells(n) / d / "step-0000009.ckpt") for n, d in (("ended", "end"), ("paused", "checkpoints"))
    )
    for part in ("state_dict", "optimizer_states", "lr_schedulers"):
        torch.testing.assert_close(ended[part], longer[part], rtol=0, atol=0)
    ours, theirs = (c["callbacks"]["AveragedWeights"] for c in (ended, longer))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_weights_for_rooms_without_torch_come_from_either_kind(cells):
    ours, theirs = (checkpoint_weights(cells(name) / "checkpoints" / "step-0000008.ckpt") for name in ("paused", "one"))
    assert ours.keys() == theirs.keys()
    for name, array in theirs.items():
        np.testing.assert_allclose(ours[name], array, rtol=1e-3, atol=2e-6)


def broken(path, how):
    """Damage a sharded checkpoint as a process, or a disk, may."""
    first, second = path / "0-of-2.pt", path / "1-of-2.pt"
    if how == "a process wrote nothing":
        second.unlink()
    elif how == "the first process wrote nothing":
        first.unlink()
    elif how == "nothing is there":
        shutil.rmtree(path)
        path.mkdir()
    elif how == "a file is cut":
        second.write_bytes(second.read_bytes()[:-100])
    elif how == "a file is of another step":
        shutil.copy(path.with_name("step-0000008.ckpt") / second.name, second)
    else:
        data = second.read_bytes()
        second.write_bytes(data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :])


DAMAGES = (
    "a process wrote nothing",
    "the first process wrote nothing",
    "nothing is there",
    "a file is cut",
    "a file is of another step",
    "a bit has changed",
)


@pytest.mark.parametrize("how", DAMAGES)
def test_a_torn_checkpoint_is_set_aside_and_the_one_before_taken(cells, tmp_path, how):
    folder = tmp_path / "cell"
    shutil.copytree(cells("paused"), folder)
    newest, older = checkpoints(folder)
    assert newest_checkpoint(folder) == (newest, 9)
    for _ in range(2):  # again: the folder that is set aside makes room
        if not newest.exists():
            shutil.copytree(checkpoints(cells("paused"))[0], newest)
        broken(newest, how)
        assert newest_checkpoint(folder) == (older, 8)
    assert sorted(path.name for path in newest.parent.iterdir()) == [older.name, f"{newest.name}.damaged"]
    with pytest.raises(LabError, match=r"is no checkpoint of a cell, or damaged"):
        checkpoint_weights(tmp_path / "cell" / "checkpoints")


def test_after_a_torn_checkpoint_one_process_ends_with_the_same_numbers(cells):
    folder = cells.copy("torn", "paused")
    broken(checkpoints(folder)[0], "a bit has changed")
    cells.alone("torn")
    assert_close(folder, cells("one"))


def test_what_a_killed_group_was_writing_is_cleared_away(cells):
    assert [path.name for path in (cells("from one") / "checkpoints").iterdir()] == [
        "step-0000008.ckpt",
        "step-0000005.ckpt",
    ]


def calls(folder, start=0):
    return json.loads((folder / f"calls-1-{start}.json").read_text())


def test_gradients_are_exchanged_once_a_step_however_many_parts_it_has(cells):
    """By reduce-scatter, which each unit of a sharded model calls once."""
    whole, parts = calls(cells("sharded")), [calls(cells("parts sharded"), start) for start in (0, 5)]
    assert whole["reduce_scatter"] % 12 == 0
    assert sum(part["reduce_scatter"] for part in parts) == whole["reduce_scatter"] > 0


@pytest.mark.parametrize("name", ["sharded", "bf16 ddp"])
def test_processes_do_not_wait_for_each_other_at_every_step(cells, name):
    """Twelve steps, of which three write a row, two a checkpoint and one is validated."""
    assert calls(cells(name))["barrier"] < 20
    assert calls(cells(name))["broadcast"] < 12


def test_bf16_of_sharded_weights_is_that_of_whole_ones(cells):
    """Only float32 sums differ; on some processors one of them turns a rounding to bfloat16, and that is all."""
    whole = cells("bf16 ddp")
    loss = {name: np.array([row[2] for row in rows(cells(name))]) for name in ("bf16 ddp", "bf16 sharded", "one")}
    of_sums, of_bf16 = (np.abs(loss[name] / loss["bf16 ddp"] - 1).max() for name in ("bf16 sharded", "one"))
    assert 1e-6 < of_bf16 < 1e-2
    assert of_sums < of_bf16

    def distance(name):
        return sum(((weights(cells(name))[key] - tensor) ** 2).sum() for key, tensor in weights(whole).items()) ** 0.5

    assert distance("bf16 sharded") < distance("one") / 5


@pytest.mark.parametrize("name", ["one bf16", "bf16 sharded"])
def test_weights_gradients_moments_and_average_are_float32_in_bf16(cells, name):
    saved = read_whole(checkpoints(cells(name))[0])
    moments = [value for state in saved["optimizer_states"][0]["state"].values() for value in state.values()]
    average = saved["callbacks"]["AveragedWeights"]["average"].values()
    for tensor in (*saved["state_dict"].values(), *moments, *average):
        assert tensor.dtype == torch.float32


def test_updates_that_bf16_weights_would_lose_add_up(tmp_path):
    """Below 1, where these weights start, bfloat16 has steps of 2^-8; here are twelve updates of at most 1e-5."""
    cell = experiment(**BF16, training__learning_rate=1e-5, training__warmup_steps=0, training__ema_decay=0.0)
    before = {name: value.clone() for name, value in build_model(cell).named_parameters()}
    after = dict(train(create_cell(tmp_path, cell), cell, load_dataset(cell.data)).model.named_parameters())
    ones = [name for name in before if name.endswith("norm1.weight")]
    moved = torch.stack([after[name] - before[name] for name in ones]).abs()
    assert all(torch.equal(after[name].bfloat16(), before[name].bfloat16()) for name in ones)
    assert 2e-5 < moved.max() < 12e-5


def test_gradients_are_float32_in_bf16_and_clipped_to_their_norm(tmp_path, monkeypatch):
    seen = []
    clip = LinaModule.configure_gradient_clipping

    def watched(self, optimizer, *arguments, **options):
        clip(self, optimizer, *arguments, **options)
        seen.extend(weight.grad for weight in self.parameters() if weight.grad is not None)

    monkeypatch.setattr(LinaModule, "configure_gradient_clipping", watched)
    cell = experiment(**BF16, training__steps=1, training__warmup_steps=0, training__gradient_clip=1e-3)
    train(create_cell(tmp_path, cell), cell, load_dataset(cell.data))
    assert {gradient.dtype for gradient in seen} == {torch.float32}
    norm = sum(gradient.double().square().sum() for gradient in seen).sqrt()
    assert norm.item() == pytest.approx(1e-3, rel=1e-2)


def test_rows_are_put_together_from_parts_of_any_length():
    whole = torch.arange(14.0).reshape(7, 2)
    for cuts in ((7,), (3, 4), (3, 3, 1), (2, 2, 2, 1), (7, 0), (0, 5, 2)):
        rows_ = Rows(list(whole.split(cuts)))
        assert torch.equal(rows_.whole(), whole)
        for start in range(8):
            for stop in range(start, 8):
                assert torch.equal(rows_.between(start, stop), whole[start:stop])

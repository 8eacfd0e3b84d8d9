"""Groups of processes: sharded checkpoints, and what they are to another number of processes; parts of a batch; bf16.

All cells of two processes are trained by one start of them, all of three by another.
"""

import json
import shutil
from collections import Counter

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lina_lab.cli.cleaning import removable
from lina_lab.data.datasets import load_dataset
from lina_lab.errors import LabError
from lina_lab.ledger import create_cell, read_metrics
from lina_lab.training.parts import Rows, read_whole
from lina_lab.training.recorder import Stopped, checkpoints, newest_checkpoint
from lina_lab.training.train import train
from lina_lab.training.trained import keep_trained
from lina_lab.training.weights import checkpoint_weights
from tests.training.ranks import together
from tests.training.test_cell import experiment

CLIPPED = {"training__batch_size": 12, "training__gradient_clip": 0.2, "training__ema_every": 3}
PARTS = {"execution__accumulate": 2, "execution__activation_checkpointing": "block"}
BF16 = {"training__precision": "bf16"}


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
    cells.alone("one bf16", **BF16)
    together(
        2,
        (cells("sharded"), "fsdp", 0),
        (cells("paused"), "fsdp", 9),
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
    )
    cells.alone("to one")
    together(3, (cells("to three"), "fsdp", 8), (cells("three"), "fsdp", 0), (cells("to three"), "fsdp", 0))
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


@pytest.mark.parametrize("name", ["sharded", "to one", "to three", "to ddp", "from one", "three"])
def test_any_number_of_processes_trains_and_continues_the_same(cells, name):
    assert_close(cells(name), cells("one"))


@pytest.mark.parametrize("name", ["parts sharded", "parts ddp"])
def test_parts_and_blocks_computed_again_change_nothing(cells, name):
    assert_close(cells(name), cells("one"))

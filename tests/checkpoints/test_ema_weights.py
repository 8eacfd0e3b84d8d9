"""Averaged weights on disk."""

import shutil

import pytest
import torch
from safetensors.torch import load_file

from lina_lab.checkpoints.ema_weights import load_trained, training_seconds
from lina_lab.errors import LabError
from lina_lab.ledger.cells import create_cell
from tests.cells import experiment


@pytest.mark.slow
def test_trained_weights_come_back_and_damaged_ones_are_named(tmp_path, whole):
    with pytest.raises(LabError, match=r"ema\.safetensors.*not trained"):
        load_trained(create_cell(tmp_path / "new", experiment()))
    folder = shutil.copytree(whole, tmp_path / whole.name)
    weights = load_file(folder / "ema.safetensors")
    assert all(torch.equal(p, weights[name]) for name, p in load_trained(folder)[1].state_dict().items())
    (folder / "ema.safetensors").write_bytes((folder / "ema.safetensors").read_bytes()[:5000])
    with pytest.raises(LabError, match=r"ema\.safetensors.*damaged"):
        load_trained(folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ema.safetensors", "trained.json"])
def test_weights_with_a_changed_byte_count_as_not_trained(tmp_path, whole, name):
    folder = shutil.copytree(whole, tmp_path / whole.name)
    assert training_seconds(folder) > 0
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 16
    (folder / name).write_bytes(content)
    assert training_seconds(folder) is None

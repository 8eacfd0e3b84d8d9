"""What a training leaves on disk as it goes, and that it goes on from there to the same bits."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from lina_lab.ledger.cells import create_cell
from lina_lab.training.recorder import Recorder, checkpoints, newest_checkpoint
from lina_lab.training.train import train
from tests.cells import experiment, rows


@pytest.mark.parametrize("stop_after", [5, *(pytest.param(n, marks=pytest.mark.slow) for n in (4, 8, 9, 11))])
def test_a_killed_cell_continues_to_the_same_bits(tmp_path, dataset, whole, monkeypatch, stop_after):
    folder = create_cell(tmp_path, experiment())
    after = Recorder.on_train_batch_end

    def killed(self, trainer, *arguments):
        after(self, trainer, *arguments)
        if trainer.global_step == stop_after:
            raise SystemExit

    monkeypatch.setattr(Recorder, "on_train_batch_end", killed)
    with pytest.raises(SystemExit):
        train(folder, experiment(), dataset)
    monkeypatch.setattr(Recorder, "on_train_batch_end", after)
    assert newest_checkpoint(folder)[1] == {8: 4}.get(stop_after, stop_after // 4 * 4)
    model = train(folder, experiment(), dataset).model

    assert rows(folder) == [row for row in rows(whole) if not row[1].startswith("eval/")]
    weights = load_file(whole / "ema.safetensors")
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())


@pytest.mark.slow
def test_a_damaged_newest_checkpoint_is_set_aside_for_the_one_before(tmp_path, whole):
    folder = shutil.copytree(whole, tmp_path / "cell")
    newest, before = checkpoints(folder)
    newest.write_bytes(newest.read_bytes()[:1000])
    assert newest_checkpoint(folder) == (before, 4)
    assert newest.with_suffix(".ckpt.damaged").exists()
    before.write_bytes(b"")
    assert newest_checkpoint(folder) is None


@pytest.mark.slow
def test_the_state_of_a_running_cell_is_json_with_a_step(tmp_path, dataset):
    folder = create_cell(tmp_path, experiment())
    train(folder, experiment(), dataset)
    state = json.loads((folder / "state.json").read_text())
    assert (state["phase"], state["step"]) == ("training", 12)

"""The run of one cell, from request to result."""

import json
import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lina_lab.cell import run
from lina_lab.cell.attempt import attempt_cell
from lina_lab.cell.run import run_cell
from lina_lab.checkpoints.ema_weights import load_trained
from lina_lab.config.experiment import Experiment
from lina_lab.errors import LabError
from lina_lab.ledger.cells import create_cell
from lina_lab.ledger.metrics import read_metrics
from lina_lab.ledger.result import read_result
from lina_lab.ledger.status import read_status
from lina_lab.training import train as trainings
from lina_lab.training.as_numpy import checkpoint_weights
from lina_lab.training.module import parameter_groups, warmup
from lina_lab.training.recorder import Recorder, checkpoints, newest_checkpoint
from lina_lab.training.train import build_model, train

GOLDEN = Path(__file__).parents[1] / "ledger" / "golden" / "result-one-process.json"


def experiment(**changes: object) -> Experiment:
    values = {
        "name": "test",
        "model": {"size": "nano", "patch": 2, "attention": {"conv_kernel": 3, "kv_gate": "key_value"}},
        "training": {"steps": 12, "batch_size": 8, "learning_rate": 2e-3, "warmup_steps": 4},
        "sampling": {"autoregressive_steps": 4, "flow_steps": 3},
        "evaluation": {"num_samples": 50},
        "logging": {"every": 4, "validate_every": 8, "checkpoint_every": 4},
    }
    for path, value in changes.items():
        section, _, key = path.partition("__")
        values[section] = values.get(section, {}) | {key: value}
    return Experiment.model_validate(values)


@pytest.fixture
def dataset():
    return run.load_dataset(experiment().data)


def rows(folder):
    return [(row.step, row.metric, row.value) for row in read_metrics(folder)]


def test_a_cell_ends_with_weights_samples_metrics_and_a_result(tmp_path):
    folder = create_cell(tmp_path, experiment())
    assert run_cell(folder) == "done"

    result = read_result(folder)
    assert result.state == read_status(folder).state == "done"
    assert result.samples_seen == 96
    assert result.parameters["total"] == sum(p.numel() for p in build_model(experiment()).parameters())
    assert result.evaluation.num_generated == 50
    assert result.evaluation.guidance_scale == 1.0
    assert {"train/loss", "val/loss", "eval/fid/digits-cnn", "eval/kid/digits-cnn"} <= set(result.metrics)
    assert result.provenance.versions["torch"] == torch.__version__.partition("+")[0]
    assert {step for step, metric, _ in rows(folder) if metric == "train/loss"} == {4, 8, 12}
    assert {step for step, metric, _ in rows(folder) if metric == "val/loss"} == {8, 12}
    assert sorted(p.name for p in folder.glob("samples/*.png")) == ["step-0000008.png", "step-0000012.png"]
    with np.load(folder / "samples" / "generated.npz") as file:
        assert file["arr_0"].shape == (50, 8, 8, 3)
        assert file["arr_0"].dtype == np.uint8
        assert np.bincount(file["labels"]).tolist() == [5] * 10


def test_a_result_has_its_keys_in_the_order_that_it_always_had(tmp_path):
    folder = create_cell(tmp_path, experiment())
    run_cell(folder)
    written, golden = (json.loads(path.read_text()) for path in (folder / "result.json", GOLDEN))
    assert list(written) == list(golden)
    assert list(written["evaluation"]) == list(golden["evaluation"])
    assert list(written["provenance"]["code"])[:2] == ["path", "rooms"]
    in_git = {"commit", "diff_sha256"}
    known = [name for name in written["provenance"] if name not in in_git]
    assert known == [name for name in golden["provenance"] if name not in in_git]


def test_a_loss_in_the_metrics_is_the_mean_since_the_row_before(tmp_path, dataset):
    every_step = create_cell(tmp_path / "a", experiment(logging__every=1))
    train(every_step, experiment(logging__every=1), dataset)
    every_fourth = create_cell(tmp_path / "b", experiment())
    train(every_fourth, experiment(), dataset)
    single = [value for _, metric, value in rows(every_step) if metric == "train/loss"]
    mean = [value for _, metric, value in rows(every_fourth) if metric == "train/loss"]
    assert mean == pytest.approx([sum(single[i : i + 4]) / 4 for i in (0, 4, 8)], rel=1e-6)


@pytest.mark.parametrize("stop_after", [4, 5, 8, 9, 11])
def test_a_killed_cell_continues_to_the_same_bits(tmp_path, dataset, monkeypatch, stop_after):
    whole = create_cell(tmp_path / "whole", experiment())
    expected = train(whole, experiment(), dataset).model

    folder = create_cell(tmp_path / "killed", experiment())
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

    assert rows(folder) == rows(whole)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), expected.parameters(), strict=True))


def test_the_result_holds_the_averaged_weights(tmp_path, dataset):
    """The average equals the recursion written out."""
    steps = [1, 2, 3]
    averages = []
    for count in steps:
        folder = create_cell(tmp_path / str(count), experiment(training__steps=count, training__warmup_steps=0))
        changed = experiment(training__steps=count, training__warmup_steps=0, training__ema_decay=0.75)
        averages.append(train(folder, changed, dataset).model.head.out.bias.detach())
    live = [averages[0]]  # the first update copies the weights
    for earlier, later in pairwise(averages):
        live.append((later - 0.75 * earlier) / 0.25)
    plain = []
    for count in steps:
        changed = experiment(training__steps=count, training__warmup_steps=0, training__ema_decay=0.0)
        folder = create_cell(tmp_path / f"plain{count}", changed)
        plain.append(train(folder, changed, dataset).model.head.out.bias.detach())
    for ours, expected in zip(live, plain, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-7)


def test_the_weights_of_a_checkpoint_are_the_average_of_its_step(tmp_path, dataset):
    """As a training that ends there gives them."""
    folder = create_cell(tmp_path / "whole", experiment())
    train(folder, experiment(), dataset)
    shorter = experiment(training__steps=8)
    ended = train(create_cell(tmp_path / "short", shorter), shorter, dataset).model
    weights = checkpoint_weights(folder / "checkpoints" / "step-0000008.ckpt")
    assert weights.keys() == dict(ended.named_parameters()).keys()
    for name, parameter in ended.named_parameters():
        np.testing.assert_array_equal(weights[name], parameter.detach().numpy())


def test_a_damaged_newest_checkpoint_is_set_aside_for_the_one_before(tmp_path, dataset):
    folder = create_cell(tmp_path, experiment())
    train(folder, experiment(), dataset)
    newest, before = checkpoints(folder)
    newest.write_bytes(newest.read_bytes()[:1000])
    assert newest_checkpoint(folder) == (before, 4)
    assert newest.with_suffix(".ckpt.damaged").exists()
    before.write_bytes(b"")
    assert newest_checkpoint(folder) is None


def test_a_diverged_cell_says_at_which_step_and_is_no_crash(tmp_path, monkeypatch):
    from lina_lab.model.lina import Lina

    loss = Lina.loss
    calls = []

    def exploding(self, *arguments):
        calls.append(1)
        return loss(self, *arguments) * (float("nan") if len(calls) == 6 else 1.0)

    monkeypatch.setattr(Lina, "loss", exploding)
    folder = create_cell(tmp_path, experiment())
    assert run_cell(folder) == "diverged"
    result = read_result(folder)
    assert (result.state, result.diverged_at) == ("diverged", 6)
    assert not any(k.startswith("eval/") for k in result.metrics)
    assert [step for step, metric, _ in rows(folder) if metric == "train/loss"] == [4]


def test_bfloat16_trains_with_float32_weights(tmp_path, dataset):
    folder = create_cell(tmp_path, experiment(training__precision="bf16"))
    model = train(folder, experiment(training__precision="bf16"), dataset).model
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_a_validation_of_long_sequences_goes_in_parts_to_the_same_loss(tmp_path, dataset, monkeypatch):
    found = []
    for tokens in (trainings.VALIDATION_TOKENS, 100 * 20):  # all 500 held-out images together, and 100 at once
        monkeypatch.setattr(trainings, "VALIDATION_TOKENS", tokens)
        folder = create_cell(tmp_path / str(tokens), experiment())
        train(folder, experiment(), dataset)
        found.append([row.value for row in read_metrics(folder) if row.metric == "val/loss"])
    assert found[0]
    assert found[1] == pytest.approx(found[0], rel=1e-5)
    assert found[1] != found[0], "one forward is one sum, five are another"


def test_the_last_validation_is_in_the_precision_of_those_before(tmp_path, dataset):
    found = []
    for every in (12, 8):  # within the loop, and after it
        cell = experiment(training__precision="bf16", logging__validate_every=every)
        folder = create_cell(tmp_path / str(every), cell)
        train(folder, cell, dataset)
        found.append([row.value for row in read_metrics(folder) if row.metric == "val/loss"][-1])
    assert found[0] == found[1]


def test_gradient_clipping_changes_the_training(tmp_path, dataset):
    plain = train(create_cell(tmp_path / "a", experiment()), experiment(), dataset).model
    clipped = experiment(training__gradient_clip=1e-3)
    other = train(create_cell(tmp_path / "b", clipped), clipped, dataset).model
    assert not torch.equal(plain.head.out.weight, other.head.out.weight)


def test_weight_decay_spares_layer_norms_alone_and_frozen_parts_are_in_no_group():
    model = build_model(experiment())
    decayed, spared = parameter_groups(model, 0.02)
    names = {id(p): name for name, p in model.named_parameters()}
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.02, 0.0)
    assert all("norm" in names[id(p)] for p in spared["params"])
    assert not any("norm" in names[id(p)] for p in decayed["params"])
    assert any("gates" in names[id(p)] for p in decayed["params"])
    grouped = {id(p) for group in (decayed, spared) for p in group["params"]}
    assert grouped == {id(p) for p in model.parameters() if p.requires_grad}


def test_the_learning_rate_warms_up_from_a_thousandth_and_stays():
    assert warmup(0, 10_000) == pytest.approx(1e-4 + (1 - 1e-4) / 1000)
    assert warmup(9_999, 10_000) == pytest.approx(1.0)
    assert warmup(50_000, 10_000) == warmup(0, 0) == 1.0


def test_frozen_parameters_stay_as_they_were(tmp_path, dataset):
    model = train(create_cell(tmp_path, experiment()), experiment(), dataset).model
    fresh = dict(build_model(experiment()).named_parameters())
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:  # averaging equal weights rounds
            torch.testing.assert_close(parameter, fresh[name])


def test_trained_weights_come_back_and_damaged_ones_are_named(tmp_path):
    folder = create_cell(tmp_path, experiment())
    with pytest.raises(LabError, match=r"ema\.safetensors.*not trained"):
        load_trained(folder)
    run_cell(folder)
    weights = load_file(folder / "ema.safetensors")
    assert all(torch.equal(p, weights[name]) for name, p in load_trained(folder)[1].state_dict().items())
    (folder / "ema.safetensors").write_bytes((folder / "ema.safetensors").read_bytes()[:5000])
    with pytest.raises(LabError, match=r"ema\.safetensors.*damaged"):
        load_trained(folder)


def test_a_folder_that_is_no_cell_or_was_changed_is_refused(tmp_path):
    with pytest.raises(LabError, match=r"no config\.yaml"):
        run_cell(tmp_path)
    folder = create_cell(tmp_path, experiment())
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text.replace("steps: 12", "steps: 13"))
    with pytest.raises(LabError, match="was changed"):
        run_cell(folder)
    (folder / "config.yaml").write_text(text.replace("schema: 1", "schema: 0"))
    with pytest.raises(LabError, match="reads schema 1, not 0"):
        run_cell(folder)


def test_the_state_of_a_running_cell_is_json_with_a_step(tmp_path, dataset):
    folder = create_cell(tmp_path, experiment())
    train(folder, experiment(), dataset)
    state = json.loads((folder / "state.json").read_text())
    assert (state["phase"], state["step"]) == ("training", 12)


def test_samples_that_are_not_finite_end_a_cell_as_failed_without_a_number(tmp_path, caplog):
    wild = experiment(sampling__guidance_scale=1e30)
    folder = create_cell(tmp_path, wild)
    ended, reason = attempt_cell(folder, threading.Event())
    assert (ended, reason) == ("refused", reason)  # no retry can help: the draws are the same
    assert reason.startswith("samples not finite: 50 of 50 images hold NaN or infinite values")
    status = read_status(folder)
    assert (status.state, status.reason) == ("failed", reason)
    assert not (folder / "result.json").exists()
    assert not [row for row in rows(folder) if row[1].startswith("eval/")]
    assert {step for step, metric, _ in rows(folder) if metric == "val/loss"} == {8, 12}  # training itself is sound
    assert "step 8: no sheet of samples: samples not finite" in caplog.text

"""Points along a run: kept by the training, measured as the end is, and each what a run of that length would give."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from lina_lab.cell.points import num_measured
from lina_lab.cell.run import run_cell
from lina_lab.checkpoints.ema_weights import point_folder
from lina_lab.config.engine import Group
from lina_lab.ledger.cells import create_cell
from lina_lab.ledger.result import read_result
from lina_lab.training.recorder import Recorder
from tests.cells import experiment, rows

AT = [0.5, 0.25]


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """A cell of twelve steps, measured at three, six and twelve."""
    folder = create_cell(tmp_path_factory.mktemp("runs"), experiment(evaluation__at=AT))
    assert run_cell(folder) == "done"
    return folder


def measured(folder):
    """What is measured, which the seconds are not."""
    return [(p.at, p.step, p.samples_seen, p.flops, p.metrics, p.weights_sha256) for p in read_result(folder).points]


@pytest.mark.slow
def test_an_early_point_is_the_end_of_a_run_of_that_length(long, tmp_path):
    """The rate is constant after the warmup, so the two are one to the last bit."""
    short = create_cell(tmp_path, experiment(training__steps=6))
    assert run_cell(short) == "done"
    point, end = read_result(long).points[1], read_result(short)
    assert (point.at, point.step, point.samples_seen) == (0.5, end.steps, end.samples_seen)
    assert point.flops["training"] == end.flops["training"]
    weights, others = (load_file(f / "ema.safetensors") for f in (point_folder(long, 6), short))
    assert weights.keys() == others.keys()
    assert all(torch.equal(tensor, others[name]) for name, tensor in weights.items())
    evaluated = {name: value for name, value in end.metrics.items() if name.startswith("eval/")}
    assert evaluated
    assert point.metrics == evaluated


@pytest.mark.slow
def test_points_change_nothing_of_the_end(long, whole):
    with_points, without = read_result(long), read_result(whole)
    assert with_points.key != without.key
    assert with_points.metrics == without.metrics
    assert with_points.evaluation == without.evaluation


@pytest.mark.slow
def test_the_metrics_of_a_point_stand_at_its_step(long):
    found = {step: value for step, metric, value in rows(long) if metric == "eval/fid/digits-cnn"}
    assert list(found) == [3, 6, 12]
    assert [p.metrics["eval/fid/digits-cnn"] for p in read_result(long).points] == [found[3], found[6]]


@pytest.mark.slow
def test_a_cell_that_was_killed_loses_no_point(long, tmp_path, monkeypatch):
    folder = create_cell(tmp_path, experiment(evaluation__at=AT))
    after = Recorder.on_train_batch_end

    def killed(self, trainer, *arguments):
        after(self, trainer, *arguments)
        if trainer.global_step == 7:
            raise SystemExit

    monkeypatch.setattr(Recorder, "on_train_batch_end", killed)
    with pytest.raises(SystemExit):
        run_cell(folder)
    monkeypatch.setattr(Recorder, "on_train_batch_end", after)
    assert run_cell(folder) == "done"
    assert measured(folder) == measured(long)
    assert rows(folder) == rows(long)
    assert not num_measured(folder)


@pytest.mark.slow
def test_points_that_were_measured_are_not_measured_again(long, tmp_path, monkeypatch):
    folder = shutil.copytree(long, tmp_path / long.name)
    (folder / "result.json").unlink()
    drawn = []
    monkeypatch.setattr("lina_lab.cell.run.draw_set", lambda *a, **k: drawn.append(k["weights"]) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_cell(folder)
    assert drawn == [point_folder(folder, 3)]
    for point in read_result(long).points:
        (point_folder(folder, point.step) / "point.json").write_text(json.dumps(point.as_json()))
    with pytest.raises(ZeroDivisionError):
        run_cell(folder)
    assert drawn[1:] == [folder]


@pytest.mark.slow
def test_weights_of_a_point_that_are_gone_or_damaged_are_trained_again(long, tmp_path):
    folder = shutil.copytree(long, tmp_path / long.name)
    (folder / "result.json").unlink()
    (point_folder(folder, 3) / "ema.safetensors").write_bytes(b"")
    assert run_cell(folder) == "done"
    assert measured(folder) == measured(long)


@pytest.mark.slow
def test_a_group_keeps_the_points_of_one_process(long, tmp_path):
    """The first by processes that hold the whole model, the second by ones that share it."""
    folder = create_cell(tmp_path, experiment(evaluation__at=AT))
    assert run_cell(folder, until=4, group=Group(2)) == "paused"
    assert run_cell(folder, group=Group(2, strategy="fsdp")) == "done"
    assert [point.step for point in read_result(folder).points] == [3, 6]
    for step in (3, 6):
        ours, theirs = (load_file(point_folder(f, step) / "ema.safetensors") for f in (folder, long))
        assert ours.keys() == theirs.keys()
        for name, tensor in theirs.items():
            torch.testing.assert_close(ours[name], tensor, rtol=1e-3, atol=2e-5)

"""A sweep that is looked at while it runs: what the page says is what the ledger says."""

import os
import shutil

import numpy as np
import pytest

from lina_lab.errors import LabError
from lina_lab.ledger.cells import create_cell
from lina_lab.ledger.leases import Watch, claim, forgive
from lina_lab.ledger.metrics import append_metrics, read_metrics, rewind_metrics
from lina_lab.ledger.plan import plan_path, store_plan
from lina_lab.ledger.status import write_state
from lina_lab.metric_names import LOSS
from lina_lab.report import watch
from lina_lab.report.watch import TRAINING_LOSS, GrowingCurves, SweepWatch
from tests.study import PROVENANCE, TWO


def curve_of(folder, metric):
    """By the ledger's own reader: the finite values by their last row, in the order of steps."""
    found = {row.step: row.value for row in read_metrics(folder) if row.metric == metric and np.isfinite(row.value)}
    return dict(sorted(found.items()))


def as_dict(curve):
    return dict(zip(curve.steps.tolist(), curve.values.tolist(), strict=True))


def test_curves_are_those_of_the_ledger_at_every_moment(tmp_path):
    curves, draw = GrowingCurves(tmp_path / "metrics.csv"), np.random.default_rng(0)
    assert curves.now() == {}
    for step in range(0, 400, 10):
        append_metrics(tmp_path, step, {TRAINING_LOSS: draw.normal(), "train/learning_rate": 1.0})
        if step % 50 == 0:
            append_metrics(tmp_path, step, {LOSS: draw.normal() if step % 100 else float("nan")})
        if step == 250:  # it continues from an earlier checkpoint
            rewind_metrics(tmp_path, 120)
            append_metrics(tmp_path, 130, {TRAINING_LOSS: draw.normal()})
        if step % 30 == 0:
            assert as_dict(curves.now()[TRAINING_LOSS]) == curve_of(tmp_path, TRAINING_LOSS)
    assert as_dict(curves.now()[LOSS]) == curve_of(tmp_path, LOSS)


def test_a_file_that_was_written_anew_at_the_same_length_is_read_from_its_start(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("step,metric,value,time\r\n1,val/loss,2.5,1.000\r\n")
    curves = GrowingCurves(path)
    curves.now()
    path.write_text("step,metric,value,time\r\n1,val/loss,3.5,9.000\r\n2,val/loss,1.0,9.000\r\n")
    assert as_dict(curves.now()[LOSS]) == {1: 3.5, 2: 1.0}


def test_only_what_is_new_is_read(tmp_path, monkeypatch):
    for step in range(2000):
        append_metrics(tmp_path, step, {LOSS: 1.0})
    curves, taken = GrowingCurves(tmp_path / "metrics.csv"), []
    curves.now()
    monkeypatch.setattr(GrowingCurves, "_take", lambda self, line: taken.append(line))
    curves.now()
    assert taken == []
    append_metrics(tmp_path, 2000, {LOSS: 1.0})
    curves.now()
    assert len(taken) == 1


@pytest.mark.parametrize(
    "broken",
    [
        b"7,val/lo",
        b"7,val/loss,2",
        b"x,val/loss,2,1\r\n",
        b"7,val/loss,two,1\r\n",
        b"\xff\x00,val/loss\r\n",
        b"\r\n",
        b"7\r\n",
    ],
)
def test_a_row_that_is_half_written_or_none_is_passed_over(tmp_path, broken):
    append_metrics(tmp_path, 1, {LOSS: 2.0})
    path = tmp_path / "metrics.csv"
    whole = path.read_bytes()
    path.write_bytes(whole + broken)
    curves = GrowingCurves(path)
    assert as_dict(curves.now()[LOSS]) == {1: 2.0}
    path.write_bytes(whole + b"7,val/loss,2.25,1.0\r\n")  # the rest has come
    assert as_dict(curves.now()[LOSS]) == {1: 2.0, 7: 2.25}


def test_states_shares_and_sheets(study):
    made = study()
    made.unfinish(0, "waiting")
    made.unfinish(1, "failed", "no <space> left")
    made.unfinish(2, "running")
    write_state(made.folder(2), phase="training", step=25, steps=100, loss=0.5, seconds_left=30.0)
    made.change(3, state="diverged", diverged_at=7)
    (made.folder(2) / "samples").mkdir()
    for name in ("step-0000010.png", "step-0000002.png", "generated.npz", ".step-0000003.png.1.part"):
        (made.folder(2) / "samples" / name).touch()
    seen = SweepWatch(made.runs, "fake")
    look = seen.look()
    assert look.states == ["waiting", "failed", "running", "diverged", *["done"] * 4]
    assert look.cells[1].status.reason == "no <space> left"
    assert look.cells[2].sheets == ["step-0000002.png", "step-0000010.png"]
    assert [cell.steps for cell in look.cells] == [100] * 8
    flops = [cell.flops for cell in made.plan.cells]
    assert look.share == pytest.approx((0.25 * flops[2] + sum(flops[3:])) / sum(flops))
    assert (look.seconds_left, look.is_over) == (None, False)  # how fast steps go is not known yet
    write_state(made.folder(2), phase="training", step=50, steps=100, loss=0.5, seconds_left=20.0)
    assert seen.look().seconds_left > 20  # of this cell, and the one that waits


def test_no_time_left_is_told_where_nothing_is_at_work(study):
    made = study(axes=TWO)
    made.unfinish(0, "waiting")
    look = SweepWatch(made.runs, "fake").look()
    assert (look.seconds_left, look.is_over) == (None, False)


def test_a_sweep_that_goes_on_is_seen_to(study):
    made = study(axes=TWO)
    seen = SweepWatch(made.runs, "fake")
    assert seen.look().is_over
    made.unfinish(0, "failed", "full disk")
    assert (seen.look().states, seen.look().is_over) == (["failed", "done"], True)
    forgive(made.folder(0))
    assert not seen.look().is_over
    with claim(made.folder(0), Watch()):
        assert seen.look().states == ["running", "done"]


def test_before_there_are_folders_and_after_they_are_gone(study):
    made = study(axes=TWO)
    seen = SweepWatch(made.runs, "fake")
    for cell in made.plan.cells:
        shutil.rmtree(made.runs / cell.key)
        look = seen.look()
    assert (look.states, look.share, [cell.curves for cell in look.cells]) == (["waiting"] * 2, 0, [{}, {}])
    before = SweepWatch(made.runs, "fake")
    assert [cell.steps for cell in before.look().cells] == [None, None]
    for cell in made.plan.cells:
        create_cell(made.runs, made.planned.experiments[cell.key])
    assert [cell.steps for cell in before.look().cells] == [100, 100]


def test_a_sweep_without_cells(study):
    made = study(axes=TWO)
    store_plan(made.runs, made.plan._replace(cells=[], name="empty"), PROVENANCE)
    look = SweepWatch(made.runs, "empty").look()
    assert (look.cells, look.share, look.is_over) == ([], 0.0, True)


def test_another_plan_of_the_name_is_shown_and_a_lost_one_is_named(study):
    made = study(axes=TWO)
    seen = SweepWatch(made.runs, "fake")
    assert len(seen.look().cells) == 2
    store_plan(made.runs, made.plan._replace(cells=made.plan.cells[:1], id=""), PROVENANCE)
    assert len(seen.look().cells) == 1
    plan_path(made.runs, "fake").unlink()
    with pytest.raises(LabError, match="no sweep of that name"):
        seen.look()


def test_nothing_is_written_and_a_result_is_read_once(study, monkeypatch):
    made = study()
    made.unfinish(0, "running")

    def files():
        return {path: path.stat().st_mtime_ns for path in made.runs.rglob("*") if path.is_file()}

    read, folders, before = watch.read_cell, [], files()
    monkeypatch.setattr(watch, "read_cell", lambda folder: folders.append(folder) or read(folder))
    seen = SweepWatch(made.runs, "fake")
    seen.look()
    seen.look()
    assert (len(folders), files()) == (7 + 2, before)
    os.utime(made.folder(3) / "result.json")
    seen.look()
    assert len(folders) == 9 + 2

"""A longer training goes on from the end of a shorter one, to the bits of one that nothing interrupted."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lina_lab.cell.run import run_cell
from lina_lab.config.experiment import Experiment
from lina_lab.cost import training_flops
from lina_lab.ledger.cells import create_cell
from lina_lab.ledger.metrics import append_metrics
from lina_lab.ledger.result import read_result, write_result
from lina_lab.model.random_streams import step_streams
from lina_lab.training.train import train
from tests.cells import experiment, rows


def ended(runs: Path, **changes: object) -> Path:
    """The folder of a cell that has run to its end, and keeps it."""
    folder = create_cell(runs, experiment(checkpoint__keep_end="yes", **changes))
    assert run_cell(folder) == "done"
    return folder


def assert_like(folder: Path, whole: Path) -> None:
    """The same training and the same measurements: every bit of weights, metrics and images.

    But for the held-out loss where the shorter one ended: that is its last, which has more draws.
    """
    continued = read_result(folder).continued
    at = continued and continued.step
    ours, theirs = (
        [row for row in rows(each) if not (row[0] == at and row[1].startswith("val/"))] for each in (folder, whole)
    )
    assert ours == theirs
    for name in ("ema.safetensors", "samples/generated.npz"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
    ours, theirs = read_result(folder), read_result(whole)
    assert (ours.metrics, ours.flops, ours.steps) == (theirs.metrics, theirs.flops, theirs.steps)
    assert ours.samples_seen == theirs.samples_seen


@pytest.fixture(scope="module")
def short(tmp_path_factory) -> Path:
    """A cell of 5 steps, which no window of its logging and no validation ends at; other images are drawn from it."""
    runs = tmp_path_factory.mktemp("short")
    return ended(runs, training__steps=5, sampling__guidance_scale=2.0, evaluation__num_samples=40)


@pytest.fixture
def runs(tmp_path, short) -> Path:
    shutil.copytree(short, tmp_path / short.name)
    return tmp_path


def continued(runs: Path, wanted: Experiment | None = None) -> Path:
    folder = create_cell(runs, wanted or experiment())
    assert run_cell(folder) == "done"
    return folder


@pytest.mark.slow
def test_a_longer_cell_has_the_bits_of_an_uninterrupted_one_and_says_where_it_went_on(runs, short, whole, monkeypatch):
    steps = []

    def noted(seed, step):
        steps.append(step)
        return step_streams(seed, step)

    monkeypatch.setattr("lina_lab.training.module.step_streams", noted)
    folder = continued(runs)
    assert steps == list(range(5, 12)), "no step is trained twice"
    assert_like(folder, whole)
    result = read_result(folder)
    assert (result.continued.cell, result.continued.step) == (short.name, 5)
    assert 0 < result.continued.seconds < result.seconds["training"], "all seconds, and those of the earlier cell"
    assert result.continued.seconds <= read_result(short).seconds["training"]
    assert result.flops["training"] == training_flops(experiment())
    assert read_result(whole).continued is None


@pytest.mark.slow
@pytest.mark.parametrize("steps", [4, 8, 11])
@pytest.mark.parametrize("more", [{}, {"ema_every": 3, "gradient_clip": 0.1, "warmup_steps": 3}])
def test_wherever_the_shorter_one_ends_the_bits_are_the_same(tmp_path, steps, more):
    more = {f"training__{name}": value for name, value in more.items()}
    whole = continued(tmp_path / "whole", experiment(**more))
    ended(tmp_path / "two", **more | {"training__steps": steps})
    folder = continued(tmp_path / "two", experiment(**more))
    assert read_result(folder).continued.step == steps
    assert_like(folder, whole)


@pytest.mark.slow
def test_the_longest_shorter_one_counts_and_an_end_may_come_from_a_continued_cell(runs, short, whole):
    middle = ended(runs, training__steps=9)
    assert read_result(middle).continued.cell == short.name
    folder = continued(runs)
    result = read_result(folder)
    assert (result.continued.cell, result.continued.step) == (middle.name, 9)
    assert result.continued.seconds > read_result(middle).continued.seconds
    assert_like(folder, whole)


@pytest.mark.slow
def test_a_continued_cell_that_is_stopped_goes_on_from_its_own_checkpoint_and_still_says_where_it_began(runs, whole):
    folder = create_cell(runs, experiment())
    assert run_cell(folder, until=8) == "paused"
    shutil.rmtree(next(runs.glob("*/end")))
    assert run_cell(folder) == "done"
    assert read_result(folder).continued.step == 5
    assert_like(folder, whole)


@pytest.mark.slow
def test_where_all_checkpoints_and_the_end_are_lost_nothing_says_that_it_was_continued(runs, whole):
    folder = create_cell(runs, experiment())
    assert run_cell(folder, until=8) == "paused"
    shutil.rmtree(next(runs.glob("*/end")))
    shutil.rmtree(folder / "checkpoints")
    assert run_cell(folder) == "done"
    assert read_result(folder).continued is None
    assert_like(folder, whole)


def spoil(folder: Path, how: str) -> None:
    state = next((folder / "end").glob("*.ckpt"))
    if how == "damaged":
        content = bytearray(state.read_bytes())
        content[len(content) // 2] ^= 1
        state.write_bytes(content)
    elif how == "missing":
        state.unlink()
    elif how == "data":
        (folder / "data.sha256").write_text("0" * 64)
    elif how == "unfinished":
        (folder / "result.json").unlink()
    else:
        result = read_result(folder)
        code = replace(result.provenance.code, rooms=result.provenance.code.rooms | {"model": "0123456789ab"})
        write_result(folder, replace(result, provenance=replace(result.provenance, code=code)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("damaged", "its end state is missing or damaged"),
        ("missing", "its end state is missing or damaged"),
        ("data", "its data have changed"),
        ("other code", "it ran other code: files under model differ"),
        ("unfinished", ""),
    ],
)
def test_an_end_that_cannot_serve_is_said_and_the_cell_trains_from_the_start(runs, short, whole, caplog, how, said):
    spoil(runs / short.name, how)
    folder = continued(runs)
    assert read_result(folder).continued is None
    lines = [record.getMessage() for record in caplog.records if "does not go on" in record.getMessage()]
    assert lines == ([f"does not go on from {short.name}, step 5: {said}"] if said else [])
    assert_like(folder, whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [{"training__batch_size": 4}, {"training__warmup_steps": 3}, {"execution__accumulate": 2}]
)
def test_another_training_does_not_go_on_from_it(runs, changes):
    assert read_result(continued(runs, experiment(**changes))).continued is None


@pytest.mark.slow
def test_a_loss_is_the_mean_of_its_window_whatever_the_earlier_logging(runs, whole, short):
    append_metrics(runs / short.name, 5, {"eval/geneval": 1.0})  # of a later measurement
    folder = continued(runs, experiment(logging__every=3))
    uninterrupted = continued(runs / "other", experiment(logging__every=3))
    ours, theirs = ([r for r in rows(f) if r[0] > 5] for f in (folder, uninterrupted))
    assert [row[:2] for row in ours] == [row[:2] for row in theirs]
    # Step 5 was in no window of the shorter cell, so the first window here is steps 5 and 6.
    losses = {
        step: value
        for step, name, value in rows(continued(runs / "each", experiment(logging__every=1)))
        if name == "train/loss"
    }
    found = {step: value for step, name, value in ours if name == "train/loss"}
    assert found[6] == pytest.approx((losses[5] + losses[6]) / 2)
    assert found[9] == pytest.approx((losses[7] + losses[8] + losses[9]) / 3)
    assert not any(name.startswith("eval/") and step == 5 for step, name, _ in rows(folder))


@pytest.mark.slow
@pytest.mark.parametrize("asked", ["auto", "no"])
def test_no_end_is_kept_unless_it_is_asked_for(tmp_path, dataset, asked):
    wanted = experiment(training__steps=4, checkpoint__keep_end=asked)
    train(create_cell(tmp_path, wanted), wanted, dataset)
    assert not list(tmp_path.glob("*/end"))


@pytest.mark.slow
def test_the_record_of_an_end_names_its_training_and_its_step(short):
    record = json.loads((short / "end" / "end.json").read_text())
    assert record["step"] == 5
    assert [path.name for path in (short / "end").glob("*.ckpt")] == ["step-0000005.ckpt"]


@pytest.mark.slow
def test_a_trial_that_pauses_before_an_end_does_not_begin_there(runs):
    folder = create_cell(runs, experiment())
    assert run_cell(folder, until=5) == "paused"
    assert not (folder / "continued.json").exists()

"""Parts of a sweep: what is asked for is what runs, and a part that is not there is named with what is."""

from pathlib import Path

import pytest

from lina_lab.config.load import Document
from lina_lab.config.sweep import Sweep
from lina_lab.errors import LabError
from lina_lab.ledger.part import belongs, parse_part
from lina_lab.sweep.budget import to_do
from lina_lab.sweep.planning import PlannedSweep, expand
from lina_lab.sweep.run import Steering
from lina_lab.sweep.tune import num_trials
from tests.study import AXES, EXPERIMENT

TUNE = {"search": {"training.learning_rate": {"low": 1e-4, "high": 1e-1}}, "trials": 3}


def planned(*words: str, **more: object) -> PlannedSweep:
    values = {"name": "fake", "question": "?", "experiment": "-", "axes": AXES, "seeds": [0, 1], **more}
    found = expand(Sweep.model_validate(values), Document(EXPERIMENT, {}), Document({}, {}), Path("fake.yaml"))
    return found._replace(part=parse_part(words, found.plan))


def test_all_words_must_hold_and_any_value_of_one():
    found = planned("size=nano,micro", "seed=1", "model.attention.conv_kernel=5")
    cells = [(cell.values["normalization"], cell.values["size"], cell.seed) for cell in found.own_cells]
    assert cells == [(n, s, 1) for n in ("division", "subtraction") for s in ("nano", "micro")]
    assert found.how_many == "4 of 16"
    assert planned().how_many == "16"


def test_parts_by_any_axis_are_the_whole_and_share_nothing():
    whole = planned().own_cells
    for axis, values in {"seed": "01", "size": ["nano", "micro"], "conv_kernel": "05"}.items():
        parts = [planned(f"{axis}={value}").own_cells for value in values]
        assert sorted(cell.key for part in parts for cell in part) == sorted(cell.key for cell in whole)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["size"], "--where size: must be AXIS=VALUE"),
        (["width=3"], "the axes are normalization, conv_kernel, size, seed"),
        (["size=tiny"], "size never takes tiny here; its values are nano, micro"),
        (["seed=0,7"], "seed never takes 7 here; its values are 0, 1"),
        (["conv_kernel="], "conv_kernel never takes  here"),
    ],
)
def test_a_part_that_the_plan_has_not_is_named_with_what_it_has(words, message):
    with pytest.raises(LabError, match=message):
        planned(*words)


def test_a_part_without_a_cell_is_refused():
    excluded = [{"model.size": "nano", "model.attention.conv_kernel": 5}]
    with pytest.raises(LabError, match="--where size=nano conv_kernel=5: no cell of fake has these values"):
        planned("size=nano", "conv_kernel=5", exclude=excluded)


def test_of_a_part_alone_cells_run_and_are_counted_and_the_plan_is_of_all(tmp_path):
    found = planned("seed=1", "size=nano")
    assert len(to_do(tmp_path, found)) == 4
    steering = Steering(tmp_path, found, 0)
    folders, _ = steering.advance()
    assert {folder.name for folder in folders} == {cell.key for cell in found.own_cells}
    assert len(steering.stored.cells) == 16


def test_of_a_tuning_only_the_trials_that_a_part_needs_run(tmp_path):
    assert num_trials(planned(tune=TUNE)) == 24
    found = planned("size=nano", "conv_kernel=5", "seed=1", tune=TUNE)
    assert num_trials(found) == 6
    assert len(to_do(tmp_path, found)) == 2 + 6
    steering = Steering(tmp_path, found, 0)
    steering.advance()
    assert {(t.values["size"], t.values["conv_kernel"]) for t in steering.stored.trials} == {("nano", 5)}
    assert all(belongs(trial, found.part) for trial in steering.stored.trials)


def test_a_size_that_is_tuned_elsewhere_needs_the_trials_of_that_size():
    found = planned("size=micro", tune=TUNE | {"at": "nano"})
    assert num_trials(found) == 4 * 3

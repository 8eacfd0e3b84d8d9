"""The cells that a next study may have, what its pilot tells of them, and its file."""

from pathlib import Path

import pytest
import yaml

from lina_lab.analysis.study_metric import study_metric
from lina_lab.analysis.table import results_table
from lina_lab.errors import LabError
from lina_lab.sweep.next_study import next_size, pilot_settings, questions, study_cells, study_yaml, widest
from lina_lab.sweep.planning import load_sweep
from tests.study import FakeStudy

SWEEP = """\
name: fake
question: Which is better?
experiment: {base}
set: {{training.steps: 300}}
set_where:
  - {{where: {{model.size: nano}}, set: {{training.learning_rate: 2e-3, training.weight_decay: 0.1}}}}
  - {{where: {{model.size: micro}}, set: {{training.learning_rate: 1e-3}}}}
axes:
  model.attention.normalization: [division, subtraction]
  model.size: [nano, micro]
seeds: [3, 0]
"""
BASE = Path(__file__).parents[2] / "experiments" / "digits.yaml"


@pytest.fixture
def file(tmp_path):
    (tmp_path / "sweeps").mkdir()
    path = tmp_path / "sweeps" / "fake.yaml"
    path.write_text(SWEEP.format(base=BASE))
    return path


def test_sizes_follow_their_own_ladder():
    assert [next_size(size) for size in ("nano", "small", "base", "B", "H")] == ["micro", "base", None, "L", None]


def test_a_study_may_have_the_next_size_and_more_seeds_with_the_same_keys(file):
    planned = load_sweep(file)
    study = widest(planned, lambda settings: load_sweep(file, settings), 5)
    assert (study.asked, study.more, study.seeds) == (("nano", "micro"), ("tiny",), (3, 0, 1, 2, 4))
    assert {cell.key for cell in planned.plan.cells} < {cell.key for cell in study.planned.plan.cells}
    assert len(study.planned.plan.cells) == 2 * 3 * 5
    assert study.planned.plan.name == "fake"
    assert pilot_settings(study) == {"model.size": ["nano", "micro"], "seeds": [3, 0, 1]}


def test_a_sweep_without_sizes_is_refused(file):
    file.write_text(file.read_text().replace("  model.size: [nano, micro]\n", "").partition("set_where")[0]
                    + "axes: {model.attention.normalization: [division, subtraction]}\n")  # fmt: skip
    planned = load_sweep(file)
    with pytest.raises(LabError, match=r"must have model\.size"):
        widest(planned, lambda settings: load_sweep(file, settings), 5)


def test_the_file_is_the_sweep_with_what_was_chosen(file, tmp_path):
    settings = {
        "model.size": ["micro", "tiny"],
        "seeds": [3, 0, 1],
        "name": "fake-planned",
        "training.weight_decay": 0.2,
    }
    text = study_yaml(file, settings, ["Why."], tmp_path)
    assert text.startswith("# Why.\n")
    values = yaml.safe_load(text)
    assert values["axes"]["model.size"] == ["micro", "tiny"]
    assert values["set"] == {"training.steps": 300, "training.weight_decay": 0.2}
    assert [entry["where"] for entry in values["set_where"]] == [{"model.size": "micro"}]
    assert (tmp_path / values["experiment"]).resolve() == BASE
    written = tmp_path / "planned.yaml"
    written.write_text(text)
    by_options = load_sweep(file, settings)
    assert [cell.key for cell in load_sweep(written).plan.cells] == [cell.key for cell in by_options.plan.cells]


def test_a_study_that_is_no_valid_sweep_is_not_written(file, tmp_path):
    with pytest.raises(LabError, match="gigantic"):
        study_yaml(file, {"model.size": ["gigantic"]}, [], tmp_path)


@pytest.mark.slow
def test_cells_of_the_pilot_are_done_and_tell_the_rest(tmp_path):
    axes = {"model.attention.normalization": ["division", "subtraction"], "model.size": ["nano", "micro"]}
    study = FakeStudy(tmp_path, [0, 1], axes)
    table = results_table(tmp_path, study.plan).assign(flops_sampling=1e7)
    cells = study_cells(study.planned, table)
    assert [(cell.seconds, cell.done, cell.extrapolated) for cell in cells[:1]] == [(cells[0].seconds, True, False)]
    assert all(cell.done for cell in cells)
    asked = questions(study.planned, table, study_metric(table, study.plan), cells)
    (question,) = asked.questions
    assert (question.pair.axis, question.pilot.sizes, asked.comparisons) == ("normalization", ("nano", "micro"), 1)
    assert question.kept == {(size, seed) for size in ("nano", "micro") for seed in "01"}
    assert any(line.startswith("which scales better: the learning rate") for line in asked.against)
    with pytest.raises(LabError, match="how long it took"):
        study_cells(study.planned, table.drop(columns="training_seconds"))


@pytest.mark.slow
def test_one_seed_is_no_pilot(tmp_path):
    axes = {"model.attention.normalization": ["division", "subtraction"], "model.size": ["nano", "micro"]}
    study = FakeStudy(tmp_path, [0], axes)
    table = results_table(tmp_path, study.plan).assign(flops_sampling=1e7)
    asked = questions(study.planned, table, study_metric(table, study.plan), study_cells(study.planned, table))
    assert asked.questions == []
    assert "spread over seeds was not measured" in asked.without[0]

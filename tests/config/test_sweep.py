"""A sweep and its plan: every point of the grid is a cell once, or is left out with a reason."""

import re

import pytest

from lina_lab.config.load import ConfigError
from lina_lab.config.naming import set_name
from lina_lab.config.sweep import axis_names, cell_label, left_out, load_sweep, parse_settings
from lina_lab.errors import LabError

BASE = """\
name: base
model: {size: nano, patch: 2}
training: {steps: 10, batch_size: 4, learning_rate: 1e-3}
"""
SWEEP = """\
name: s
question: Which?
experiment: base.yaml
axes:
  model.attention.normalization: [division, subtraction, softmax]
  model.attention.feature_map: [relu, elu1, identity]
seeds: [0, 1]
"""


@pytest.fixture
def sweep(tmp_path):
    (tmp_path / "base.yaml").write_text(BASE)

    def make(text: str = SWEEP):
        (tmp_path / "s.yaml").write_text(text)
        return tmp_path / "s.yaml"

    return make


def test_the_grid_is_the_product_less_what_means_nothing_or_the_same(sweep):
    plan = load_sweep(sweep())
    assert len(plan.cells) == len({c.key for c in plan.cells}) == (9 - 1 - 2) * 2
    reasons = {tuple(o.values.values()): o.reason for o in plan.omitted}
    assert set(reasons) == {("division", "identity"), ("softmax", "elu1"), ("softmax", "identity")}
    assert "positive feature map" in reasons["division", "identity"]
    assert reasons["softmax", "identity"] == "the same computation as softmax relu, which stands for both"
    assert left_out(plan.omitted)[1].startswith("left out: softmax elu1; softmax identity: the same computation")
    assert plan.axes == {
        "normalization": "model.attention.normalization",
        "feature_map": "model.attention.feature_map",
    }


def test_cells_under_one_seed_share_everything_but_their_design(sweep):
    plan = load_sweep(sweep())
    for cell in plan.cells:
        assert cell.experiment.seed == cell.seed
        assert cell.experiment.model.decoder.normalization == cell.values["normalization"]
        assert cell.experiment.model.context.normalization == cell.values["normalization"]


def test_an_excluded_combination_is_listed_with_its_reason(sweep):
    text = SWEEP + "exclude:\n  - {model.attention.normalization: softmax}\n"
    plan = load_sweep(sweep(text))
    assert not any(c.values["normalization"] == "softmax" for c in plan.cells)
    assert sum("excluded by" in o.reason for o in plan.omitted) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("question: Which?\n", ""), "s.yaml:1: question: is missing"),
        (("axes:", "axis:"), "s.yaml:4: axis: unknown key; did you mean axes?"),
        (("relu, elu1", "relu, elu2"), "s.yaml:6: model.attention.feature_map: must be 'relu', 'elu1' or 'identity'"),
        (("feature_map:", "feature_mapp:"), "s.yaml:6: model.attention.feature_mapp: unknown key; did you mean"),
        (("[relu, elu1, identity]", "[]"), "s.yaml:6: axes.model.attention.feature_map: "),
        (("[relu, elu1, identity]", "relu"), "s.yaml:6: axes.model.attention.feature_map: "),
        (("seeds: [0, 1]", "seeds: [-1]"), "s.yaml:7: seeds.0: must be greater than or equal to 0, not -1"),
        (("base.yaml", "bose.yaml"), "bose.yaml: no such file; did you mean"),
        (("name: s", "name: a/b"), "s.yaml:1: name: must match pattern"),
        (
            ("seeds: [0, 1]", "exclude: [{model.size: tiny}]"),
            "s.yaml:7: exclude: model.size is no axis of this sweep; its axes are",
        ),
        (
            ("seeds: [0, 1]", "exclude: [{model.attention.feature_map: gelu}]"),
            "s.yaml:7: exclude: model.attention.feature_map never takes 'gelu' here",
        ),
        (
            ("seeds: [0, 1]", "set: {training.stepz: 3}"),
            "s.yaml:7: training.stepz: unknown key; did you mean steps?",
        ),
    ],
)
def test_a_mistake_in_a_sweep_is_named_with_its_line(sweep, change, message):
    with pytest.raises(LabError) as caught:
        load_sweep(sweep(SWEEP.replace(*change)))
    assert message in str(caught.value)


def test_a_sweep_of_meaningless_cells_alone_is_refused(sweep):
    text = SWEEP.replace("[division, subtraction, softmax]", "[division]").replace("relu, elu1, identity", "identity")
    with pytest.raises(LabError, match="no cell is left: division needs a positive feature map"):
        load_sweep(sweep(text))


def test_designs_that_cannot_stand_with_a_normalization_are_left_out_by_name(sweep):
    text = SWEEP.replace("[division, subtraction, softmax]", "[division, softmax, mediator]")
    text = text.replace(
        "feature_map: [relu, elu1, identity]", "memory_groups: [1, 4]\n  model.position: [table, rotary]"
    )
    plan = load_sweep(sweep(text))
    found = {tuple(cell.values.values()) for cell in plan.cells}
    assert found == {
        *(("division", groups, position) for groups in (1, 4) for position in ("table", "rotary")),
        *(("softmax", 1, position) for position in ("table", "rotary")),
        ("mediator", 1, "table"),
    }
    reasons = {tuple(o.values.values()): o.reason for o in plan.omitted}
    assert "softmax has no memory to split" in reasons["softmax", 4, "table"]
    assert "rotary cannot stand with mediator" in reasons["mediator", 1, "rotary"]


def test_the_same_cell_under_two_names_is_one_cell(sweep):
    text = SWEEP.replace("[relu, elu1, identity]", "[relu, relu]")
    plan = load_sweep(sweep(text))
    assert len(plan.cells) == 6


def test_settings_change_the_base_an_axis_or_the_seeds(sweep):
    settings = parse_settings(["training.steps=5", "model.attention.feature_map=elu1", "seeds=[7]", "name=t"])
    plan = load_sweep(sweep(), settings)
    assert plan.sweep.name == "t"
    assert {c.experiment.training.steps for c in plan.cells} == {5}
    assert {c.values["feature_map"] for c in plan.cells} == {"elu1"}
    assert {c.seed for c in plan.cells} == {7}


def test_a_setting_wins_over_the_sweeps_own_changes(sweep):
    path = sweep(SWEEP + "set: {training.steps: 8}\n")
    assert {c.experiment.training.steps for c in load_sweep(path).cells} == {8}
    assert {c.experiment.training.steps for c in load_sweep(path, {"training.steps": 9}).cells} == {9}


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["training.steps=600"], "s-steps-600"),
        (["training.steps=600", "training.batch_size=8"], "s-batch_size-8-steps-600"),
        (["training.batch_size=8", "training.steps=600"], "s-batch_size-8-steps-600"),
        (["training.learning_rate=2e-3"], "s-learning_rate-0.002"),
        (["seeds=[7, 8]"], "s-seeds-7-8"),
        (["model.attention.kv_gate=key"], "s-kv_gate-key"),
        (["training.steps=600", "logging.every=5"], "s-steps-600"),
        (["logging.every=5", "execution.accumulate=2"], "s"),
        (["training.steps=10"], "s"),  # as it is
        (["sampling.flow_steps=25"], "s"),  # as it is by default
        (["seeds=[0, 1]"], "s"),
        (["training.steps=600", "name=mine"], "mine"),
    ],
)
def test_settings_that_change_cells_and_no_others_give_the_sweep_a_name_of_its_own(sweep, words, name):
    plan = load_sweep(sweep(), parse_settings(words))
    assert (plan.sweep.name, plan.file) == (name, sweep())


def test_a_sweep_that_cannot_run_without_a_setting_has_it_in_its_name(sweep):
    path = sweep(SWEEP + "set: {training.batch_size: 0}\n")
    assert load_sweep(path, {"training.batch_size": 4}).sweep.name == "s-batch_size-4"


@pytest.mark.parametrize("value", ["a/b c", "../x", "$(rm)", "ü" * 300, {"cell": "0123456789ab"}, "x" * 300])
def test_a_name_of_settings_is_a_safe_file_name_and_tells_values_apart(value):
    name = set_name("s", {"path": "data.path"}, {"data.path": value})
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,119}", name)
    assert name != set_name("s", {"path": "data.path"}, {"data.path": f"{value} "})
    assert name == set_name("s", {"path": "data.path"}, {"data.path": value})


@pytest.mark.parametrize("word", ["training.steps", "=3", ""])
def test_a_setting_without_key_or_value_is_refused(word):
    with pytest.raises(LabError, match="must be key=value"):
        parse_settings([word])


def test_axis_names_are_short_unless_two_would_share_one():
    assert axis_names({"model.attention.kv_gate": 0, "model.size": 0, "training.learning_rate": 0}) == {
        "kv_gate": "model.attention.kv_gate",
        "size": "model.size",
        "learning_rate": "training.learning_rate",
    }
    assert axis_names({"data.name": 0, "model.decoder.kv_gate": 0, "other.name": 0}) == {
        "data.name": "data.name",
        "decoder.kv_gate": "model.decoder.kv_gate",
        "other.name": "other.name",
    }


def test_a_label_says_words_plainly_and_numbers_with_their_axis():
    values = {"normalization": "division", "conv_kernel": 5, "kv_gate": "none", "size": "nano"}
    assert cell_label(values) == 'division conv_kernel=5 kv_gate="none" nano'


def test_meaningless_is_told_from_wrong(sweep):
    with pytest.raises(ConfigError) as caught:
        load_sweep(sweep(SWEEP.replace("elu1", "elu7")))
    assert not caught.value.meaningless

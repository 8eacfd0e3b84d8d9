"""A sweep and its plan: every point of the grid is a cell once, or is left out with a reason."""

import json

import pytest

from lina_lab.config.experiment import Experiment, cell_key
from lina_lab.config.problems import ConfigError
from lina_lab.config.sweep import left_out, parse_settings
from lina_lab.design.axes import AXES
from lina_lab.errors import LabError
from lina_lab.ledger.plan import parse_plan, plan_id, plan_text
from lina_lab.sweep.planning import load_sweep


def one_of(axis: str) -> str:
    *words, last = map(repr, AXES[axis].values)
    return f"{', '.join(words)} or {last}"


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
    plan = load_sweep(sweep()).plan
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
    planned = load_sweep(sweep())
    for cell in planned.plan.cells:
        experiment = planned.experiments[cell.key]
        assert experiment.seed == cell.seed
        assert experiment.model.decoder.normalization == cell.values["normalization"]
        assert experiment.model.context.normalization == cell.values["normalization"]


def test_an_excluded_combination_is_listed_with_its_reason(sweep):
    text = SWEEP + "exclude:\n  - {model.attention.normalization: softmax}\n"
    plan = load_sweep(sweep(text)).plan
    assert not any(c.values["normalization"] == "softmax" for c in plan.cells)
    assert sum("excluded by" in o.reason for o in plan.omitted) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("question: Which?\n", ""), "s.yaml:1: question: is missing"),
        (("axes:", "axis:"), "s.yaml:4: axis: unknown key; did you mean axes?"),
        (
            ("relu, elu1", "relu, elu2"),
            f"s.yaml:6: model.attention.feature_map: must be {one_of('feature_map')}, not 'elu2'",
        ),
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
    plan = load_sweep(sweep(text)).plan
    found = {tuple(cell.values.values()) for cell in plan.cells}
    assert found == {
        *(("division", groups, position) for groups in (1, 4) for position in ("table", "rotary")),
        *(("softmax", 1, position) for position in ("table", "rotary")),
        ("mediator", 1, "table"),
    }
    reasons = {tuple(o.values.values()): o.reason for o in plan.omitted}
    assert "softmax has no memory to split" in reasons["softmax", 4, "table"]
    assert "rotary cannot stand with mediator" in reasons["mediator", 1, "rotary"]


SOFTMAX, FOUR = "{model.attention.normalization: softmax", "set: {training.learning_rate: 4e-3}"
SET_WHERE = (
    "set_where:\n"
    "  - where: {model.attention.normalization: softmax}\n"
    "    set: {training.learning_rate: 4e-3}\n"
    "  - where: {model.attention.normalization: subtraction}\n"
    "    set: {training.learning_rate: 2e-3, training.steps: 20}\n"
    "  - where: {model.attention.normalization: subtraction, model.attention.feature_map: elu1}\n"
    "    set:\n"
    "      training.learning_rate: 8e-3\n"
)


def test_a_part_of_the_grid_has_training_values_of_its_own_and_the_last_entry_counts(sweep):
    planned = load_sweep(sweep(SWEEP + SET_WHERE))
    found = {}
    for cell in planned.plan.cells:
        training = planned.experiments[cell.key].training
        found[tuple(cell.values.values())] = (training.learning_rate, training.steps)
        assert cell.tuned == {"learning_rate": training.learning_rate, "steps": training.steps}
    assert found == {
        ("division", "relu"): (1e-3, 10),
        ("division", "elu1"): (1e-3, 10),
        ("subtraction", "relu"): (2e-3, 20),
        ("subtraction", "elu1"): (8e-3, 20),
        ("subtraction", "identity"): (2e-3, 20),
        ("softmax", "relu"): (4e-3, 10),
    }


def test_a_setting_wins_over_a_part_and_a_shorter_axis_leaves_parts_unused(sweep):
    path = sweep(SWEEP + SET_WHERE)
    planned = load_sweep(path, {"training.learning_rate": 0.5, "model.attention.normalization": ["subtraction"]})
    trained = {(e.training.learning_rate, e.training.steps) for e in planned.experiments.values()}
    assert trained == {(0.5, 20)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((f"{SOFTMAX}}}", "{model.size: nano}"), "s.yaml:9: set_where: model.size is no axis"),
        ((SOFTMAX, "{model.attention.normalization: mean"), "s.yaml:9: set_where: model.attention.normalization never"),
        ((": 4e-3", ": -4e-3"), "s.yaml:10: training.learning_rate: must be greater than 0, not -0.004"),
        ((": 8e-3", ": -8e-3"), "s.yaml:15: training.learning_rate: must be greater than 0, not -0.008"),
        ((FOUR, "set: {model.patch: 4}"), "s.yaml:10: set_where.0.set: model.patch must be a value of training"),
        ((FOUR, "set: {training.rate: 4}"), "s.yaml:10: set_where.0.set: training.rate must be a value of training"),
        (("    set: {training.learning_rate: 4", "    to: {x: 4"), "s.yaml:10: set_where.0.to: unknown key"),
    ],
)
def test_a_mistake_in_a_part_is_named_with_its_line(sweep, change, message):
    with pytest.raises(ConfigError) as error:
        load_sweep(sweep((SWEEP + SET_WHERE).replace(*change)))
    assert message in str(error.value)


def test_a_part_that_sets_an_axis_is_refused(sweep):
    text = (SWEEP + SET_WHERE).replace("axes:\n", "axes:\n  training.learning_rate: [1e-3, 2e-3]\n")
    with pytest.raises(ConfigError, match=r"s.yaml:16: training.learning_rate: is given, and the axis"):
        load_sweep(sweep(text))


def test_the_same_cell_under_two_names_is_one_cell(sweep):
    text = SWEEP.replace("[division, subtraction, softmax]", "[softmax]")
    plan = load_sweep(sweep(text)).plan
    assert len(plan.cells) == 2


def test_settings_change_the_base_an_axis_or_the_seeds(sweep):
    settings = parse_settings(["training.steps=5", "model.attention.feature_map=[elu1]", "seeds=[7]", "name=t"])
    planned = load_sweep(sweep(), settings)
    assert planned.plan.name == "t"
    assert {e.training.steps for e in planned.own_experiments} == {5}
    assert {c.values["feature_map"] for c in planned.plan.cells} == {"elu1"}
    assert {c.seed for c in planned.plan.cells} == {7}


def test_a_setting_wins_over_the_sweeps_own_changes(sweep):
    path = sweep(SWEEP + "set: {training.steps: 8}\n")
    assert {e.training.steps for e in load_sweep(path).own_experiments} == {8}
    assert {e.training.steps for e in load_sweep(path, {"training.steps": 9}).own_experiments} == {9}


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
    planned = load_sweep(sweep(), parse_settings(words))
    assert (planned.plan.name, planned.file) == (name, sweep())


def test_a_sweep_that_cannot_run_without_a_setting_has_it_in_its_name(sweep):
    path = sweep(SWEEP + "set: {training.batch_size: 0}\n")
    assert load_sweep(path, {"training.batch_size": 4}).plan.name == "s-batch_size-4"


def test_meaningless_is_told_from_wrong(sweep):
    with pytest.raises(ConfigError) as caught:
        load_sweep(sweep(SWEEP.replace("elu1", "elu7")))
    assert not caught.value.meaningless


@pytest.mark.parametrize(
    ("change", "setting", "message"),
    [
        (("[0, 1]", "[0, 1, 0]"), "", "s.yaml:7: seeds: must have each value once, not 0 and again 0"),
        (("[0, 1]", "[0]"), "seeds=[3, 3]", "--set: seeds: must have each value once, not 3 and again 3"),
        (
            ("elu1", "relu"),
            "",
            "s.yaml:6: model.attention.feature_map: must have each value once, not 'relu' and again",
        ),
        (("seeds", "  training.learning_rate: [1e-3, 0.001]\nseeds"), "", "not 0.001 and again 0.001"),
        (("seeds", "  training.gradient_clip: [5, 5.0]\nseeds"), "", "not 5 and again 5.0"),
        (("seeds", "  training.gradient_clip: [1, true]\nseeds"), "", "not 1 and again True"),
        (("seeds", "  training.gradient_clip: [null, 1, null]\nseeds"), "", "not None and again None"),
        (("seeds", "set: {model.attention.feature_map: relu}\nseeds"), "", "s.yaml:7: model.attention.feature_map: is"),
        (
            ("seeds", "set: {model: {attention: {feature_map: relu}}}\nseeds"),
            "",
            "s.yaml:7: model.attention.feature_map: is given, and the axis model.attention.feature_map (",
        ),
        (("seeds", "set: {model.attention: relu}\nseeds"), "", "s.yaml:7: model.attention: is given, and the axis"),
        (("seeds", "set: {model.decoder.feature_map: relu}\nseeds"), "", "s.yaml:7: model.decoder.feature_map: goes"),
        (
            ("seeds", "  model.encoder.normalization: [division]\nseeds"),
            "",
            "s.yaml:7: model.encoder.normalization: goes",
        ),
        (("seeds", "  model.size: [nano, micro]\n  model.width: [32, 64]\nseeds"), "", "s.yaml:8: model.width: goes"),
        (("seeds", "  seed: [1, 2]\nseeds"), "", "s.yaml:7: seed: a sweep has seeds"),
        (("seeds", "set: {seed: 3}\nseeds"), "", "s.yaml:7: seed: a sweep has seeds"),
        (("seeds", "seeds"), "seed=3", "--set: seed: a sweep has seeds"),
        (
            ("seeds", "seeds"),
            "model.attention.feature_map=relu",
            "--set: model.attention.feature_map: is an axis: give",
        ),
        (
            ("seeds", "seeds"),
            "model.attention.feature_map=[relu, relu]",
            "--set: model.attention.feature_map: must have",
        ),
        (
            ("seeds", "seeds"),
            "model.attention={feature_map: relu}",
            "--set: model.attention.feature_map: is given, and",
        ),
        (("seeds", "seeds"), "model.context.normalization=softmax", "--set: model.context.normalization: goes before"),
    ],
)
def test_what_would_make_the_grid_ambiguous_is_refused(sweep, change, setting, message):
    with pytest.raises(ConfigError) as caught:
        load_sweep(sweep(SWEEP.replace(*change)), parse_settings([setting] if setting else []))
    assert message in str(caught.value)


def test_a_segment_of_the_base_that_an_axis_does_not_reach_is_refused_and_one_that_it_never_means_is_not(sweep):
    text = SWEEP.replace("feature_map: [relu, elu1, identity]", "conv_kernel: [0, 5]")
    path = sweep(text)
    base = path.with_name("base.yaml")
    base.write_text(BASE.replace("patch: 2", "patch: 2, context: {conv_kernel: 3}"))
    assert {e.model.context.conv_kernel for e in load_sweep(path).own_experiments} == {3}
    base.write_text(BASE.replace("patch: 2", "patch: 2, decoder: {conv_kernel: 3}"))
    with pytest.raises(ConfigError, match=r"/base\.yaml:2: model\.decoder\.conv_kernel: goes before the axis"):
        load_sweep(path)


def test_values_that_differ_stand_beside_each_other(sweep):
    text = SWEEP.replace("seeds", "  training.gradient_clip: [null, 1, 2]\nseeds")
    assert len(load_sweep(sweep(text)).plan.cells) == 3 * 12


def test_of_a_rule_between_sweep_and_base_the_line_of_the_sweep_is_named(sweep):
    text = SWEEP.replace("base.yaml", "sub/../base.yaml") + "set:\n  training.learning_rate: 1\n  training.steps: 8\n"
    path = sweep(text)
    (path.parent / "sub").mkdir()
    path.with_name("base.yaml").write_text(BASE.replace("steps: 10", "steps: 10, warmup_steps: 9"))
    message = "s.yaml:10: training.steps: warmup_steps must be at most steps (8), not 9"
    with pytest.raises(ConfigError) as caught:
        load_sweep(path)
    assert str(caught.value) == f"{path.parent}/{message}"
    path.write_text(text.replace("training.steps: 8", "training: {steps: 8, batch_size: 4, warmup_steps: 9}"))
    with pytest.raises(ConfigError, match=r"s\.yaml:9: training\.learning_rate: is lost: training, which comes after"):
        load_sweep(path)
    path.write_text(SWEEP + "set:\n  training:\n    steps: 8\n    batch_size: 4\n    warmup_steps: 9\n")
    with pytest.raises(ConfigError) as caught:
        load_sweep(path)
    assert str(caught.value) == f"{path}:9: training.learning_rate: is missing"
    path.write_text(SWEEP + "set:\n  training:\n    steps: 8\n    batch_size: 0\n    learning_rate: 1\n")
    with pytest.raises(ConfigError, match=r"s\.yaml:11: training\.batch_size: must be greater than 0"):
        load_sweep(path)
    path.write_text(SWEEP.replace("seeds", "  training.steps: [20, 8]\nseeds"))
    with pytest.raises(ConfigError, match=r"s\.yaml:7: training\.steps: warmup_steps must be at most steps \(8\)"):
        load_sweep(path)


def test_an_experiment_is_no_sweep_and_a_sweep_no_base(sweep):
    path = sweep()
    with pytest.raises(LabError, match=r"base\.yaml: is an experiment, not a sweep: lab train .*base\.yaml runs it"):
        load_sweep(path.with_name("base.yaml"))
    (path.with_name("t.yaml")).write_text(SWEEP)
    with pytest.raises(ConfigError, match=r"s\.yaml:3: experiment: .*t\.yaml is a sweep"):
        load_sweep(sweep(SWEEP.replace("base.yaml", "t.yaml")))
    with pytest.raises(ConfigError, match=r"s\.yaml:3: experiment: .*none\.yaml: no such file"):
        load_sweep(sweep(SWEEP.replace("base.yaml", "none.yaml")))


@pytest.mark.slow
def test_a_grid_too_large_is_counted_and_refused_before_it_is_planned(sweep):
    text = SWEEP.replace("[0, 1]", json.dumps(list(range(20_000))))
    with pytest.raises(
        LabError, match=r"s: has 180,000 cells \(3 x 3 x 20,000 seeds\), more than 100,000: .*--max-cells"
    ):
        load_sweep(sweep(text))
    told = []
    with pytest.raises(LabError, match="more than 17"):
        load_sweep(sweep(), max_cells=17, tell=told.append)
    assert not told
    assert len(load_sweep(sweep(), max_cells=18, tell=told.append).plan.cells) == 12
    assert told == [18], "before what means nothing is left out"


def test_a_planned_key_is_that_of_its_cell(sweep):
    text = SWEEP.replace("seeds", "  training.steps: [5, 6]\n  data.name: [digits, shapes]\nseeds").replace(
        "seeds", "set: {evaluation.num_samples: 60, evaluation.extractor: inception}\nseeds"
    )
    planned = load_sweep(sweep(text))
    assert len(planned.plan.cells) == 12 * 4
    for cell in planned.plan.cells:
        again = Experiment.model_validate(planned.experiments[cell.key].model_dump())
        assert (cell.key, planned.experiments[cell.key]) == (cell_key(again), again)
        assert (again.training.steps, again.data.name) == (cell.values["steps"], cell.values["name"])
        assert again.model.context_tokens == (4 if again.data.name == "digits" else 64)


def test_a_metric_changes_no_key_no_name_and_no_id_and_is_kept_with_its_line(sweep, tmp_path):
    path = sweep()
    plain = load_sweep(path).plan
    told = load_sweep(sweep(f"{SWEEP.rstrip()}\nmetric: kid\n")).plan
    assert (told.metric.name, told.metric.better) == ("kid", "")
    assert told.metric.place.endswith(f"s.yaml:{len(SWEEP.rstrip().splitlines()) + 1}")
    assert load_sweep(sweep(), {"metric": "kid"}).plan.name == plain.name
    assert [cell.key for cell in told.cells] == [cell.key for cell in plain.cells]
    assert plan_id(told) == plan_id(plain)
    assert "metric" not in json.loads(plan_text(plain))
    assert parse_plan(plan_text(told), tmp_path).metric == told.metric

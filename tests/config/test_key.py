"""The key of a cell: it names the result, so it must never change by accident."""

import json
from functools import reduce
from operator import getitem
from pathlib import Path

import pytest

from lina_lab.config.experiment import LATER, Experiment, canonical, cell_key, digest
from lina_lab.config.load import load_experiment, parse_value, write_yaml
from lina_lab.sweep.planning import load_sweep

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "keys.json"
UPDATE = """
If the canonical form was changed on purpose (old results then mean something else: raise SCHEMA), write the file again:
    python tests/config/test_key.py"""


def base(**changes: object) -> Experiment:
    values = {
        "name": "x",
        "model": {"size": "nano", "patch": 2},
        "training": {"steps": 10, "batch_size": 4, "learning_rate": 1e-3},
    }
    return Experiment.model_validate(values | changes)


def keys() -> dict[str, list[str]]:
    plans = {path.stem: load_sweep(path).plan for path in sorted((ROOT / "sweeps").glob("*.yaml"))}
    return {name: [cell.key for cell in plan.cells] for name, plan in plans.items()}


def resolved() -> dict[str, dict]:
    paths = sorted((ROOT / "experiments").glob("*.yaml"))
    return {path.stem: load_experiment(path).model_dump(mode="json") for path in paths}


@pytest.mark.slow
def test_keys_of_the_shipped_sweeps_are_frozen():
    assert keys() == json.loads(GOLDEN.read_text()), UPDATE


def test_the_shipped_experiments_resolve_to_these_values():
    assert resolved() == json.loads((GOLDEN.parent / "experiments.json").read_text()), UPDATE


def test_the_canonical_form_holds_nothing_that_changes_no_result():
    values = canonical(base())
    assert set(values) == {"schema", "seed", "data", "model", "training", "sampling", "evaluation"}
    assert "size" not in values["model"]


@pytest.mark.parametrize(
    "changes",
    [{"name": "y"}, {"logging": {"every": 1}}, {"checkpoint": {"keep_end": "yes"}}, {"execution": {"compile": True}}],
)
def test_names_logging_checkpoint_and_execution_do_not_enter_the_key(changes):
    assert cell_key(base(**changes)) == cell_key(base())


@pytest.mark.parametrize(
    ("written", "meant"), [("auto", "auto"), ("yes", "yes"), ("'no'", "no"), ("no", "no"), ("true", "yes")]
)
def test_yes_and_no_are_words_however_yaml_reads_them(written, meant):
    experiment = base(checkpoint={"keep_end": parse_value(written)})
    assert experiment.checkpoint.keep_end == meant
    again = parse_value(write_yaml(experiment.model_dump(mode="json")))
    assert again["checkpoint"] == {"keep_end": meant}


def at(values: dict, *path: str) -> object:
    return reduce(getitem, path, values)


@pytest.mark.parametrize("path", LATER, ids=".".join)
def test_a_younger_field_enters_the_key_only_when_it_says_something_new(path):
    *section, field = path
    written = base().model_dump(mode="json", exclude={"model": {"size"}})
    assert at(written, *path) == LATER[path]
    assert field not in at(canonical(Experiment.model_validate(written)), *section)
    other = base(sampling={"precision": "bf16"})
    assert canonical(other)["sampling"]["precision"] == "bf16"
    assert cell_key(other) != cell_key(base())


def test_a_size_and_the_same_numbers_spelled_out_are_one_cell():
    size = {"width": 32, "num_heads": 2, "context_depth": 2, "encoder_depth": 2, "decoder_depth": 2}
    spelled = size | {"head_depth": 2, "head_width": 32, "patch": 2, "context_tokens": 4}
    assert cell_key(base(model=spelled)) == cell_key(base())


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"model": {"size": "nano", "patch": 2, "context_tokens": 5}},
        {"model": {"size": "nano", "patch": 2, "context": {"normalization": "subtraction"}}},
        {"training": {"steps": 11, "batch_size": 4, "learning_rate": 1e-3}},
        {"training": {"steps": 10, "batch_size": 4, "learning_rate": 1e-3, "gradient_clip": 1.0}},
        {"sampling": {"flow_steps": 24}},
        {"sampling": {"flow_steps_last": 24}},
        {"model": {"size": "nano", "patch": 2, "position": "rotary"}},
        {"model": {"size": "nano", "patch": 2, "softmax_every": 3}},
        {"model": {"size": "nano", "patch": 2, "attention": {"memory_groups": 4}}},
        {"model": {"size": "nano", "patch": 2, "encoder": {"sequence_conv": "generated_3"}}},
        {"model": {"size": "nano", "patch": 2, "context": {"output_gate": "sigmoid"}}},
        {"evaluation": {"num_samples": 500}},
    ],
)
def test_whatever_changes_a_result_changes_the_key(changes):
    assert cell_key(base(**changes)) != cell_key(base())


def test_equal_designs_written_differently_are_one_cell():
    def of(**attention):
        return cell_key(base(model={"size": "nano", "patch": 2, "attention": attention}))

    assert of(kv_gate_heads="shared") == of()
    assert of(normalization="softmax", feature_map="relu") == of(normalization="softmax", feature_map="identity")
    assert of(kv_gate="key", kv_gate_heads="shared") != of(kv_gate="key")
    assert of(normalization="mediator", feature_map="elu1") == of(normalization="mediator")
    assert of(conv_weights="generated") == of()
    assert of(conv_weights="generated", conv_kernel=3) != of(conv_kernel=3)


@pytest.mark.parametrize("values", [{"flow_steps_last": 25}, {"flow_steps_last": None}])
def test_euler_steps_that_end_as_they_begin_are_no_change(values):
    assert cell_key(base(sampling=values)) == cell_key(base())
    assert cell_key(base(sampling={"flow_steps": 9, "flow_steps_last": 9})) == cell_key(
        base(sampling={"flow_steps": 9})
    )
    one = {"autoregressive_steps": 1}
    assert cell_key(base(sampling=one | {"flow_steps_last": 5})) == cell_key(base(sampling=one))


def test_a_digest_is_of_the_value_and_not_of_its_order():
    assert digest({"a": 1, "b": [1.5]}) == digest({"b": [1.5], "a": 1})
    # sha256 of the text {"a":1}, from sha256sum
    assert digest({"a": 1}) == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"


def test_a_known_content_stands_in_the_place_of_its_path():
    reference, other = {"reference": "a.npz"}, {"reference": "b/a.npz"}
    by_path = base(evaluation=reference)
    assert cell_key(by_path) != cell_key(base(evaluation=other))
    known = base(evaluation=reference, contents={"a.npz": "1" * 64})
    assert canonical(known)["evaluation"]["reference"] == {"sha256": "1" * 64}
    assert cell_key(known) == cell_key(base(evaluation=other, contents={"b/a.npz": "1" * 64}))
    assert len({cell_key(e) for e in (by_path, known, base(evaluation=reference, contents={"a.npz": "2" * 64}))}) == 3
    assert cell_key(base(evaluation=reference, contents={"c.npz": "1" * 64})) == cell_key(by_path)


def test_an_experiment_without_files_reads_as_it_always_did():
    assert "contents" not in base().model_dump(mode="json")
    assert "contents" not in canonical(base(evaluation={"reference": "a.npz"}, contents={"a.npz": "1" * 64}))


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(keys(), indent=1) + "\n")
    (GOLDEN.parent / "experiments.json").write_text(json.dumps(resolved(), indent=1) + "\n")

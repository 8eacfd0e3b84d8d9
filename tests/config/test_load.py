"""YAML to experiments: what is right loads, what is wrong is named with file, line and key."""

from pathlib import Path

import pytest

from lina_lab.config.load import load_experiment, parse_value, read_yaml
from lina_lab.config.problems import ConfigError
from lina_lab.config.settings import SamplingConfig
from lina_lab.errors import LabError

GOOD = """\
name: x
model:
  size: nano
  patch: 2
training:
  steps: 10
  batch_size: 4
  learning_rate: 1e-3
"""


@pytest.fixture
def write(tmp_path):
    def make(text: str | bytes, name: str = "x.yaml") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return make


def test_shorthand_is_spelled_out_for_every_segment(write):
    text = GOOD + "  ema_decay: 0.9\n"
    attention = (
        "  attention: {normalization: subtraction, conv_kernel: 5, kv_gate: key}\n  context: {feature_map: elu1}\n"
    )
    model = load_experiment(write(text.replace("  patch: 2\n", "  patch: 2\n" + attention))).model
    assert {s.normalization for s in (model.context, model.encoder, model.decoder)} == {"subtraction"}
    assert (model.context.conv_kernel, model.encoder.conv_kernel, model.decoder.conv_kernel) == (0, 0, 5)
    assert (model.context.kv_gate, model.decoder.kv_gate) == ("none", "key")
    assert (model.context.feature_map, model.decoder.feature_map) == ("elu1", "relu")
    assert (model.width, model.num_heads, model.context_tokens) == (32, 2, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("patch: 2", "pacth: 2"), "x.yaml:4: model.pacth: unknown key; did you mean patch?"),
        (("patch: 2", "patch: two"), "x.yaml:4: model.patch: must be a valid integer, not 'two'"),
        (("patch: 2", "patch: 2.0"), "x.yaml:4: model.patch: must be a valid integer, not 2.0"),
        (("patch: 2", "patch: true"), "x.yaml:4: model.patch: must be a valid integer, not True"),
        (("patch: 2", "patch: 0"), "x.yaml:4: model.patch: must be greater than 0, not 0"),
        (("patch: 2", "patch: 3"), "x.yaml:4: model.patch: patch must divide the side of digits: 3 does not divide 8"),
        (("patch: 2", "num_heads: 3"), "x.yaml:4: model.num_heads: num_heads must divide width: 3 heads do not"),
        (("patch: 2", "width: 30"), "x.yaml:4: model.width: width must be a multiple of 4"),
        (("size: nano", "size: nanno"), "x.yaml:3: model.size: must be one of pico, nano, micro,"),
        (("steps: 10", "warmup_steps: 1"), "x.yaml:5: training.steps: is missing"),
        (("steps: 10", "steps: 10\n  warmup_steps: 11"), "x.yaml:7: training.warmup_steps: warmup_steps must be at"),
        (
            ("steps: 10", "steps: 10\n  init_from: {cell: 123456789012}"),
            "x.yaml:7: training.init_from.cell: must be text, which YAML reads as the number 123456789012: write it in",
        ),
        (
            ("1e-3", "1e-3\n  label_dropout: 0\nevaluation:\n  guidance: best"),
            "x.yaml:11: evaluation.guidance: guidance best needs a label_dropout above 0",
        ),
        (("1e-3", "1e-3\nevaluation:\n  guidance: 2"), "x.yaml:10: evaluation.guidance: must be 'best', not 2"),
        (
            ("1e-3", "1e-3\nevaluation:\n  generation_seeds: 0"),
            "x.yaml:10: evaluation.generation_seeds: must be greater than 0, not 0",
        ),
        (("1e-3", "-1e-3"), "x.yaml:8: training.learning_rate: must be greater than 0, not -0.001"),
        (("1e-3", ".inf"), "x.yaml:8: training.learning_rate: must be a finite number, not inf"),
        (("1e-3", ".nan"), "x.yaml:8: training.learning_rate: must be"),
        (("name: x", "name: ../x"), "x.yaml:1: name: must match pattern"),
        (
            ("name: x", "name: x\ndata: {name: imagenet}"),
            "x.yaml:2: data.name: must be 'digits', 'emoji', 'fashion-mnist', 'images', 'mnist', 'shapes' or 'torc",
        ),
        (("name: x", "name: x\ndata: digits"), "x.yaml:2: data: must be a mapping of keys to values, not 'digits'"),
        (("name: x", "name: x\nname: y"), "x.yaml:2: name: stands twice (first at {folder}/x.yaml:1)"),
        (
            ("patch: 2", "attention: {normalization: division, feature_map: identity}"),
            "x.yaml:4: model.attention.feature_map: division needs a positive feature map",
        ),
        (
            ("patch: 2", "attention: {normalization: softmax, kv_gate: key_value_split}"),
            "x.yaml:4: model.attention.kv_gate: softmax has no key mean",
        ),
        (("patch: 2", "encoder: {conv_kernel: 5}"), "x.yaml:4: model.encoder.conv_kernel: encoder.conv_kernel must be"),
        (
            ("patch: 2", "attention: {normalization: mediator, kv_gate: key_value_split}"),
            "x.yaml:4: model.attention.kv_gate: mediator has no key mean",
        ),
        (
            ("patch: 2", "attention: {normalization: softmax, memory_groups: 4}"),
            "x.yaml:4: model.attention.memory_groups: softmax has no memory to split: memory_groups must be 1, not 4",
        ),
        (
            ("patch: 2", "encoder: {memory_groups: 4}"),
            "x.yaml:4: model.encoder.memory_groups: encoder.memory_groups must be 1, not 4",
        ),
        (
            ("patch: 2", "encoder: {kv_gate: key}"),
            "x.yaml:4: model.encoder.kv_gate: encoder.kv_gate must be none or key_value_data, not key",
        ),
        (
            ("patch: 2", "position: rotary\n  num_heads: 16"),
            "x.yaml:4: model.position: rotary needs heads of 4, 6, 8 ... channels, not 2",
        ),
        (
            ("patch: 2", "position: rotary\n  encoder: {normalization: mediator}"),
            "x.yaml:4: model.position: rotary cannot stand with mediator, whose",
        ),
        (("patch: 2", "position: none"), "x.yaml:4: model.position: must be 'table' or 'rotary', not 'none'"),
        (("patch: 2", "softmax_every: 1"), "x.yaml:4: model.softmax_every: must be greater than or equal to 2, not 1"),
        (("patch: 2", "softmax_every: 5"), "x.yaml:4: model.softmax_every: 5 changes no block: leave it out"),
        (
            ("patch: 2", "softmax_every: 3\n  encoder_depth: 2\n  decoder_depth: 1"),
            "x.yaml:4: model.softmax_every: 3 leaves no block of the decoder as it says: decoder.normalization softmax",
        ),
        (
            ("name: x", "name: x\nsampling: {flow_steps: 9, flow_steps_last: 10}"),
            "x.yaml:2: sampling.flow_steps_last: flow_steps_last must be at most flow_steps (9), not 10",
        ),
        (
            ("name: x", "name: x\nsampling: {flow_steps_last: 0}"),
            "x.yaml:2: sampling.flow_steps_last: must be greater than 0, not 0",
        ),
        (("patch: 2", "attention: relu"), "x.yaml:4: model.attention: must be a mapping of design axes, not 'relu'"),
        (("patch: 2", "decoder: {conv_kernel: 4}"), "x.yaml:4: model.decoder.conv_kernel: must be 0, 3, 5 or 7, not 4"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_key(write, tmp_path, change, message):
    with pytest.raises(LabError) as caught:
        load_experiment(write(GOOD.replace(*change)))
    assert message.replace("{folder}", str(tmp_path)) in str(caught.value)


def test_all_mistakes_are_named_at_once(write):
    bad = GOOD.replace("patch: 2", "pacth: 2").replace("steps: 10", "steps: -1").replace("name: x", "name: ''")
    with pytest.raises(ConfigError) as caught:
        load_experiment(write(bad))
    assert {p.key for p in caught.value.problems} == {"name", "model.pacth", "training.steps"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "x.yaml:1: must hold a mapping of keys to values"),
        (b"- 1\n", "x.yaml:1: must hold a mapping of keys to values"),
        (b"a: [1\n", "x.yaml:2: "),
        (b"a: b: c\n", "x.yaml:1: "),
        (b"\xff\xfe\x00\xd8", "x.yaml: is UTF-16, or no text: save it as UTF-8"),
        (GOOD.encode("utf-16"), "x.yaml: is UTF-16, or no text: save it as UTF-8"),
        (GOOD.encode("utf-16-be"), "x.yaml: is UTF-16, or no text: save it as UTF-8"),
        ("name: x\nmodel: é".encode("latin-1"), "x.yaml:2: is not UTF-8 (byte 0xe9): save it as UTF-8"),
        (b"# nothing\n", "x.yaml:1: must hold a mapping of keys to values, as in `name: x`, and is empty"),
        (b"digits\n", "x.yaml:1: must hold a mapping of keys to values, as in `name: x`, not a single value"),
        (b"name: x\nmodel:\n\tsize: nano\n", "x.yaml:3: is indented with a tab: YAML wants spaces"),
        (b"name: x\nmodel:\n  size: nano\n\tpatch: 2\n", "x.yaml:4: is indented with a tab: YAML wants spaces"),
        (b"name: x\n---\nname: y\n", "x.yaml:2: begins a second document: must hold one, without this ---"),
        (b"name: x\naxes: {}\n", "x.yaml: is a sweep, not an experiment: lab sweep "),
        (b"a: !!python/object/apply:os.system [echo]\n", "x.yaml:1: "),
        (b"a: &x\n  b: *x\n", "x.yaml"),
        (b"? [1, 2]\n: 3\n", "x.yaml:1: "),
        (b"1: 2\n", "x.yaml:1: 1: must be strings, not 1"),
        (("a: " + "{a: " * 50 + "1" + "}" * 50).encode(), "x.yaml:1: nested more than 20 levels deep"),
    ],
)
def test_a_file_that_is_no_experiment_is_named(write, content, message):
    with pytest.raises(LabError) as caught:
        load_experiment(write(content))
    assert message in str(caught.value)


def test_a_missing_file_names_its_neighbours(write):
    path = write(GOOD, "digits.yaml")
    with pytest.raises(LabError, match=r"digit\.yaml: no such file; did you mean .*digits\.yaml"):
        load_experiment(path.with_name("digit.yaml"))
    with pytest.raises(LabError, match=r"q: no such file; .* has digits\.yaml"):
        load_experiment(path.with_name("q"))
    with pytest.raises(LabError, match=r": is a folder: name a file; .* has digits\.yaml"):
        read_yaml(path.parent)


def test_a_byte_order_mark_is_no_fault(write):
    assert load_experiment(write(b"\xef\xbb\xbf" + GOOD.encode())).name == "x"


def test_a_path_is_told_without_detours(write, tmp_path):
    (tmp_path / "sub").mkdir()
    write(GOOD.replace("patch: 2", "patch: 0"))
    with pytest.raises(ConfigError) as caught:
        load_experiment(tmp_path / "sub" / ".." / "x.yaml")
    assert str(caught.value).startswith(f"{tmp_path}/x.yaml:4: model.patch: ")
    elsewhere = tmp_path / "elsewhere" / "deep"
    elsewhere.mkdir(parents=True)
    (tmp_path / "link").symlink_to(elsewhere)
    (elsewhere.parent / "x.yaml").write_text(GOOD.replace("patch: 2", "patch: 0"))
    with pytest.raises(ConfigError, match=r"link/\.\./x\.yaml:4"):
        load_experiment(tmp_path / "link" / ".." / "x.yaml")


@pytest.mark.parametrize(
    ("lines", "setting", "place", "key"),
    [
        ("", "training.warmup_steps=11", "--set", "training.warmup_steps"),
        ("  warmup_steps: 9\n", "training.steps=8", "--set", "training.steps"),
        ("  warmup_steps: 9\n", "training={steps: 8, batch_size: 4, learning_rate: 1, warmup_steps: 9}", "--set", 0),
        ("sampling: {flow_steps_last: 9}\n", "sampling.flow_steps=8", "--set", "sampling.flow_steps"),
        ("execution: {accumulate: 4}\n", "training.batch_size=6", "--set", "training.batch_size"),
        ("evaluation: {num_samples: 40}\n", "data.name=emoji", "--set", "data.name"),
        ("data: {name: shapes}\n", "evaluation.extractor=shapes-cnn-32", "x.yaml:9", "data.name"),
        ("", "model.num_heads=3", "--set", "model.num_heads"),
        ("", "model.attention.feature_map=identity", "--set", "model.attention.feature_map"),
    ],
)
def test_of_a_rule_between_values_the_one_written_last_is_named(write, lines, setting, place, key):
    path, _, value = setting.partition("=")
    with pytest.raises(ConfigError) as caught:
        load_experiment(write(GOOD + lines), {path: parse_value(value)})
    found = caught.value.problems[0]
    assert found.place.endswith(place)
    assert key in {0, found.key}


def test_all_that_a_folder_of_images_lacks_is_named_at_once(write):
    with pytest.raises(ConfigError) as caught:
        load_experiment(write(GOOD + "data:\n  name: images\n"))
    assert [(p.key, p.message.partition(":")[0]) for p in caught.value.problems] == [
        ("data.path", "is missing"),
        ("data.num_classes", "is missing"),
    ]


@pytest.mark.parametrize("value", ["[1, 2]", "[]"])
def test_a_list_for_one_value_says_where_lists_stand(write, value):
    with pytest.raises(ConfigError, match=r"training\.steps: .* not \[.*\]: it is one value; a sweep has lists, under"):
        load_experiment(write(GOOD.replace("steps: 10", f"steps: {value}")))


def test_a_setting_on_the_command_line_wins_and_is_named_when_wrong(write):
    path = write(GOOD)
    changed = load_experiment(path, {"training.steps": 7, "model.attention.conv_kernel": 3})
    assert (changed.training.steps, changed.model.decoder.conv_kernel) == (7, 3)
    with pytest.raises(ConfigError, match=r"--set: training.stepz: unknown key; did you mean steps?"):
        load_experiment(path, {"training.stepz": 7})
    with pytest.raises(ConfigError, match=r"--set: name\.x: name is 'x' and has no keys below it"):
        load_experiment(path, {"name.x": 7})


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-3", 1e-3), ("3", 3), ("relu", "relu"), ("[1, 2]", [1, 2]), ("null", None), ("2E5", 2e5), ("1.5", 1.5)],
)
def test_a_value_on_the_command_line_reads_as_yaml(text, value):
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


@pytest.mark.parametrize(
    ("sampling", "least"),
    [({}, 1.0), ({"guidance_scale": 2.0}, 1.0), ({"guidance_scale": 7.0, "guidance_min": 7.0}, 3.0)],
)
def test_a_constant_guidance_stays_constant_at_another_scale_and_a_ramp_a_ramp(sampling, least):
    changed = SamplingConfig(**sampling).changed({"guidance_scale": 3.0})
    assert (changed["guidance_scale"], changed["guidance_min"]) == (3.0, least)
    assert SamplingConfig(**sampling).changed({"flow_steps": 3})["guidance_min"] == sampling.get("guidance_min", 1.0)


def test_points_along_a_run_are_shares_at_different_steps(tmp_path):
    def problem(at, **training):
        path = tmp_path / "e.yaml"
        steps = {"steps": 100, "batch_size": 8, "learning_rate": 1e-3} | training
        path.write_text(f"name: e\nmodel: {{size: nano, patch: 2}}\ntraining: {steps}\nevaluation:\n  at: {at}\n")
        with pytest.raises(ConfigError) as caught:
            load_experiment(path)
        return str(caught.value).removeprefix(f"{path}:")

    assert problem("[0.5, 0]") == "5: evaluation.at.1: must be greater than 0, not 0"
    assert problem("[0.5, 1.5]") == "5: evaluation.at.1: must be less than or equal to 1, not 1.5"
    assert problem("0.5") == "5: evaluation.at: must be a list, in brackets, not 0.5"
    one = "5: evaluation.at: at must be shares at different steps: "
    assert problem("[0.501, 0.5]") == f"{one}0.5 and 0.501 of 100 steps are both step 50"
    assert problem("[0.5, 0.5]") == f"{one}0.5 and 0.5 of 100 steps are both step 50"
    assert problem("[0.999]") == f"{one}1 and 0.999 of 100 steps are both step 100"
    assert problem("[0.004]") == f"{one}0 and 0.004 of 100 steps are both step 0"

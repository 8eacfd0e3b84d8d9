"""Whatever stands in a YAML file: a valid experiment, or one clear message; never a traceback."""

import copy
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lina_lab.config.experiment import Experiment, cell_key
from lina_lab.config.load import load_experiment
from lina_lab.errors import LabError
from lina_lab.sweep.planning import load_sweep

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EXPERIMENT = (ROOT / "experiments" / "digits.yaml").read_text()
SWEEP = (ROOT / "sweeps" / "digits-quick.yaml").read_text()

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5000)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        "relu softmax division identity nano key_value_split shared digits mediator rotary generated sigmoid".split()
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=5,
)
keys = st.sampled_from(
    "name seed data model training sampling size patch attention context encoder decoder normalization feature_map "
    "conv_kernel conv_weights sequence_conv kv_gate kv_gate_heads memory_groups output_gate position softmax_every "
    "flow_steps flow_steps_last width num_heads steps batch_size warmup_steps axes seeds exclude set".split()
)


def paths(node: Any, prefix: tuple = ()) -> list[tuple]:
    if not isinstance(node, dict):
        return [prefix]
    return [prefix, *(path for key, value in node.items() for path in paths(value, (*prefix, key)))]


@st.composite
def mutated(draw, text: str) -> str:
    """The YAML with some values replaced, keys added or dropped, and perhaps some characters overwritten."""
    document = copy.deepcopy(yaml.safe_load(text))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(paths(document)))
        node = document
        for key in path[:-1]:
            node = node[key]
        action = draw(st.sampled_from(["replace", "add", "drop"]))
        if action == "add" or not path:
            target = node[path[-1]] if path else document
            if isinstance(target, dict):
                target[draw(keys)] = draw(values)
        elif action == "replace":
            node[path[-1]] = draw(values)
        else:
            del node[path[-1]]
    written = yaml.safe_dump(document, allow_unicode=True)
    if draw(st.booleans()):
        at = draw(st.integers(0, len(written)))
        written = written[:at] + draw(st.text(max_size=4)) + written[at + draw(st.integers(0, 4)) :]
    return written


def check(load, text: str, name: str, *others: tuple[str, str]) -> Any:
    """What the loader makes of the text; None if it said clearly, and where, what is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        for other, content in others:
            (Path(folder) / other).write_text(content)
        path = Path(folder) / name
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            return load(path)
        except LabError as error:
            assert folder in str(error)
            assert len(str(error)) < 20_000
            return None


@given(mutated(EXPERIMENT))
def test_an_experiment_is_valid_or_clearly_refused(text):
    experiment = check(load_experiment, text, "x.yaml")
    if experiment is not None:
        assert isinstance(experiment, Experiment)
        again = Experiment.model_validate(experiment.model_dump())
        assert (again, cell_key(again)) == (experiment, cell_key(experiment))


@given(mutated(SWEEP.replace("../experiments/digits.yaml", "digits.yaml")))
def test_a_sweep_is_valid_or_clearly_refused(text):
    planned = check(load_sweep, text, "s.yaml", ("digits.yaml", EXPERIMENT))
    assert planned is None or planned.plan.cells


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda t: t.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_refused_clearly(data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.yaml"
        path.write_bytes(data)
        try:
            load_experiment(path)
        except LabError as error:
            assert str(path) in str(error)

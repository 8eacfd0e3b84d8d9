import itertools
import math
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lina_lab.analysis.contrasts import design_pairs
from lina_lab.analysis.names import design_label, design_names
from lina_lab.config.sweep import axis_names
from lina_lab.config.variants import VARIANTS
from lina_lab.ledger.plan import Plan, PlannedCell, parse_plan, plan_text
from lina_lab.sweep.planning import load_sweep

LINA = {"model.attention.conv_kernel": 5, "model.attention.kv_gate": "key_value"}


def plan_of(axes, fixed=None):
    """A plan of all points of its axes, by path."""
    names = axis_names(axes)
    points = [dict(zip(names, point, strict=True)) for point in itertools.product(*axes.values())]
    cells = [PlannedCell(key=str(place), values=values, seed=0) for place, values in enumerate(points)]
    return Plan("study", "?", names, cells, [], fixed=fixed)


def labels(plan):
    names = design_names(plan)
    return [names(cell.values) for cell in plan.cells]


def attention(**axes):
    return {f"model.attention.{name}": values for name, values in axes.items()}


def test_designs_are_named_as_the_paper_says_them():
    axes = attention(normalization=["division", "subtraction"], conv_kernel=[0, 5], kv_gate=["none", "key_value"])
    assert labels(plan_of(axes, {})) == [
        "division",
        "division + gate",
        "division + conv",
        "LINA",
        "subtraction",
        "subtraction + gate",
        "subtraction + conv",
        "subtraction + conv + gate",
    ]


def test_what_the_base_experiment_fixes_is_part_of_a_name():
    of_lina = plan_of(attention(normalization=["division", "subtraction", "softmax"]), LINA)
    assert labels(of_lina) == ["LINA", "subtraction + conv + gate", "softmax + conv + gate"]
    other_map = plan_of(attention(conv_kernel=[0, 5]), LINA | {"model.attention.feature_map": "elu1"})
    assert labels(other_map) == ["division + gate", "division + conv + gate"]


def test_a_segment_of_its_own_is_not_called_what_it_is_not():
    decoder = plan_of(attention(conv_kernel=[0, 5]), {"model.decoder.normalization": "softmax"})
    assert labels(decoder) == ["no conv", "conv"]
    tri = plan_of({"model.context.conv_kernel": [0, 5]}, LINA)
    assert labels(tri) == ["LINA, context.conv_kernel 0", "LINA, context.conv_kernel 5"]


def test_an_older_plan_does_not_say_what_it_fixes_and_nothing_is_supposed():
    axes = attention(conv_kernel=[0, 5], kv_gate=["none", "key_value"])
    assert labels(plan_of(axes)) == ["no conv or gate", "gate", "conv", "conv + gate"]
    assert labels(plan_of(axes, {}))[-1] == "LINA"


def test_kinds_of_a_convolution_or_gate_are_told_apart_where_a_study_has_several():
    assert labels(plan_of(attention(conv_kernel=[0, 3, 5, 7]), {})) == [
        "division",
        "division + conv 3",
        "division + conv 5",
        "division + conv 7",
    ]
    gates = plan_of(attention(kv_gate=["none", "key", "key_value"]), {"model.attention.conv_kernel": 5})
    assert labels(gates) == ["division + conv", "division + conv + key gate", "LINA"]


def test_what_else_a_study_varies_is_said_after_it():
    axes = attention(feature_map=["relu", "elu1"]) | {"training.parametrization": ["standard", "mup"]}
    assert labels(plan_of(axes, LINA)) == ["LINA", "LINA, mup", "LINA, elu1 feature map", "LINA, elu1 feature map, mup"]
    rates = plan_of({"training.learning_rate": [0.001, 0.002]}, {})
    assert labels(rates) == ["division, learning_rate 0.001", "division, learning_rate 0.002"]


def test_a_part_of_the_axes_is_named_alike_and_a_size_is_said_last():
    axes = attention(normalization=["division", "softmax"], conv_kernel=[0, 5]) | {"model.size": ["nano", "micro"]}
    plan = plan_of(axes, {})
    names = design_names(plan)
    assert names({"conv_kernel": 5}) == "conv"
    assert names({"conv_kernel": 0, "size": "nano"}) == "no conv, nano"
    assert names(plan.cells[2].values) == "division + conv, nano"
    assert [pair.setting for pair in design_pairs(plan)] == ["no conv", "conv", "division", "softmax"]
    assert next(design_pairs(plan)).names == ("softmax", "division")
    assert names({}) == design_label({}) == "all cells"


def test_a_name_is_found_for_values_as_a_table_has_them():
    plan = plan_of({"model.softmax_every": [None, 2], "model.attention.conv_kernel": [0, 5]}, {})
    row = pd.DataFrame({"softmax_every": [math.nan, 2.0], "conv_kernel": [0, 5]}).to_dict("records")[0]
    assert design_names(plan)(row) == "division"
    assert design_names(plan)({"softmax_every": 2.0, "conv_kernel": 5}) == "division + conv, softmax_every 2"


@pytest.mark.parametrize("variant", VARIANTS)
def test_only_the_variant_lina_is_called_lina(variant):
    plan = plan_of({path: [value] for path, value in VARIANTS[variant].items()}, {})
    extra = set(VARIANTS[variant]) - {*LINA, "model.attention.normalization"}
    assert ("LINA" in labels(plan)[0]) == (LINA.items() <= VARIANTS[variant].items())
    assert bool(extra) or labels(plan)[0] in {"softmax", "division", "mediator", "subtraction", "division + conv"} | {
        "subtraction + conv", "LINA", "division + conv + key gate", "division + conv + value gate",
        "division + conv + key_value_split gate", "division + conv + key_value_data gate",
    }  # fmt: skip


VALUES = st.one_of(
    st.text(max_size=60), st.integers(), st.booleans(), st.none(), st.sampled_from(["a", 'x="a"', "a, b"])
)
PATHS = st.sampled_from([
    *attention(normalization=0, conv_kernel=0, kv_gate=0, feature_map=0, memory_groups=0),
    *("model.context.normalization", "model.position", "training.parametrization", "data.path", "sampling.flow_steps"),
])  # fmt: skip


@given(axes=st.dictionaries(PATHS, st.lists(VALUES, min_size=1, max_size=3, unique=True), min_size=1, max_size=3))
def test_no_two_designs_of_a_study_have_one_name_and_none_can_break_a_line(axes):
    for fixed in (None, {}):
        plan = plan_of(axes, fixed)
        found = labels(plan)
        assert len(set(found)) == len({frozenset(cell.values.items()) for cell in plan.cells})
        assert all(label.isprintable() and label for label in found)
        names, turned = design_names(plan), design_names(plan_of(dict(reversed(axes.items())), fixed))
        for cell in plan.cells:
            assert names(dict(reversed(cell.values.items()))) == names(cell.values)
            assert turned(cell.values) == names(cell.values)


def test_a_name_that_two_designs_would_share_is_their_exact_values():
    long = [f"{'a' * 40}{middle}{'b' * 40}" for middle in "xy"]
    found = labels(plan_of({"data.path": long}))
    assert found == [f'path="{value}"' for value in long]


def test_shipped_studies_say_what_they_fix_and_their_plans_keep_it():
    plan = load_sweep(Path("sweeps/paper-locality.yaml")).plan
    assert plan.fixed == {"model.attention.normalization": "division"}
    assert parse_plan(plan_text(plan), Path("plan.json")).fixed == plan.fixed
    assert {"LINA" if "LINA" in label else "" for label in labels(plan)} == {"LINA", ""}
    assert max(map(len, labels(load_sweep(Path("sweeps/digits.yaml")).plan))) <= 35

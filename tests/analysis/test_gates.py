"""Gates at their places: known values at known positions come out where they were planted."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from lina_lab.analysis.gates import COLUMNS, gates_summary, gates_table, read_gates, summary_lines, token_places
from lina_lab.config.data import DataShape
from lina_lab.config.model import ModelConfig
from lina_lab.errors import LabError

HEADS, SIDE = 3, 5
DATA = DataShape(channels=2, side=SIDE * 2, num_classes=7)


def model(**attention) -> ModelConfig:
    """6 context tokens on 2 x 3, 25 image tokens on 5 x 5."""
    return ModelConfig.model_validate({
        "width": HEADS * 4,
        "num_heads": HEADS,
        "context_depth": 2,
        "encoder_depth": 2,
        "decoder_depth": 13,
        "head_depth": 2,
        "head_width": 8,
        "patch": 2,
        "context_tokens": 6,
        "attention": attention,
        "context": attention,
    })  # fmt: skip


GATED = model(kv_gate="key_value")


def ones(length: int, heads: int = HEADS) -> np.ndarray:
    return np.ones((heads, length), np.float32)


def where(table, **wanted):
    rows = table
    for name, value in wanted.items():
        rows = rows[rows[name] == value]
    return rows


def test_a_planted_weight_is_found_at_its_layer_head_and_place(tmp_path):
    key, value, context = ones(31), ones(31), ones(7)
    key[2, 6 + 5 * 3 + 4] = 17  # image, row 3, column 4
    value[1, 4] = 19  # context tokens are 2 x 3: row 1, column 1
    context[0, 1 + 2] = 23  # the context stack starts with the label: row 0, column 2
    context[1, 0] = 29
    path = tmp_path / "ema.safetensors"
    gates = {"decoder.11.attention.gates.key": key, "decoder.11.attention.gates.value": value}
    save_file(gates | {"context.1.attention.gates.key": context, "decoder.0.attention.proj.bias": ones(4)}, path)
    table = gates_table(read_gates(path), GATED, DATA)
    assert list(table.columns) == list(COLUMNS)
    assert len(table) == HEADS * (31 + 31 + 7)
    found = table[table["weight"] != 1].set_index("weight")[list(COLUMNS[:-1])].to_dict("index")
    places = {weight: tuple(row.values()) for weight, row in found.items()}
    assert places == {
        17: ("decoder", 11, 2, "key", "image", 3, 4, 25),
        19: ("decoder", 11, 1, "value", "context", 1, 1, 4),
        23: ("context", 1, 0, "key", "context", 0, 2, 3),
        29: ("context", 1, 1, "key", "label", 0, 0, 0),
    }


def test_layers_come_in_the_order_of_their_numbers_and_gates_in_that_of_the_figures():
    weights = {f"decoder.{i}.attention.gates.{g}": ones(31) for i in (10, 2) for g in ("value", "mass", "key")}
    table = gates_table(weights, model(kv_gate="key_value_split"), DATA)
    order = list(dict.fromkeys(zip(table["layer"], table["gate"], strict=True)))
    assert order == [(i, g) for i in (2, 10) for g in ("key", "mass", "value")]


def test_gates_that_heads_share_have_one_head():
    shared = gates_table({"decoder.0.attention.gates.key": ones(31, heads=1)}, GATED, DATA)
    assert set(shared["head"]) == {0}
    assert len(shared) == 31


def test_the_grids_are_those_of_the_model():
    """The model's own layouts, which the table must agree with."""
    from lina_lab.model.lina import Lina

    lina = Lina(GATED, DATA)
    for segment, stack in (("context", lina.context), ("decoder", lina.decoder)):
        layout = stack[0].attention.layout
        places = token_places(segment, GATED, DATA)
        grid = places[places["region"] == ("context" if segment == "context" else "image")]
        assert (len(places), len(places) - len(grid)) == (layout.tokens, layout.prefix)
        assert (grid["row"].max() + 1, grid["column"].max() + 1) == (layout.height, layout.width)
        assert grid["position"].tolist() == [
            layout.prefix + r * layout.width + c for r, c in zip(grid["row"], grid["column"], strict=True)
        ]


@pytest.mark.slow
def test_the_table_reads_what_the_model_writes(tmp_path):
    from safetensors.torch import save_file as save_torch

    from lina_lab.model.lina import Lina

    lina = Lina(GATED, DATA, seed=0)
    save_torch(lina.state_dict(), tmp_path / "ema.safetensors")
    table = gates_table(read_gates(tmp_path / "ema.safetensors"), GATED, DATA)
    assert (table["weight"] == 1).all()
    assert len(table) == HEADS * 2 * (13 * 31 + 2 * 7)


def test_the_summary_is_a_line_for_each_layer_and_gate():
    weights = ones(31)
    weights[0, :2] = (-1, 3)
    table = gates_table(
        {"decoder.0.attention.gates.key": weights, "decoder.1.attention.gates.key": ones(31)}, GATED, DATA
    )
    first, second = gates_summary(table).to_dict("records")
    assert first["mean"] == pytest.approx(1)
    assert first["sd"] == pytest.approx((8 / 93) ** 0.5)
    assert first["below_0"] == pytest.approx(1 / 93)
    assert (first["min"], first["max"]) == (-1, 3)
    assert (second["layer"], second["sd"], second["below_0"]) == (1, 0, 0)
    assert list(summary_lines(table)) == [
        "decoder layer 0, key: mean 1.000, SD 0.293 (-1.000 to 3.000), 1.1% below 0",
        "decoder layer 1, key: mean 1.000, SD 0.000 (1.000 to 1.000), 0.0% below 0",
    ]


def test_a_model_without_gates_is_told_which_axis_would_give_it_some():
    with pytest.raises(LabError, match=r"model.decoder.kv_gate is none.*model.attention.kv_gate.*key_value_split"):
        gates_table({"decoder.0.attention.proj.bias": ones(3)}, model(), DATA)


def test_a_gate_that_does_not_fit_is_named_with_both_shapes():
    with pytest.raises(LabError, match=r"decoder.0.attention.gates.key must have shape \(3, 31\).*not \(3, 37\)"):
        gates_table({"decoder.0.attention.gates.key": ones(37)}, GATED, DATA)


def test_missing_and_damaged_files_are_named(tmp_path):
    with pytest.raises(LabError, match=r"a.safetensors: no such file: the cell is not trained yet"):
        read_gates(tmp_path / "a.safetensors")
    (tmp_path / "b.safetensors").write_bytes(b"no tensors at all")
    with pytest.raises(LabError, match=r"b.safetensors: damaged"):
        read_gates(tmp_path / "b.safetensors")

"""Published names and shapes: both ways, at the published sizes, and what is told where a checkpoint does not fit."""

import pytest
import torch

from lina_lab.config.data import DataShape, TextShape
from lina_lab.config.model import ModelConfig
from lina_lab.errors import LabError
from lina_lab.model.blocks import sincos_table
from lina_lab.model.lina import Lina
from lina_lab.published.compatibility import misfits
from lina_lab.published.names import from_published, published_like, to_published, unpublished

LINA = {"conv_kernel": 5, "kv_gate": "key_value"}
DESIGNS = {
    "softmax": {"normalization": "softmax"},
    "linear6": {},
    "linear9": {"normalization": "subtraction"},
    "decouple1": {"conv_kernel": 5},
    "decouple10": {"normalization": "subtraction", "conv_kernel": 5},
    "kvscale1": LINA,
    "kvscale2": LINA | {"kv_gate_heads": "shared"},
    "kvscale3": LINA | {"kv_gate": "key"},
    "kvscale4": LINA | {"kv_gate": "value"},
    "kvscale5": LINA | {"kv_gate": "key_value_split"},
    "3x3": {"conv_kernel": 3},
}
TEXT = TextShape(tokens=3, features=7, vocabulary=0)
LABELS, PROMPTS = DataShape(5, 12, 11), DataShape(5, 12, 0, TEXT)


def model(attention: dict | None = None, **changes: object) -> ModelConfig:
    values = {"width": 28, "num_heads": 7, "context_depth": 2, "encoder_depth": 3, "decoder_depth": 1, "head_depth": 2}
    values |= {"head_width": 13, "patch": 2, "context_tokens": 9, "attention": attention or {}}
    return ModelConfig.model_validate(values | changes)


@pytest.mark.parametrize("data", [LABELS, PROMPTS], ids=["labels", "prompts"])
@pytest.mark.parametrize("attention", DESIGNS.values(), ids=DESIGNS)
def test_every_published_design_goes_there_and_back(attention, data):
    config = model(attention)
    state = Lina(config, data, seed=1).state_dict()
    published = to_published(state, config)
    assert not misfits(published, config, data)
    back = from_published(published, state, config)
    assert back.keys() == state.keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in back.items())
    assert sum(t.numel() for t in published.values()) == sum(t.numel() for t in state.values())


def test_the_halves_of_subtraction_stand_in_the_order_q_then_key_and_value():
    config = model({"normalization": "subtraction"}, context={"normalization": "softmax"})
    state = Lina(config, LABELS, seed=1).state_dict()
    published = to_published(state, config)
    fused = state["decoder.0.attention.qkv.weight"]
    assert torch.equal(published["image_encoder.blocks.3.attn.q.weight"], fused[:28])
    assert torch.equal(published["image_encoder.blocks.3.attn.kv.weight"], fused[28:])
    assert torch.equal(published["video_encoder.blocks.1.attn.qkv.weight"], state["context.1.attention.qkv.weight"])


def test_a_patch_convolution_sees_an_image_as_our_map_sees_its_tokens():
    config = model()
    lina = Lina(config, LABELS, seed=1)
    image = torch.randn(2, 5, 12, 12, generator=torch.Generator().manual_seed(0))
    published = to_published(lina.state_dict(), config)
    weight, bias = (published[f"image_encoder.patch_embed.proj.{part}"] for part in ("weight", "bias"))
    expected = torch.nn.functional.conv2d(image, weight, bias, stride=2).flatten(2).mT
    torch.testing.assert_close(lina.patch(lina.patchify(image)), expected)
    assert published["video_encoder.patch_embed.proj.weight"].shape == (28, 5, 4, 4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "data", "context_tokens", "tensors", "parameters"),
    [
        # Totals of section 14 of the published account; 723 is the number that it names of text-to-image.
        ("B", DataShape(16, 16, 1000), 64, 721, 612 * 768**2 + 2312 * 768 + 16 + 16 * (26 * 768 + 2 * 320 * 12)),
        ("L", DataShape(16, 16, 1000), 64, 721, 612 * 1024**2 + 2312 * 1024 + 16 + 16 * (26 * 1024 + 2 * 320 * 16)),
        *(
            ("H", DataShape(4, side, 0, TextShape(256, 2560, 0)), (side // 4) ** 2, 723,
             612 * 1536**2 + 3872 * 1536 + 16 + 16 * (26 * 1536 + 2 * 5 * (side // 4) ** 2 * 16) + 256 * 2560)
            for side in (32, 64, 128)
        ),
    ],
    ids=["c2i-B", "c2i-L", "t2i-256", "t2i-512", "t2i-1024"],
)  # fmt: skip
def test_the_published_sizes_map_one_to_one(size, data, context_tokens, tensors, parameters):
    patch = 1 if data.text is None else 2
    config = ModelConfig.model_validate(
        {"size": size, "patch": patch, "context_tokens": context_tokens, "attention": LINA}
    )
    ours, theirs = published_like(config, data)
    assert len(ours) == len(theirs) == tensors
    assert sum(t.numel() for t in ours.values()) == sum(t.numel() for t in theirs.values()) == parameters
    assert theirs["image_encoder.blocks.31.attn.key_scale"].shape == (1, config.num_heads, 5 * context_tokens, 1)
    assert "image_encoder.blocks.15.attn.key_scale" not in theirs
    back = from_published(theirs, ours, config)
    assert {name: tensor.shape for name, tensor in back.items()} == {name: t.shape for name, t in ours.items()}


@pytest.mark.parametrize(
    ("attention", "lacks"),
    [
        ({"feature_map": "elu1"}, "model.context.feature_map elu1"),
        ({"kv_gate": "key_value_data"}, "model.decoder.kv_gate key_value_data"),
        ({"normalization": "mediator"}, "model.encoder.normalization mediator"),
        ({"memory_groups": 4}, "model.decoder.memory_groups 4"),
        ({"output_gate": "sigmoid"}, "model.context.output_gate sigmoid"),
        ({"sequence_conv": "fixed_5"}, "model.context.sequence_conv fixed_5"),
        ({"conv_kernel": 3, "conv_weights": "generated"}, "model.decoder.conv_weights generated"),
        ({"normalization": "subtraction", "feature_map": "identity"}, "model.decoder.feature_map identity"),
    ],
)
def test_what_the_published_code_lacks_is_named(attention, lacks):
    config = model(attention)
    assert lacks in unpublished(config, LABELS)
    assert lacks in misfits({}, config, LABELS)[0]


def test_of_two_key_gates_gamma_weighs_the_memory_and_tau_the_mean():
    config = model(DESIGNS["kvscale5"])
    state = Lina(config, LABELS, seed=1).state_dict()
    for place, value in (("key", 2.0), ("mass", 3.0), ("value", 5.0)):
        state[f"decoder.0.attention.gates.{place}"].fill_(value)
    published = to_published(state, config)
    scales = {name.rpartition(".")[2]: tensor for name, tensor in published.items() if "_scale" in name}
    assert {name: tensor.unique().tolist() for name, tensor in scales.items()} == {
        "key_scale_gamma": [2.0],
        "key_scale_tau": [3.0],
        "value_scale": [5.0],
    }
    assert {tensor.shape for tensor in scales.values()} == {(1, 7, 45, 1)}
    told = misfits(published, model(LINA), LABELS)
    assert "model.decoder.kv_gate: key_value in the experiment, key_value_split in the checkpoint" in told


def test_a_hybrid_has_published_gates_of_another_length_and_is_refused():
    assert unpublished(model(LINA, decoder_depth=3, softmax_every=2), LABELS) == ["model.softmax_every 2"]


def test_rotary_positions_need_no_tensors():
    """Of the context queries bos alone is left, and D² + 260 D parameters are gone."""
    rotary, table = (published_like(model(width=56, position=position), LABELS)[1] for position in ("rotary", "table"))
    gone = table.keys() - rotary.keys()
    assert all(name.startswith("video_pos_embed.") for name in gone)
    assert sum(table[name].numel() for name in gone) == 56**2 + 260 * 56
    assert not misfits(rotary, model(width=56, position="rotary"), LABELS)
    assert misfits(table, model(width=56, position="rotary"), LABELS)
    assert misfits(rotary, model(width=56), LABELS)


def test_learnt_words_have_no_published_name():
    words = DataShape(5, 12, 0, TextShape(3, 7, 20))
    assert unpublished(model(), words) == ["data.text.encoder words"]
    with pytest.raises(LabError, match=r"no published name that is known: text\.words\.weight"):
        to_published(Lina(model(), words).state_dict(), model())


@pytest.mark.parametrize(
    ("changes", "reasons"),
    [
        ({"width": 24, "num_heads": 6}, ["model.width: 24 in the experiment, 28 in the checkpoint"]),
        ({"num_heads": 4}, ["(1, 4, 45, 1) in the experiment, (1, 7, 45, 1) in the checkpoint"]),
        ({"context_depth": 1}, ["model.context_depth: 1 in the experiment, 2 in the checkpoint"]),
        ({"head_depth": 3}, ["model.head_depth: 3"]),
        ({"head_width": 11}, ["model.head_width: 11 in the experiment, 13 in the checkpoint"]),
        ({"decoder_depth": 2}, ["model.encoder_depth + model.decoder_depth: 5"]),
        (
            {"encoder_depth": 2, "decoder_depth": 2},
            ["decoder.kv_gate: key_value in the experiment, key_value and none"],
        ),
        ({"mlp_ratio": 3}, ["model.mlp_ratio"]),
        ({"patch": 3}, ["model.patch: 3 in the experiment, 2 in the checkpoint"]),
        ({"attention": LINA | {"conv_kernel": 3}}, ["model.decoder.conv_kernel: 3 in the experiment, 5"]),
        ({"attention": LINA | {"kv_gate": "key"}}, ["model.decoder.kv_gate: key in the experiment, key_value in"]),
        (
            {"attention": LINA | {"kv_gate": "key_value_split"}},
            ["kv_gate: key_value_split in the experiment, key_value"],
        ),
        (
            {"attention": LINA | {"kv_gate_heads": "shared"}},
            ["(1, 1, 45, 1) in the experiment, (1, 7, 45, 1) in the checkpoint"],
        ),
        (
            {"context": {"normalization": "subtraction"}, "head_depth": 1},
            ["model.context.normalization: subtraction (attn.q and attn.kv) in the experiment", "model.head_depth"],
        ),
    ],
)
def test_every_difference_of_design_is_named_with_both_values(changes, reasons):
    checkpoint = published_like(model(LINA), LABELS)[1]
    told = misfits(checkpoint, model(**({"attention": LINA} | changes)), LABELS)
    assert all(any(reason in line for line in told) for reason in reasons), told


def test_prompts_and_labels_are_told_apart_both_ways():
    for found, wanted in ((LABELS, PROMPTS), (PROMPTS, LABELS)):
        words = ["labels" if data.text is None else "prompts" for data in (wanted, found)]
        told = misfits(published_like(model(), found)[1], model(), wanted)
        assert f"condition: {words[0]} in the experiment, {words[1]} in the checkpoint" in told


def test_missing_unknown_and_misshapen_tensors_are_named_twenty_at_most_and_counted():
    checkpoint = Lina(model(), LABELS, seed=1).state_dict()
    checkpoint = to_published(checkpoint, model())
    del checkpoint["image_encoder.blocks.1.norm1.bias"]
    checkpoint |= {f"extra.{n:02}": torch.zeros(2) for n in range(23)}
    checkpoint["image_decoder.head.bias"] = torch.zeros(19)
    missing, unknown, wrong = misfits(checkpoint, model(), LABELS)
    assert missing == "missing tensors (1): image_encoder.blocks.1.norm1.bias"
    assert unknown.startswith("unknown tensors (23): extra.00, extra.01")
    assert unknown.endswith("extra.19 and 3 more")
    assert wrong == "tensors of another shape (1): image_decoder.head.bias (19,) for (20,)"


@pytest.mark.slow
def test_a_position_table_is_accepted_only_if_it_is_ours():
    checkpoint = to_published(Lina(model(), LABELS, seed=1).state_dict(), model())
    for table in (sincos_table(6, 6, 28), sincos_table(3, 3, 28).unsqueeze(0), sincos_table(6, 6, 28).bfloat16()):
        assert not misfits(checkpoint | {"image_pos_embed.table": table}, model(), LABELS)
    other = sincos_table(6, 6, 28)
    other[5, 3] += 1e-4
    for table in (other, sincos_table(4, 9, 28), sincos_table(6, 6, 28).flip(0)):
        told = misfits(checkpoint | {"image_pos_embed.table": table}, model(), LABELS)
        assert told == ["unknown tensors (1): image_pos_embed.table"]


def test_more_rows_of_fixed_text_are_fine_and_fewer_are_not():
    checkpoint = to_published(Lina(model(), PROMPTS, seed=1).state_dict(), model())
    checkpoint["text_embed.weight"] = torch.zeros(5, 7)
    assert not misfits(checkpoint, model(), PROMPTS)
    checkpoint["text_embed.weight"] = torch.zeros(2, 7)
    assert "text_embed.weight (2, 7) for (3, 7)" in misfits(checkpoint, model(), PROMPTS)[0]


@pytest.mark.parametrize("shape", [(28,), (1, 28), (1, 1, 28)])
def test_single_tokens_may_have_any_number_of_axes_of_size_one(shape):
    state = Lina(model(), LABELS, seed=1).state_dict()
    checkpoint = to_published(state, model())
    checkpoint["mask_embed.mask_token"] = state["mask_token"].reshape(shape)
    assert not misfits(checkpoint, model(), LABELS)
    assert torch.equal(from_published(checkpoint, state, model())["mask_token"], state["mask_token"])

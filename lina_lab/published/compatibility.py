"""Infer the design of a published checkpoint from tensor names and shapes, and compare it with a config."""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from lina_lab.config.data import DataShape
from lina_lab.config.layout import near_square
from lina_lab.config.model import ModelConfig
from lina_lab.design.gates import KV_GATE
from lina_lab.design.normalization import NORMALIZATION
from lina_lab.model.blocks import sincos_table
from lina_lab.published.names import TEXT_ROWS, TOKENS, published_like, some, unpublished

Tensors = Mapping[str, Tensor]
PUBLISHED_GATES = {word: value for word, value in KV_GATE.values.items() if value.published}
GATES = {
    theirs: ours
    for value in PUBLISHED_GATES.values()
    for ours, theirs in zip(value.weights, value.published_names, strict=True)
}
KV_GATES = {tuple(sorted(value.weights)): word for word, value in PUBLISHED_GATES.items()}
"""Values of kv_gate by the gates that they have."""


def misfits(tensors: Tensors, model: ModelConfig, data: DataShape) -> list[str]:
    """Why a checkpoint does not fit a design, one reason a line; none if every tensor fits."""
    if lacks := unpublished(model, data):
        return [f"published weights are not known of a design with {', '.join(lacks)}"]
    expected = published_like(model, data)[1]
    told, wanted = design(tensors, model.encoder_depth), design(expected, model.encoder_depth)
    differ = [key for key in wanted if key in told and told[key] != wanted[key]]
    if differ:
        return [f"{key}: {wanted[key]} in the experiment, {told[key]} in the checkpoint" for key in differ]
    missing, unknown = sorted(expected.keys() - tensors.keys()), sorted(unplaced(tensors, expected, model, data))
    wrong = [
        f"{name} {tuple(tensors[name].shape)} for {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in tensors and not _fits(name, tensors[name], tensor)
    ]
    lists = {"missing tensors": missing, "unknown tensors": unknown, "tensors of another shape": wrong}
    return [f"{what} ({len(names)}): {some(names)}" for what, names in lists.items() if names]


def _fits(name: str, found: Tensor, expected: Tensor) -> bool:
    if name in TOKENS.values():
        return found.squeeze().shape == expected.squeeze().shape
    if name == TEXT_ROWS:
        return found.shape[1:] == expected.shape[1:] and len(found) >= len(expected)
    return found.shape == expected.shape


def unplaced(tensors: Tensors, expected: Tensors, model: ModelConfig, data: DataShape) -> list[str]:
    """Names of tensors without a counterpart in the model, except its own position tables."""
    return [name for name in tensors.keys() - expected.keys() if not is_position_table(tensors[name], model, data)]


def is_position_table(tensor: Tensor, model: ModelConfig, data: DataShape) -> bool:
    """Whether a tensor equals the position table of the model's image or context grid, up to rounding."""
    side, context = data.side // model.patch, near_square(model.context_tokens)
    for height, width in ((side, side), context):
        if tensor.squeeze().shape == (height * width, model.width) and tensor.dtype.is_floating_point:
            error = (tensor.squeeze().float() - sincos_table(height, width, model.width)).abs().max().item()
            return error <= max(1e-6, torch.finfo(tensor.dtype).eps)
    return False


def design(tensors: Tensors, encoder_depth: int) -> dict[str, str | int]:
    """The design by config key, as far as names and shapes determine it."""
    told: dict[str, str | int] = {}

    def tell(key: str, name: str, axis: int) -> None:
        if name in tensors and tensors[name].dim() > axis:
            told[key] = tensors[name].shape[axis]

    tell("model.width", "image_encoder.norm.weight", 0)
    tell("model.head_width", "image_decoder.patch_embed.proj.weight", 0)
    tell("model.patch", "image_encoder.patch_embed.proj.weight", 2)
    tell("channels of data", "image_encoder.patch_embed.proj.weight", 1)
    tell("rows of labels (classes + 1)", "label_embed.weight", 0)
    tell("data.text.features", "text_embed.proj.weight", 1)
    tell("hidden channels of an MLP (model.mlp_ratio)", "image_encoder.blocks.0.mlp.fc1.weight", 0)
    told["condition"] = "prompts" if "text_embed.proj.weight" in tensors else "labels"
    blocks = {stack: _blocks(tensors, stack) for stack in ("video_encoder", "image_encoder", "image_decoder")}
    told["model.context_depth"] = len(blocks["video_encoder"])
    told["model.encoder_depth + model.decoder_depth"] = len(blocks["image_encoder"])
    told["model.head_depth"] = len(blocks["image_decoder"])
    image = blocks["image_encoder"]
    segments = {
        "context": list(blocks["video_encoder"].values()),
        "encoder": [block for index, block in image.items() if index < encoder_depth],
        "decoder": [block for index, block in image.items() if index >= encoder_depth],
    }
    for segment, its in segments.items():
        told |= {f"model.{segment}.{key}": value for key, value in _attention(its).items()}
    return told


def _blocks(tensors: Tensors, stack: str) -> dict[int, dict[str, Tensor]]:
    """Blocks of a stack by number, each as its tensors by local name."""
    blocks: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if found := re.fullmatch(rf"{stack}\.blocks\.(\d+)\.(.+)", name):
            blocks.setdefault(int(found[1]), {})[found[2]] = tensor
    return blocks


def _attention(blocks: Iterable[Mapping[str, Tensor]]) -> dict[str, str]:
    """The design axes of a segment; where its blocks differ, every value."""
    told: dict[str, set[str]] = {}
    for block in blocks:
        gates = {name: block[f"attn.{name}"].shape for name in GATES if f"attn.{name}" in block}
        kinds = tuple(sorted(GATES[name] for name in gates))
        conv = block.get("attn.dw_conv.weight")
        values = {
            "normalization": _normalization(block),
            "conv_kernel": "0" if conv is None else f"{conv.shape[-1] if conv.dim() == 4 else tuple(conv.shape)}",
            "kv_gate": KV_GATES.get(kinds, "_".join(kinds)),
        }
        if gates:
            values["kv_gate over (1, heads, tokens, 1)"] = " and ".join(sorted({f"{tuple(s)}" for s in gates.values()}))
        for key, value in values.items():
            told.setdefault(key, set()).add(value)
    return {key: " and ".join(sorted(values)) for key, values in told.items()}


def _normalization(block: Mapping[str, Tensor]) -> str:
    """The normalizations whose maps a block has, as 'division or softmax (attn.qkv)'."""
    maps = ("q", "kv") if "attn.kv.weight" in block else ("qkv",)
    words = (word for word, value in NORMALIZATION.values.items() if value.published and value.published_maps == maps)
    return f"{' or '.join(words)} ({' and '.join(f'attn.{name}' for name in maps)})"

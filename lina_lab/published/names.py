"""Published LINA checkpoints: their names and shapes to ours, and back, from one table.

The published names are those of the code released with arXiv:2601.22630. Differences beyond names: the two halves of
the image stack are one list of blocks, subtraction keeps q and (k, v) in two maps, patch projections are convolutions,
tokens are (1, D), gates (1, H, N, 1), and the table of fixed text rows is longer than a prompt.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from lina_lab.config.data import DataShape
from lina_lab.config.model import SEGMENTS, AttentionConfig, ModelConfig
from lina_lab.errors import LabError
from lina_lab.model.lina import Lina

MODULES = {
    "label.table": "label_embed",
    "label.norm": "label_embed.norm",
    "text.null": "text_embed.weight",
    "text.proj": "text_embed.proj",
    "text.norm": "text_embed.norm",
    "queries.bos": "mask_embed.bos_token",
    "queries.time1": "video_pos_embed.time_proj.0",
    "queries.time2": "video_pos_embed.time_proj.2",
    "queries.norm": "video_pos_embed.norm",
    "mask_token": "mask_embed.mask_token",
    "context_patch": "video_encoder.patch_embed.proj",
    "context_norm": "video_encoder.norm",
    "patch": "image_encoder.patch_embed.proj",
    "image_norm": "image_encoder.norm",
    "head.patch": "image_decoder.patch_embed.proj",
    "head.time.fc1": "image_decoder.time_cond_embed.timestep_proj.fc1",
    "head.time.fc2": "image_decoder.time_cond_embed.timestep_proj.fc2",
    "head.condition.fc1": "image_decoder.time_cond_embed.condition_proj.fc1",
    "head.condition.fc2": "image_decoder.time_cond_embed.condition_proj.fc2",
    "head.modulation": "image_decoder.norm.proj",
    "head.out": "image_decoder.head",
}
"""Our modules, and single tensors, outside of blocks."""
STACKS = {
    "context": "video_encoder.blocks",
    "encoder": "image_encoder.blocks",
    "decoder": "image_encoder.blocks",
    "head.blocks": "image_decoder.blocks",
}
BLOCK = {
    "norm1": "norm1",
    "norm2": "norm2",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
    "attention.qkv": "attn.qkv",
    "attention.proj": "attn.proj",
    "attention.conv": "attn.dw_conv",
    "attention.gates.key": "attn.key_scale",
    "attention.gates.value": "attn.value_scale",
}
SPLIT_GATES = {"attention.gates.key": "attn.key_scale_gamma", "attention.gates.mass": "attn.key_scale_tau"}
"""Of kvscale5, whose keys have one gate in the memory (γ) and another in their mean (τ)."""
HEAD_BLOCK = {"modulation": "norm1.proj", "projector.fc1": "proj.fc1", "projector.fc2": "proj.fc2", "norm": "norm2"}
PATCH_SIDES = {"patch.weight": 1, "context_patch.weight": 2, "head.patch.weight": 1}
"""Sides of the patch convolutions, in patches."""
TOKENS = {name: MODULES[name] for name in ("queries.bos", "mask_token")}
TEXT_ROWS = MODULES["text.null"]
BLOCK_OF = re.compile(rf"({'|'.join(re.escape(stack) for stack in STACKS)})\.(\d+)\.(.+)")
KNOWN_FIELDS = {"size", "mlp_ratio", "patch", "position"}
"""Fields of a model that have a default, and any value of which has its published names."""


def published_names(name: str, model: ModelConfig) -> tuple[str, ...]:
    """Names of one tensor of ours: one; or two, whose rows follow each other; none if the published code has none."""
    found = BLOCK_OF.fullmatch(name)
    if found is None:
        return _renamed(name, MODULES)
    stack, index, inner = found[1], int(found[2]), found[3]
    theirs = _renamed(inner, HEAD_BLOCK if stack == "head.blocks" else _block(getattr(model, stack)))
    if inner.startswith("attention.qkv.") and getattr(model, stack).normalization == "subtraction":
        theirs = tuple(theirs[0].replace("attn.qkv", f"attn.{part}") for part in ("q", "kv"))
    index += model.encoder_depth if stack == "decoder" else 0
    return tuple(f"{STACKS[stack]}.{index}.{part}" for part in theirs)


def _block(attention: AttentionConfig) -> Mapping[str, str]:
    return BLOCK | (SPLIT_GATES if attention.kv_gate == "key_value_split" else {})


def _renamed(name: str, table: Mapping[str, str]) -> tuple[str, ...]:
    module, _, leaf = name.rpartition(".")
    if name in table:
        return (table[name],)
    return (f"{table[module]}.{leaf}",) if module in table and leaf in {"weight", "bias"} else ()


def to_published(state: Mapping[str, Tensor], model: ModelConfig) -> dict[str, Tensor]:
    """A published checkpoint's tensors from our state dict.

    The fixed text rows are those of a prompt's tokens: the longer table is the caller's.

    Raises:
        LabError: naming the tensors that have no published name.
    """
    unnamed = [name for name in state if not published_names(name, model)]
    if unnamed:
        raise LabError(f"these tensors have no published name that is known: {some(unnamed)}")
    published: dict[str, Tensor] = {}
    for name, tensor in state.items():
        names, q_kv = published_names(name, model), [model.width, 2 * model.width]
        parts = tensor.split(q_kv) if len(names) == 2 else (_to_shape(name, tensor, model),)
        published |= zip(names, parts, strict=True)
    return published


def from_published(
    published: Mapping[str, Tensor], like: Mapping[str, Tensor], model: ModelConfig
) -> dict[str, Tensor]:
    """Our state dict, with the names of `like`, from a published checkpoint's tensors, which must be all there."""
    state = {}
    for name, tensor in like.items():
        parts = [published[part] for part in published_names(name, model)]
        state[name] = _from_shape(name, torch.cat(parts) if len(parts) > 1 else parts[0], len(tensor))
    return state


def published_like(model: ModelConfig, data: DataShape) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Our state dict and its published twin without values: names and shapes alone.

    Raises:
        LabError: if the design has tensors without a published name.
    """
    with torch.device("meta"):
        state = Lina(model, data).state_dict()
    return state, to_published(state, model)


def unpublished(model: ModelConfig, data: DataShape) -> list[str]:
    """Values of a design whose published names, or place in the published code, are not known.

    As 'model.decoder.feature_map elu1'.
    """
    lacks: list[str] = []
    for segment in SEGMENTS:
        attention: AttentionConfig = getattr(model, segment)
        known: dict[str, set[Any]] = {
            "normalization": {"division", "subtraction", "softmax"},
            "feature_map": {"identity"} if attention.normalization == "softmax" else {"relu"},
            "kv_gate": {"none", "key", "value", "key_value", "key_value_split"},
            "conv_kernel": {0, 3, 5, 7},
            "kv_gate_heads": {"per_head", "shared"},
        }
        lacks += _others(f"model.{segment}", attention, known)
    lacks += _others("model", model, {name: {getattr(model, name)} for name in KNOWN_FIELDS})
    if data.text is not None and data.text.vocabulary:
        lacks.append("data.text.encoder words")
    return lacks


def _others(prefix: str, config: AttentionConfig | ModelConfig, known: Mapping[str, set[Any]]) -> Iterable[str]:
    """Fields whose value is neither known nor, where nothing is known, the default."""
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if not field.is_required() and value not in known.get(name, {field.default}):
            yield f"{prefix}.{name} {value}"


def some(names: Iterable[str], most: int = 20) -> str:
    """The first names, and how many more there are."""
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _to_shape(name: str, tensor: Tensor, model: ModelConfig) -> Tensor:
    if name in PATCH_SIDES:
        side = PATCH_SIDES[name] * model.patch
        return tensor.unflatten(1, (side, side, -1)).permute(0, 3, 1, 2)  # (D, C, p, p)
    if name in TOKENS:
        return tensor.unsqueeze(0)
    return tensor[None, :, :, None] if ".gates." in name else tensor  # (1, H, N, 1)


def _from_shape(name: str, tensor: Tensor, rows: int) -> Tensor:
    if name in PATCH_SIDES:
        return tensor.permute(0, 2, 3, 1).flatten(1)  # values of a token by row, column, channel
    if name in TOKENS:
        return tensor.flatten()
    return tensor.flatten(2).squeeze(0) if ".gates." in name else tensor[:rows]

"""Convert tensors of published LINA checkpoints to ours and back, by one table of names.

The published names are those of the code released with arXiv:2601.22630. Differences beyond names: the two halves of
the image stack are one list of blocks, subtraction keeps q and (k, v) in two maps, patch projections are convolutions,
tokens are (1, D), gates (1, H, N, 1), and the table of fixed text rows is longer than a prompt.
"""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from lina_lab.config.data import DataShape
from lina_lab.config.model import SEGMENTS, AttentionConfig, ModelConfig
from lina_lab.design.axes import AXES
from lina_lab.design.gates import KV_GATE
from lina_lab.design.normalization import FEATURE_MAP, NORMALIZATION
from lina_lab.design.position import POSITION
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
"""Published names of our modules and single tensors outside of blocks."""
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
}
HEAD_BLOCK = {"modulation": "norm1.proj", "projector.fc1": "proj.fc1", "projector.fc2": "proj.fc2", "norm": "norm2"}
PATCH_SIDES = {"patch.weight": 1, "context_patch.weight": 2, "head.patch.weight": 1}
"""Sides of the patch convolutions, in patches."""
TOKENS = {name: MODULES[name] for name in ("queries.bos", "mask_token")}
TEXT_ROWS = MODULES["text.null"]
BLOCK_OF = re.compile(rf"({'|'.join(re.escape(stack) for stack in STACKS)})\.(\d+)\.(.+)")
ANY_VALUE = ("size", "mlp_ratio", "patch", "position")
"""Fields of a model that have a default, and whose values the published code has, or the entry of a value says it."""


def published_names(name: str, model: ModelConfig) -> tuple[str, ...]:
    """Published names of one of our tensors: one; two whose rows are concatenated; none if it has no counterpart."""
    found = BLOCK_OF.fullmatch(name)
    if found is None:
        return _renamed(name, MODULES)
    stack, index, inner = found[1], int(found[2]), found[3]
    theirs = _renamed(inner, HEAD_BLOCK if stack == "head.blocks" else _block(getattr(model, stack)))
    if inner.startswith("attention.qkv."):
        maps = NORMALIZATION[getattr(model, stack).normalization].published_maps
        theirs = tuple(theirs[0].replace("attn.qkv", f"attn.{part}") for part in maps)
    index += model.encoder_depth if stack == "decoder" else 0
    return tuple(f"{STACKS[stack]}.{index}.{part}" for part in theirs)


def _block(attention: AttentionConfig) -> Mapping[str, str]:
    gate = KV_GATE[attention.kv_gate]
    gates = zip(gate.weights, gate.published_names, strict=gate.published)
    return BLOCK | {f"attention.gates.{ours}": f"attn.{theirs}" for ours, theirs in gates}


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
    """Our state dict and its published counterpart, with names and shapes but no values.

    Raises:
        LabError: if the design has tensors without a published name.
    """
    with torch.device("meta"):
        state = Lina(model, data).state_dict()
    return state, to_published(state, model)


def unpublished(model: ModelConfig, data: DataShape) -> list[str]:
    """Values of a design that the published code does not have, or whose published names are unknown.

    As 'model.decoder.feature_map elu1'.
    """
    lacks = [
        f"model.{segment}.{name} {getattr(attention, name)}"
        for segment, attention in ((segment, getattr(model, segment)) for segment in SEGMENTS)
        for name in AttentionConfig.model_fields
        if not _is_published(attention, name)
    ]
    if not POSITION[model.position].published:
        lacks.append(f"model.position {model.position}")
    for name, field in ModelConfig.model_fields.items():
        value = getattr(model, name)
        if not field.is_required() and name not in ANY_VALUE and value != field.default:
            lacks.append(f"model.{name} {value}")
    if data.text is not None and data.text.vocabulary:
        lacks.append("data.text.encoder words")
    return lacks


def _is_published(attention: AttentionConfig, name: str) -> bool:
    if name == "feature_map":
        return attention.normalization in FEATURE_MAP[attention.feature_map].published_with
    return AXES[name][getattr(attention, name)].published


def some(names: Iterable[str], most: int = 20) -> str:
    """The first names, and the number of the others."""
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

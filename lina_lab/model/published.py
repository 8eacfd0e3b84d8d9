"""Published LINA checkpoints: their parameter names and shapes to ours.

The published names are those of the code released with arXiv:2601.22630. Differences beyond names: subtraction keeps q
and (k, v) in two maps, patch projections are convolutions, gates are (1, H, N, 1).
"""

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

RENAMES = (
    (r"^label_embed\.weight$", "label.table.weight"),
    (r"^label_embed\.norm\.", "label.norm."),
    (r"^mask_embed\.bos_token$", "queries.bos"),
    (r"^mask_embed\.mask_token$", "mask_token"),
    (r"^video_pos_embed\.time_proj\.0\.", "queries.time1."),
    (r"^video_pos_embed\.time_proj\.2\.", "queries.time2."),
    (r"^video_pos_embed\.norm\.", "queries.norm."),
    (r"^video_encoder\.patch_embed\.proj\.", "context_patch."),
    (r"^video_encoder\.norm\.", "context_norm."),
    (r"^video_encoder\.blocks\.", "context."),
    (r"^image_encoder\.patch_embed\.proj\.", "patch."),
    (r"^image_encoder\.norm\.", "image_norm."),
    (r"^image_decoder\.patch_embed\.proj\.", "head.patch."),
    (r"^image_decoder\.time_cond_embed\.timestep_proj\.", "head.time."),
    (r"^image_decoder\.time_cond_embed\.condition_proj\.", "head.condition."),
    (r"^image_decoder\.norm\.proj\.", "head.modulation."),
    (r"^image_decoder\.head\.", "head.out."),
    (r"^image_decoder\.blocks\.(\d+)\.norm1\.proj\.", r"head.blocks.\1.modulation."),
    (r"^image_decoder\.blocks\.(\d+)\.proj\.", r"head.blocks.\1.projector."),
    (r"^image_decoder\.blocks\.(\d+)\.norm2\.", r"head.blocks.\1.norm."),
    (r"(^|\.)attn\.", r"\1attention."),
    (r"dw_conv\.", "conv."),
    (r"key_scale$", "gates.key"),
    (r"value_scale$", "gates.value"),
)


def _pixels_last(weight: Tensor) -> Tensor:
    """A p x p patch convolution (D, C, p, p) as the map of a token (row, column, channel): (D, p p C)."""
    return weight.permute(0, 2, 3, 1).flatten(1)


SHAPES: tuple[tuple[str, Callable[[Tensor], Tensor]], ...] = (
    (r"patch\.weight$", _pixels_last),
    (r"(queries\.bos|mask_token)$", torch.Tensor.flatten),
    (r"gates\.", lambda gate: gate.flatten(2).squeeze(0)),  # (1, H, N, 1) to (H, N)
)


def from_published(published: Mapping[str, Tensor], encoder_depth: int) -> dict[str, Tensor]:
    """Our state dict from the tensors of a published checkpoint.

    The published image stack is one list of blocks; its first `encoder_depth` are our encoder, the others our decoder.
    """
    tensors = {our_name(name, encoder_depth): tensor for name, tensor in published.items()}
    for suffix in ("weight", "bias"):
        for name in [n for n in tensors if re.search(rf"(^|\.)kv\.{suffix}$", n)]:
            stem = name.removesuffix(f"kv.{suffix}")
            tensors[f"{stem}qkv.{suffix}"] = torch.cat([tensors.pop(f"{stem}q.{suffix}"), tensors.pop(name)])
    return {name: _reshaped(name, tensor) for name, tensor in tensors.items()}


def our_name(name: str, encoder_depth: int) -> str:
    """Our name of a published tensor; `attention.q` and `attention.kv` are still to be joined."""
    block = re.match(r"^image_encoder\.blocks\.(\d+)\.", name)
    if block:
        index = int(block[1])
        segment, index = ("encoder", index) if index < encoder_depth else ("decoder", index - encoder_depth)
        name = f"{segment}.{index}.{name[block.end() :]}"
    for pattern, ours in RENAMES:
        name = re.sub(pattern, ours, name)
    return name


def _reshaped(name: str, tensor: Tensor) -> Tensor:
    for pattern, change in SHAPES:
        if re.search(pattern, name):
            return change(tensor)
    return tensor

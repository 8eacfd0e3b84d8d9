"""Random draws, with one generator for each purpose.

Shapes: B images, N tokens an image, R repeats of the loss, V values of a token.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from lina_lab.config.settings import TrainingConfig

BLOCK = 64
"""Rows of a batch that are drawn together, from one stream; fewer if an image has many tokens."""
BLOCK_TOKENS = BLOCK * 256

Streams = Callable[[str, int], Generator]
"""The generators of one training step, by purpose and block of the batch."""


def stream(seed: int, *purpose: str | int) -> Generator:
    """A CPU generator for one purpose of one seed, e.g. `stream(0, "noise", step)`.

    Training draws are a pure function of (seed, purpose, step): a resumed run needs no generator state, and designs
    that share a seed see the same draws.
    """
    name = ":".join(str(part) for part in (seed, *purpose))
    return Generator().manual_seed(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1)


def step_streams(seed: int, step: int) -> Streams:
    """The generators of one training step."""
    return lambda purpose, block: stream(seed, purpose, step, *([block] if block else []))


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a CPU tensor to a device without waiting for it."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


class BatchShard(NamedTuple):
    """Shard `rank` of `num_shares` equal shards of a batch: what one of several processes trains on."""

    rank: int = 0
    num_shares: int = 1

    def rows(self, batch: int) -> range:
        """Which of `batch` rows belong to this shard.

        Raises:
            ValueError: if the batch cannot be divided evenly.
        """
        if batch % self.num_shares:
            raise ValueError(f"{batch} rows must be a multiple of {self.num_shares} shares")
        size = batch // self.num_shares
        return range(self.rank * size, (self.rank + 1) * size)

    def split(self, parts: int) -> list["BatchShard"]:
        """Equal parts of this shard, each again a shard of the batch."""
        return [BatchShard(self.rank * parts + part, self.num_shares * parts) for part in range(parts)]

    def of(self, rows: Tensor) -> Tensor:
        """The rows (B / num_shares, ...) of (B, ...) that belong to this shard."""
        own = self.rows(len(rows))
        return rows[own.start : own.stop]


WHOLE = BatchShard()


def draw_block_rows(
    batch: int, share: BatchShard, draw: Callable[[int, int], Tensor], dim: int = 0, size: int = BLOCK
) -> Tensor:
    """The rows of a shard, along `dim`, of what `draw(block, rows)` draws for the blocks of a batch.

    Each block has a stream of its own and is always drawn whole. So rows do not depend on the number of shards, and a
    shard draws little more than its own rows.
    """
    rows = share.rows(batch)
    blocks = range(rows.start // size, -(-rows.stop // size))
    parts = [draw(block, min(size, batch - block * size)) for block in blocks]
    whole = parts[0] if len(parts) == 1 else torch.cat(parts, dim)
    return whole.narrow(dim, rows.start - blocks.start * size, len(rows))


class TrainingDraws(NamedTuple):
    """All random draws of one training forward. Row r * B + b of repeated draws is repeat r of image b."""

    keep_label: Tensor  # (B,) bool
    order: Tensor  # (B, N) a permutation of the positions; the first num_visible are visible
    num_visible: int
    noise: Tensor  # (R * B, N, V) standard normal
    time_index: Tensor  # (R * B, N) in 0 ... 999

    def to(self, device: torch.device) -> "TrainingDraws":
        draw_block_rows = (self.keep_label, self.order, self.noise, self.time_index)
        keep, order, noise, time = (to_device(tensor, device) for tensor in draw_block_rows)
        return TrainingDraws(keep_label=keep, order=order, num_visible=self.num_visible, noise=noise, time_index=time)


def training_draws(
    config: TrainingConfig, batch: int, tokens: int, values: int, streams: Streams, share: BatchShard = WHOLE
) -> TrainingDraws:
    """The draws of a shard of one step's batch. One mask ratio serves the whole batch.

    (The published code draws one for each GPU.)
    """
    repeats, size = config.loss_repeat, max(1, min(BLOCK, BLOCK_TOKENS // tokens))

    def uniform(purpose: str, *shape: int) -> Tensor:
        def one(block: int, rows: int) -> Tensor:
            return torch.rand(rows, *shape, generator=streams(purpose, block))

        return draw_block_rows(batch, share, one, size=size)

    def normal(purpose: str, *shape: int) -> Tensor:  # (R B, ...)
        def repeated(block: int, rows: int) -> Tensor:
            return torch.randn(repeats, rows, *shape, generator=streams(purpose, block))

        return draw_block_rows(batch, share, repeated, dim=1, size=size).flatten(0, 1)

    return TrainingDraws(
        keep_label=uniform("label_dropout") > config.label_dropout,
        order=uniform("mask", tokens).argsort(dim=1),
        num_visible=round((1 - mask_ratio(config, _uniform(streams("mask_ratio", 0)))) * tokens),
        noise=normal("noise", tokens, values),
        time_index=time_index(normal("time", tokens)),
    )


def time_index(normal: Tensor) -> Tensor:
    """floor(1000 sigmoid(n)), in 0 ... 999: logit-normal times."""
    return (1000 * torch.sigmoid(normal)).floor().long().clamp(max=999)


def _uniform(generator: Generator) -> Tensor:
    return torch.rand((), generator=generator, dtype=torch.float64)


def mask_ratio(config: TrainingConfig, uniform: Tensor) -> float:
    """Normal(1, std) cut to [min, 1]: its value below which a share `uniform` lies, in float64."""
    low = 0.5 * (1 + math.erf((config.mask_ratio_min - 1) / config.mask_ratio_std / math.sqrt(2)))
    quantile = torch.special.ndtri(low + (0.5 - low) * uniform)
    return min(1.0, max(config.mask_ratio_min, 1 + config.mask_ratio_std * quantile.item()))


def sampling_draws(generators: Sequence[Generator], tokens: int, values: int) -> tuple[Tensor, Tensor]:
    """Prediction order (B, N) and noise (B, N, V), each image from its own generator.

    So an image's draws do not depend on its batch. Each position is predicted once, hence one normal vector a position
    is all the noise that an image needs.
    """
    orders = [torch.rand(tokens, generator=g).argsort() for g in generators]
    noises = [torch.randn(tokens, values, generator=g) for g in generators]
    return torch.stack(orders), torch.stack(noises)

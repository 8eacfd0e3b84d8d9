"""Random draws, each from the generator of its purpose.

Shapes: B images, N tokens an image, R repeats of the loss, V values of a token.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from lina_lab.config.settings import TrainingConfig

PURPOSES = ("mask_ratio", "mask", "noise", "time", "label_dropout")
"""The streams of one training step."""


def stream(seed: int, *purpose: str | int) -> Generator:
    """A CPU generator for one purpose of one seed, e.g. `stream(0, "noise", step)`.

    Training draws are a pure function of (seed, purpose, step): a resumed run needs no generator state, and designs
    that share a seed see the same draws.
    """
    name = ":".join(str(part) for part in (seed, *purpose))
    return Generator().manual_seed(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1)


def step_streams(seed: int, step: int) -> dict[str, Generator]:
    """The generators of one training step, by purpose."""
    return {purpose: stream(seed, purpose, step) for purpose in PURPOSES}


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the processor on a device; the processor does not wait for the copy."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


class Share(NamedTuple):
    """Part `rank` of `num_shares` equal parts of a batch: what one of several processes trains on."""

    rank: int = 0
    num_shares: int = 1

    def of(self, rows: Tensor) -> Tensor:
        """The rows (B / num_shares, ...) of (B, ...) that belong to this share.

        Raises:
            ValueError: if the batch has no equal parts.
        """
        if len(rows) % self.num_shares:
            raise ValueError(f"{len(rows)} rows must be a multiple of {self.num_shares} shares")
        return rows.chunk(self.num_shares)[self.rank]


WHOLE = Share()


class TrainingDraws(NamedTuple):
    """Everything random in one training forward. Row r * B + b of the repeated draws is repeat r of image b."""

    keep_label: Tensor  # (B,) bool
    order: Tensor  # (B, N) a permutation of the positions; the first num_visible are visible
    num_visible: int
    noise: Tensor  # (R * B, N, V) standard normal
    time_index: Tensor  # (R * B, N) in 0 ... 999

    def to(self, device: torch.device) -> "TrainingDraws":
        drawn = (self.keep_label, self.order, self.noise, self.time_index)
        keep, order, noise, time = (sent(tensor, device) for tensor in drawn)
        return TrainingDraws(keep, order, self.num_visible, noise, time)

    def share(self, share: Share) -> "TrainingDraws":
        """The draws of a share of the images, so that they do not depend on the number of shares."""
        if share.num_shares == 1:
            return self
        batch = len(self.order)

        def repeated(rows: Tensor) -> Tensor:  # (R B, ...)
            return torch.cat([share.of(part) for part in rows.split(batch)])

        keep, order = share.of(self.keep_label), share.of(self.order)
        return TrainingDraws(keep, order, self.num_visible, repeated(self.noise), repeated(self.time_index))


def training_draws(
    config: TrainingConfig, batch: int, tokens: int, values: int, generators: Mapping[str, Generator]
) -> TrainingDraws:
    """The draws of one step. One mask ratio serves the whole batch, as published."""
    repeated = (config.loss_repeat * batch, tokens)
    normal = torch.randn(repeated, generator=generators["time"])
    return TrainingDraws(
        keep_label=torch.rand(batch, generator=generators["label_dropout"]) > config.label_dropout,
        order=torch.rand(batch, tokens, generator=generators["mask"]).argsort(dim=1),
        num_visible=round((1 - _mask_ratio(config, generators["mask_ratio"])) * tokens),
        noise=torch.randn(*repeated, values, generator=generators["noise"]),
        time_index=time_index(normal),
    )


def time_index(normal: Tensor) -> Tensor:
    """floor(1000 sigmoid(n)), in 0 ... 999: logit-normal times."""
    return (1000 * torch.sigmoid(normal)).floor().long().clamp(max=999)


def _mask_ratio(config: TrainingConfig, generator: Generator) -> float:
    """Normal(1, std) cut to [min, 1], by the inverse of its distribution function in float64."""
    low = 0.5 * (1 + math.erf((config.mask_ratio_min - 1) / config.mask_ratio_std / math.sqrt(2)))
    uniform = torch.rand((), generator=generator, dtype=torch.float64)
    quantile = torch.special.ndtri(low + (0.5 - low) * uniform)
    return min(1.0, max(config.mask_ratio_min, 1 + config.mask_ratio_std * quantile.item()))


def sampling_draws(generators: Sequence[Generator], tokens: int, values: int) -> tuple[Tensor, Tensor]:
    """Prediction order (B, N) and noise (B, N, V), each image from its own generator.

    An image's draws do not depend on the batch that it is sampled in. Each position is predicted once, so one normal
    vector for each position is all the noise that an image needs.
    """
    orders = [torch.rand(tokens, generator=g).argsort() for g in generators]
    noises = [torch.randn(tokens, values, generator=g) for g in generators]
    return torch.stack(orders), torch.stack(noises)

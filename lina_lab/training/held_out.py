"""The held-out loss, with the same draws in every cell, and its standard error over held-out images.

Masks, noise and times are those of `SEED`, whatever the seed, batch size and recipe of the training. Models whose
images have as many tokens, of as many values, see the same ones: so do all sizes. Labels are never dropped.

Shapes: B images, R noises and times of a token.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from lina_lab.config.settings import TrainingConfig
from lina_lab.data.datasets import Dataset, Examples
from lina_lab.metric_names import LOSS, LOSS_SE
from lina_lab.model.lina import Lina
from lina_lab.model.random_streams import WHOLE, BatchShard, TrainingDraws, mask_ratio, step_streams, training_draws
from lina_lab.training.module import Batch

MASKS, NOISES = 8, 4
"""Masks of an image, and noises and times of each of its masked tokens."""
DRAWS = f"{MASKS} masks x {NOISES} noises, the same in every cell"
"""How a record names the draws of a held-out loss; older ones name none."""
MOST = 512
"""Most held-out examples of a validation; of a larger set every n-th is taken."""
MOST_TOKENS = MOST * 320
"""Most tokens in the decoder of one validation forward; with longer sequences the examples are split evenly."""
SEED = 0
PUBLISHED = {name: TrainingConfig.model_fields[name].default for name in ("mask_ratio_min", "mask_ratio_std")}


def validation_batch(dataset: Dataset, condition: Callable[[Examples], Tensor]) -> Batch:
    """The held-out examples of every validation; of latents, the posterior means."""
    if dataset.latents is not None:
        return dataset.latents.heldout(MOST)
    heldout = dataset.heldout
    every = -(-len(heldout.images) // MOST)
    some = Examples(heldout.images[::every], heldout.labels[::every], heldout.captions[::every])
    return some.images, condition(some)


@torch.no_grad()
def held_out_loss(model: Lina, held_out: Batch, training: TrainingConfig, *, whole: bool = True) -> dict[str, float]:
    """`val/loss`, and its standard error over images as `val/loss_se`; one image has none.

    An image's loss is the mean over its masks, noises and times; without `whole` each image has one of the masks, in
    turn, at an eighth of the cost. Images differ, and so do their draws: the spread over images gives the error that
    another split with other draws would show. Cells share images and draws, so their difference has a smaller error
    than either loss.
    """
    images, labels = held_out
    at_once = max(1, MOST_TOKENS // (model.config.context_tokens + model.tokens))
    chunks = next(n for n in range(1, len(images) + 1) if len(images) % n == 0 and len(images) // n <= at_once)
    of_images = torch.cat([
        _of_images(model, (share.of(images), share.of(labels)), training, share, whole=whole)
        for share in WHOLE.split(chunks)
    ])  # fmt: skip
    found = {LOSS: float(of_images.mean())}
    return found if len(images) < 2 else found | {LOSS_SE: float(of_images.std()) / math.sqrt(len(images))}


def _of_images(model: Lina, batch: Batch, training: TrainingConfig, share: BatchShard, *, whole: bool) -> Tensor:
    """The loss of every image, (B,) float64."""
    images, labels = batch
    count, losses = len(images), torch.zeros(len(images), dtype=torch.float64)
    for mask in range(MASKS):
        rows = torch.arange(count) if whole else torch.arange((mask - share.rank * count) % MASKS, count, MASKS)
        if len(rows):
            draws = _draws(training, mask, count * share.num_shares, model, share, rows).to(images.device)
            here = rows.to(images.device)
            losses[rows] += model.errors_of_draws(images[here], labels[here], draws).mean((0, 2)).double().cpu()
    return losses / MASKS if whole else losses


def _draws(
    training: TrainingConfig, mask: int, batch: int, model: Lina, share: BatchShard, rows: Tensor
) -> TrainingDraws:
    """The draws of one mask for rows of a share; its number of masked tokens is in the middle of a likely eighth."""
    recipe = training.model_copy(update={"loss_repeat": NOISES, **PUBLISHED})
    draws = training_draws(recipe, batch, model.tokens, model.values, step_streams(SEED, -1 - mask), share)
    ratio = mask_ratio(recipe, torch.tensor((mask + 0.5) / MASKS, dtype=torch.float64))
    noise, time = (every.unflatten(0, (NOISES, -1))[:, rows].flatten(0, 1) for every in (draws.noise, draws.time_index))
    return TrainingDraws(
        keep_label=torch.ones(len(rows), dtype=torch.bool),
        order=draws.order[rows],
        num_visible=round((1 - ratio) * model.tokens),
        noise=noise,
        time_index=time,
    )

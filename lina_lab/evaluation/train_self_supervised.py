"""Train an extractor without labels: python -m lina_lab.evaluation.train_self_supervised NAME.

`EXTRACTORS` says which data set and side. Only the images of the training split are seen. Two views of an image must
have near features, and the features of different images must vary and not repeat each other (VICReg, arXiv:2105.04906).
Both views are equally noisy and blurred, and a head that is discarded tells how much: else features would come to
ignore it. It takes one to two minutes on one thread; the weights go to evaluation/weights, named by their content.
"""

import math
import sys

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from lina_lab.config.data import DataConfig
from lina_lab.config.settings import EXTRACTORS
from lina_lab.data.datasets import load_dataset
from lina_lab.data.examples import Dataset, Examples
from lina_lab.evaluation.extractors import SELF_SUPERVISED, SelfSupervised, new_self_supervised
from lina_lab.evaluation.train_image_extractor import corrupted, initialise, store

STEPS, BATCH, LEARNING_RATE = 1000, 128, 2e-3
PROJECTED = 128
"""Features of the projection, to which the loss is applied and which is discarded."""
INVARIANCE, VARIANCE, COVARIANCE, QUALITY = 25.0, 25.0, 1.0, 2.0
LARGEST_TURN = math.pi / 12
LARGEST_SHIFT = 0.2
"""In halves of the side."""
LARGEST_ZOOM = 0.2
LARGEST_GAIN = 0.3
CLEAN = 0.25
"""Share of images without noise and blur."""
NEIGHBOURS = 5


def view(images: Tensor, generator: Generator) -> Tensor:
    """Images (n, C, s, s) in [-1, 1], each turned, shifted, zoomed and changed in contrast by a little."""

    def drawn(*shape: int) -> Tensor:
        return 2 * torch.rand(*shape, generator=generator) - 1

    turn, zoom = drawn(len(images)) * LARGEST_TURN, 1 + drawn(len(images)) * LARGEST_ZOOM
    cos, sin = zoom * turn.cos(), zoom * turn.sin()
    turned = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], 1)  # (n, 2, 2)
    places = torch.cat([turned, drawn(len(images), 2, 1) * LARGEST_SHIFT], -1)
    grid = F.affine_grid(places, list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    return moved * (1 + drawn(len(images), 1, 1, 1) * LARGEST_GAIN)


def vicreg(first: Tensor, second: Tensor) -> Tensor:
    """The loss of the projections (n, p) of two views: their distance, and what keeps either from collapsing."""
    loss = INVARIANCE * F.mse_loss(first, second)
    for projected in (first, second):
        centred = projected - projected.mean(0)
        deviations = (centred.var(0) + 1e-4).sqrt()
        covariance = centred.T @ centred / (len(centred) - 1)
        off_diagonal = covariance.square().sum() - covariance.diagonal().square().sum()
        loss = loss + VARIANCE * F.relu(1 - deviations).mean() / 2 + COVARIANCE * off_diagonal / len(covariance)
    return loss


def train(name: str, data: Dataset, seed: int = 0) -> SelfSupervised:
    """The extractor of a name, trained on the images of the training split alone."""
    torch.set_num_threads(1)
    generator = Generator().manual_seed(seed)
    model = new_self_supervised(name)
    projection = nn.Sequential(nn.Linear(model.dim, PROJECTED), nn.ReLU(), nn.Linear(PROJECTED, PROJECTED))
    quality = nn.Linear(model.dim, 2)
    learnt = [*model.parameters(), *projection.parameters(), *quality.parameters()]
    initialise(learnt, generator)
    optimizer = torch.optim.AdamW(learnt, LEARNING_RATE, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        images = data.train.images[torch.randint(len(data.train.images), (BATCH,), generator=generator)]
        strength = torch.rand(BATCH, 2, generator=generator)
        strength *= torch.rand(BATCH, 1, generator=generator) > CLEAN
        raw = [model(corrupted(view(images, generator), strength, generator)) for _ in range(2)]
        loss = vicreg(*map(projection, raw))
        # The square root weights weak noise and blur more, so that the features become sensitive to them.
        loss = loss + QUALITY * sum(F.mse_loss(quality(F.relu(part)), strength.sqrt()) for part in raw)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        model.centre.copy_(torch.cat([model(part) for part in data.train.images.split(BATCH)]).mean(0))
    return model.eval()


@torch.no_grad()
def neighbour_accuracy(model: SelfSupervised, train: Examples, heldout: Examples) -> float:
    """How often the labels of the nearest training images, by vote, are a held-out image's: what the features know."""
    known, asked = (
        torch.cat([model.normalised(model(part)) for part in split.images.split(BATCH)]) for split in (train, heldout)
    )
    nearest = torch.cdist(asked, known).topk(NEIGHBOURS, largest=False).indices
    return (train.labels[nearest].mode(-1).values == heldout.labels).float().mean().item()


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in SELF_SUPERVISED:
        raise SystemExit(f"the extractor must be one of {', '.join(SELF_SUPERVISED)}, not {name!r}")
    reads = EXTRACTORS[name]
    data = load_dataset(DataConfig.model_validate({"name": reads.data, "side": reads.side}))
    model = train(name, data)
    accuracy = neighbour_accuracy(model, data.train, data.heldout)
    path = store(name, model)
    count = sum(parameter.numel() for parameter in model.parameters())
    print(f"{NEIGHBOURS} nearest neighbours {accuracy:.3f} right, {count:,} parameters, wrote {path}")


if __name__ == "__main__":
    main()

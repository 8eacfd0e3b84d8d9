"""Train an embedded extractor, of any data set but digits: python -m lina_lab.evaluation.train_image_extractor NAME.

`EXTRACTORS` says which data set and side. Only the training split is seen. The weights go to evaluation/weights, named
by their content. It takes some minutes on one thread.

Classes alone teach little about what an image shows. If the data set has captions, a head that predicts their words is
trained too, and discarded.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Generator, Tensor, nn

from lina_lab.config.data import DataConfig
from lina_lab.config.settings import EXTRACTORS
from lina_lab.data.datasets import load_dataset
from lina_lab.data.examples import Dataset, Examples
from lina_lab.data.vocabulary import split_words
from lina_lab.evaluation.extractors import SELF_SUPERVISED, WEIGHTS, Embedded, new_network
from lina_lab.files import write_named

NAMES = [name for name in EXTRACTORS if name not in {"digits-cnn", *SELF_SUPERVISED}]
STEPS = {"emoji": 2500, "fashion-mnist": 6000, "mnist": 6000, "shapes": 2500}
"""By data set: more for those with tens of thousands of images."""
BATCH, LEARNING_RATE = 64, 2e-3
LARGEST_NOISE = 0.8
LARGEST_BLUR = 1 / 16
"""Sigma, as a share of the side."""
LARGEST_SHIFT = 1 / 8
QUALITY_WEIGHT, WORDS_WEIGHT = 20.0, 1.0
FEWEST = 5
"""Training captions that must contain a word for it to be a target."""


def corrupt(images: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Images (n, C, h, w) with blur and noise of random strength, and (noise, blur) (n, 2) in [0, 1].

    A quarter of the images stays clean.
    """
    strength = torch.rand(len(images), 2, generator=generator) * (
        torch.rand(len(images), 1, generator=generator) > 0.25
    )
    return corrupted(images, strength, generator), strength


def corrupted(images: Tensor, strength: Tensor, generator: Generator) -> Tensor:
    """Images (n, C, h, w) with noise and blur of given strength (n, 2) in [0, 1]."""
    blurred = blur(images, strength[:, 1] * LARGEST_BLUR * images.shape[-1])
    noise = torch.randn(images.shape, generator=generator) * strength[:, 0].view(-1, 1, 1, 1) * LARGEST_NOISE
    return (blurred + noise).clamp(-1, 1)


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """A Gaussian blur of sigma (n,) pixels of square images (n, C, s, s); at borders too the weights sum to 1."""
    places = torch.arange(images.shape[-1])
    squares = (places - places.unsqueeze(1)) ** 2  # (s, s)
    weights = torch.softmax(-squares / (2 * sigma.clamp(min=1e-2).view(-1, 1, 1) ** 2), dim=-1).unsqueeze(1)
    return weights @ images @ weights.mT


def shifted(images: Tensor, generator: Generator) -> Tensor:
    """Every image shifted by up to an eighth of its side, with its border repeated."""
    side = images.shape[-1]
    most = int(LARGEST_SHIFT * side)
    padded = F.pad(images, (most,) * 4, mode="replicate")
    places = torch.randint(0, 2 * most + 1, (len(images), 2), generator=generator).tolist()
    return torch.stack([p[:, y : y + side, x : x + side] for p, (y, x) in zip(padded, places, strict=True)])


def frequent_words(captions: Sequence[str]) -> list[str]:
    """Words of at least `FEWEST` captions, in alphabetical order."""
    counts = Counter(word for caption in captions for word in set(split_words(caption)))
    return sorted(word for word, count in counts.items() if count >= FEWEST)


def word_targets(captions: Sequence[str], known: Sequence[str]) -> Tensor:
    """(n, W) 0 or 1: whether caption n contains word W."""
    split = [set(split_words(caption)) for caption in captions]
    return torch.tensor([[float(word in words) for word in known] for words in split])


def training_examples(data: Dataset, index: Tensor) -> Examples:
    """Training examples of indices (n,); of an endless data set they are drawn."""
    if data.draw is not None:
        return data.draw(index)
    images, labels, captions = data.train
    return Examples(images[index], labels[index], [captions[i] for i in index.tolist()] if captions else ())


def initialise(parameters: Iterable[nn.Parameter], generator: Generator) -> None:
    """Draw the weights of a layer uniformly within 1 / sqrt(inputs); biases are 0."""
    for parameter in parameters:
        bound = parameter[0].numel() ** -0.5 if parameter.dim() > 1 else 0.0
        torch.nn.init.uniform_(parameter, -bound, bound, generator=generator)


def store(name: str, model: nn.Module) -> Path:
    """Write weights to `evaluation/weights`, in half precision, which halves the package; they compute in single."""
    return write_named(WEIGHTS, name, ".safetensors", save({k: v.half() for k, v in model.state_dict().items()}))


def train(name: str, data: Dataset, seed: int = 0) -> Embedded:
    """The extractor of a name, trained on the training split alone."""
    torch.set_num_threads(1)
    generator = Generator().manual_seed(seed)
    known = frequent_words(data.train.captions)
    model, steps = new_network(name), STEPS[EXTRACTORS[name].data]
    words = nn.Linear(model.dim, len(known)) if known else None
    learnt = [*model.parameters(), *(words.parameters() if words else ())]
    initialise(learnt, generator)
    optimizer = torch.optim.AdamW(learnt, LEARNING_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    count = len(data.train.images) if data.draw is None else steps * BATCH
    for _ in range(steps):
        images, labels, captions = training_examples(data, torch.randint(count, (BATCH,), generator=generator))
        corrupted, strength = corrupt(shifted(images, generator), generator)
        raw, logits, estimate = model(corrupted)
        # The square root weights weak noise and blur more, so that the features become sensitive to them.
        loss = F.cross_entropy(logits, labels) + QUALITY_WEIGHT * F.mse_loss(estimate, strength.sqrt())
        if words is not None:
            targets = word_targets(captions, known)
            word_loss = F.binary_cross_entropy_with_logits(words(F.relu(raw)), targets, reduction="sum")
            loss = loss + WORDS_WEIGHT * word_loss / BATCH
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        model.centre.copy_(torch.cat([model(part)[0] for part in data.train.images.split(BATCH)]).mean(0))
    return model.eval()


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in NAMES:
        raise SystemExit(f"the extractor must be one of {', '.join(NAMES)}, not {name!r}")
    reads = EXTRACTORS[name]
    data = load_dataset(DataConfig.model_validate({"name": reads.data, "side": reads.side}))
    model = train(name, data)
    with torch.no_grad():
        accuracy = (model(data.heldout.images)[1].argmax(-1) == data.heldout.labels).float().mean().item()
    path = store(name, model)
    print(f"held-out accuracy {accuracy:.3f}, {sum(p.numel() for p in model.parameters()):,} parameters, wrote {path}")


if __name__ == "__main__":
    main()

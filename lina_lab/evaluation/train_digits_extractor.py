"""Train the embedded extractor: python -m lina_lab.evaluation.train_digits_extractor.

The weights go to evaluation/weights, named by their content. Training uses one thread, because another number of
threads gives other weights, and changes the FID by about 2 %.
"""

import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Generator, Tensor

from lina_lab.config.data import DIGITS
from lina_lab.data.datasets import load_dataset
from lina_lab.evaluation.extractors import WEIGHTS, DigitsCNN
from lina_lab.evaluation.train_image_extractor import initialise
from lina_lab.files import write_named

STEPS, BATCH, LEARNING_RATE = 1500, 128, 2e-3
LARGEST_NOISE, LARGEST_BLUR = 0.8, 1.5
QUALITY_WEIGHT = 2.0


def corrupt(images: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Images (n, 1, 8, 8) with noise and blur of random strength, and the two strengths (n, 2) in [0, 1].

    A quarter of the images stays clean.
    """
    strength = torch.rand(len(images), 2, generator=generator) * (
        torch.rand(len(images), 1, generator=generator) > 0.25
    )
    blurred = torch.stack([blur(i, s.item()) for i, s in zip(images, strength[:, 1] * LARGEST_BLUR, strict=True)])
    noise = torch.randn(images.shape, generator=generator) * strength[:, 0].view(-1, 1, 1, 1) * LARGEST_NOISE
    return (blurred + noise).clamp(-1, 1), strength


def blur(image: Tensor, sigma: float) -> Tensor:
    """A Gaussian blur of sigma pixels: (1, h, w) to (1, h, w); the border is repeated."""
    if sigma < 1e-3:
        return image
    kernel = torch.exp(-(torch.arange(-3, 4) ** 2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    padded = F.pad(image.unsqueeze(0), (3, 3, 3, 3), mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, 7, 1)), kernel.view(1, 1, 1, 7))[0]


def shifted(images: Tensor, generator: Generator) -> Tensor:
    """Each batch shifted by up to a pixel, so that features do not depend on exact positions."""
    dy, dx = torch.randint(-1, 2, (2,), generator=generator).tolist()
    padded = F.pad(images, (1, 1, 1, 1), value=-1.0)
    return padded[:, :, 1 + dy : 9 + dy, 1 + dx : 9 + dx]


def train(seed: int = 0) -> DigitsCNN:
    """The extractor, trained on the training split alone."""
    torch.set_num_threads(1)
    generator = Generator().manual_seed(seed)
    data = load_dataset(DIGITS)
    model = DigitsCNN()
    initialise(model.parameters(), generator)
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        index = torch.randint(len(data.train.images), (BATCH,), generator=generator)
        images, quality = corrupt(shifted(data.train.images[index], generator), generator)
        _, logits, estimate = model(images)
        loss = F.cross_entropy(logits, data.train.labels[index]) + QUALITY_WEIGHT * F.mse_loss(estimate, quality)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        model.centre.copy_(model(data.train.images)[0].mean(0))
    return model.eval()


def main() -> None:
    model = train()
    data = load_dataset(DIGITS)
    with torch.no_grad():
        accuracy = (model(data.heldout.images)[1].argmax(-1) == data.heldout.labels).float().mean().item()
    path = write_named(WEIGHTS, "digits-cnn", ".safetensors", save(model.state_dict()))
    print(f"held-out accuracy {accuracy:.3f}, {sum(p.numel() for p in model.parameters()):,} parameters, wrote {path}")


if __name__ == "__main__":
    main()

"""FD by the features of a network of others: torchvision's ResNet-18, up to its second stage. docs/plugins.md.

Weights are random, from a fixed seed, so that nothing is downloaded: such features see edges and texture, and order
designs by these alone. For trained ones put a state dict of torchvision beside this file, and its name into FILES.

K. He et al., Deep Residual Learning for Image Recognition, CVPR 2016, arXiv:1512.03385.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lina_lab.plugins.extractors import FeatureNetwork

if TYPE_CHECKING:
    from torch import Tensor

FILES: list[str] = []  # as ["resnet18.pth"]: its bytes are then part of the key, and copied with this file
SIDE = 64
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's channels, as torchvision's weights expect."""


def load() -> "Callable[[Tensor], Tensor]":
    """From images (n, 3, h, w), uint8, to features (n, 128)."""
    import torch  # here, so that a plan is made without it
    import torch.nn.functional as F
    from torch import nn
    from torchvision.models import resnet18

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = resnet18(weights=None)
    for name in FILES:
        network.load_state_dict(torch.load(Path(__file__).with_name(name), weights_only=True))
    stages = [network.conv1, network.bn1, network.relu, network.maxpool, network.layer1, network.layer2]
    features = nn.Sequential(*stages, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    mean, spread = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, SPREAD))

    @torch.no_grad()
    def extract(images: "Tensor") -> "Tensor":
        large = F.interpolate(images.float() / 255, (SIDE, SIDE), mode="bilinear", antialias=True)
        return features((large - mean) / spread)

    return extract


PROVIDES = [FeatureNetwork("resnet18-random", features=128, load=load)]

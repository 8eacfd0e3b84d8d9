"""Plugin files for tests."""

COSINE = '''
"""Two values of one's own."""
import torch
from torch import nn

from lina_lab.plugins.designs import Core, FeatureMap


def read(q, k, v, given):
    """Cosines in place of φ(q)·φ(k), each key weighed by a gate from the input."""
    q, k = (torch.nn.functional.normalize(u, dim=-1) for u in (q, k))
    weight = given.parameters(given.x).sigmoid().mT.unsqueeze(-1)  # (B, H, N, 1)
    return q @ (k.mT @ (weight * v)) / k.shape[-2]


def exact(q, k, v, given):
    q, k = (u / u.square().sum(-1, keepdim=True).sqrt() for u in (q, k))
    weight = 1 / (1 + (-given.parameters(given.x)).exp())
    return torch.einsum("bhnd,bhmd,bmh,bhmc->bhnc", q, k, weight, v) / k.shape[-2]


PROVIDES = [
    Core(
        "cosine",
        formula="o_n = mean_m cos(q_n, k_m) w_m v_m",
        source="a test",
        read=read,
        parameters=lambda width, heads: nn.Linear(width, heads),
        exact=exact,
    ),
    FeatureMap("square", formula="u²", source="a test", phi=lambda u: u * u, positive=True, exact=lambda u: u**2),
]
'''
"""A core with parameters and a feature map."""

EXPERIMENT = """\
name: base
model: {size: pico, patch: 2}
training: {steps: 4, batch_size: 8, learning_rate: 1e-3, warmup_steps: 1}
sampling: {autoregressive_steps: 2, flow_steps: 2}
evaluation: {num_samples: 40}
"""
SWEEP = """\
name: own
question: Is it better?
experiment: base.yaml
plugins: [mine.py]
axes:
  model.attention.normalization: [division, cosine]
"""

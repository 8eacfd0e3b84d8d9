"""LION-S and LION-D: linear attention in both directions with a decay. Afzal et al., NeurIPS 2025, arXiv:2502.16249.

Y = (Q Kᵀ ⊙ M) V, each row divided by its sum of Q Kᵀ ⊙ M. M_nm is the product of the λ of all tokens from m up to n,
m's in and n's out, and 1 for n = m. The tokens stand in one line: prefix, then the grid row by row.

Left out: the paper's other ways through a grid, which an image's encoder needs; there the tokens of LINA stand in
random order. The parallel form is computed, as the paper trains, at 2 N d multiply-adds a channel.

Shapes: B batch, N tokens, D width, H heads, d = D / H.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lina_lab.design.computed import Given
from lina_lab.plugins.designs import Core


class Decay(nn.Module):
    """λ = sigmoid(a), the same for all tokens: heads begin with memories of 4 to 64 tokens."""

    def __init__(self, width: int, num_heads: int) -> None:  # noqa: ARG002, as nn.Linear
        super().__init__()
        tokens = torch.logspace(2, 6, num_heads, base=2.0)
        self.a = nn.Parameter((tokens - 1).log())  # λ = 1 - 1 / tokens

    def forward(self, x: Tensor) -> Tensor:
        return self.a.expand(*x.shape[:2], -1)  # (B, N, H)


def phi(u: Tensor) -> Tensor:
    """SiLU, shifted above 0, of length 1 in each head."""
    return F.normalize(F.silu(u) + 0.5, dim=-1)


def lion(q: Tensor, k: Tensor, v: Tensor, given: Given) -> Tensor:
    """Logarithms of λ are summed, so that nothing under- or overflows."""
    log = F.logsigmoid(given.parameters(given.x)).mT  # (B, H, N)
    through = log.cumsum(-1)
    before = through - log
    later = torch.ones(q.shape[-2], q.shape[-2], dtype=torch.bool, device=q.device).tril()
    lower, upper = before.unsqueeze(-1) - before.unsqueeze(-2), through.unsqueeze(-2) - through.unsqueeze(-1)
    mask = torch.where(later, lower, upper).exp()  # (B, H, N, N)
    weights = phi(q) @ phi(k).mT * mask
    return weights @ v / weights.sum(-1, keepdim=True)


def exact(q: Tensor, k: Tensor, v: Tensor, given: Given) -> Tensor:
    """The definition, a product and a sum at a time."""
    decay = 1 / (1 + (-given.parameters(given.x)).exp())  # (B, N, H)
    silu = [u / (1 + (-u).exp()) + 0.5 for u in (q, k)]
    q, k = (u / u.square().sum(-1, keepdim=True).sqrt() for u in silu)
    rows = []
    for n in range(q.shape[-2]):
        between = [range(m, n) if m < n else range(n + 1, m + 1) for m in range(q.shape[-2])]
        weights = [(q[:, :, n] * k[:, :, m]).sum(-1) * decay[:, list(r)].prod(1) for m, r in enumerate(between)]
        rows.append(sum(w.unsqueeze(-1) * v[:, :, m] for m, w in enumerate(weights)) / sum(weights).unsqueeze(-1))
    return torch.stack(rows, dim=-2)


FORMULA = "o_n = Σ_m φ(q_n)·φ(k_m) M_nm v_m / Σ_m φ(q_n)·φ(k_m) M_nm, φ(u) = (silu(u) + 0.5) / |silu(u) + 0.5|, "
SOURCE = "Afzal et al., NeurIPS 2025, arXiv:2502.16249"

PROVIDES = [
    Core(
        "lion-s",
        formula=FORMULA + "M_nm the product of λ between m and n, λ = sigmoid(w·x + b)",
        source=SOURCE,
        read=lion,
        parameters=nn.Linear,
        ordered=True,
        macs=lambda N, heads, d: N * heads * d * (2 * N + heads),
        num_parameters=lambda width, heads: (width + 1) * heads,
        exact=exact,
    ),
    Core(
        "lion-d",
        formula=FORMULA + "M_nm = λ^|n - m|, λ learnt",
        source=SOURCE,
        read=lion,
        parameters=Decay,
        ordered=True,
        exact=exact,
    ),
]

"""The condition of an image as tokens before the context queries: a label, or the words of a prompt.

Shapes: B images, T tokens of a prompt, F features of a token, D width.
"""

import torch
from torch import Tensor, nn

from lina_lab.config.data import DataShape, TextShape


class LabelEmbedding(nn.Module):
    """A row for each class and one for "no class" (the last), then a LayerNorm that is frozen at identity."""

    def __init__(self, num_classes: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(num_classes + 1, width)
        self.norm = nn.LayerNorm(width).requires_grad_(requires_grad=False)

    def forward(self, labels: Tensor) -> Tensor:
        """(B,) to (B, 1, D)."""
        return self.norm(self.table(labels)).unsqueeze(1)

    def nothing(self, labels: Tensor) -> Tensor:
        """The label of "no class", in the shape of the given labels."""
        return torch.full_like(labels, self.table.num_embeddings - 1)


class TextEmbedding(nn.Module):
    """LN(W f + b) for the features f of every token; a fixed random row, by position, where there is no token.

    The fixed rows pad short prompts and represent "no prompt", as published. The LayerNorm is frozen at identity.
    Prompts are word numbers (B, T) from 1 on, 0 for no token, whose features are learnt; or, without a vocabulary, the
    features (B, T, F) of a frozen encoder, all 0 for no token.
    """

    null: Tensor

    def __init__(self, text: TextShape, width: int) -> None:
        super().__init__()
        self.words = nn.Embedding(text.vocabulary, text.features) if text.vocabulary else None
        self.register_buffer("null", torch.zeros(text.tokens, text.features))
        self.proj = nn.Linear(text.features, width)
        self.norm = nn.LayerNorm(width).requires_grad_(requires_grad=False)

    def forward(self, prompts: Tensor) -> Tensor:
        """(B, T) or (B, T, F) to (B, T, D)."""
        if self.words is None:
            known, features = prompts.any(-1), prompts.to(self.null.dtype)
        else:
            known, features = prompts > 0, self.words((prompts - 1).clamp(min=0))
        return self.norm(self.proj(torch.where(known.unsqueeze(-1), features, self.null)))

    def nothing(self, prompts: Tensor) -> Tensor:
        """The empty prompt, in the shape of the given prompts."""
        return torch.zeros_like(prompts)


def prompts_of(data: DataShape, batch: int) -> Tensor:
    """Labels (B,) that cycle through the classes, or full prompts: word ids (B, T) or features (B, T, F)."""
    text = data.text
    if text is None:
        return torch.arange(batch) % data.num_classes
    if text.vocabulary:
        return torch.arange(batch * text.tokens).reshape(batch, text.tokens) % text.vocabulary + 1
    return torch.ones(batch, text.tokens, text.features)

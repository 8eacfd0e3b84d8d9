"""LINA: masked autoregression over continuous image tokens, with a flow-matching head for each token.

What is unusual here:
* three segments with an attention each: the context stack turns the label or prompt into context tokens, the encoder
  sees the context and the visible tokens, the decoder sees the context and the full grid;
* residual branches are normalised on their way out (post-norm), and each stack ends with one LayerNorm;
* a constant "time embedding" at time 0 is part of the context queries: frozen at its random start, as published;
* only masked tokens go through the head in training, only the tokens in question in sampling.

Shapes: B images, P context tokens, N image tokens, n tokens in question, D width, V values of a token, R repeats.
"""

import re

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lina_lab.config.data import DataShape
from lina_lab.config.layout import near_square
from lina_lab.config.model import ModelConfig
from lina_lab.config.settings import TrainingConfig
from lina_lab.design.position import TIME_FEATURES
from lina_lab.model.attention import Layout, rows_at, take
from lina_lab.model.blocks import Block, Stack, sincos_table
from lina_lab.model.head import FlowHead
from lina_lab.model.prompts import LabelEmbedding, TextEmbedding
from lina_lab.model.random_streams import WHOLE, BatchShard, Streams, TrainingDraws, stream, training_draws
from lina_lab.model.rotary import rotation


class ContextQueries(nn.Module):
    """bos + LN(T2 silu(T1 τ)) + position table, τ the features of time 0; T1, T2 and LN are frozen at their start."""

    position: Tensor

    def __init__(self, width: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.bos = nn.Parameter(torch.empty(width))
        self.time1 = nn.Linear(TIME_FEATURES, width)
        self.time2 = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        for module in (self.time1, self.time2, self.norm):
            module.requires_grad_(requires_grad=False)
        self.register_buffer("position", sincos_table(*grid, width), persistent=False)  # (P, D)

    def forward(self) -> Tensor:
        half = TIME_FEATURES // 2
        features = torch.cat([self.bos.new_zeros(half), self.bos.new_ones(half)])  # sin 0, cos 0
        offset = self.norm(self.time2(F.silu(self.time1(features))))  # (D,)
        return self.bos + offset + self.position.to(self.bos.dtype)  # (P, D)


class PlainQueries(nn.Module):
    """bos alone, where rotary positions tell the context tokens from each other."""

    def __init__(self, width: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.bos = nn.Parameter(torch.empty(width))
        self.tokens = grid[0] * grid[1]

    def forward(self) -> Tensor:
        return self.bos.repeat(self.tokens, 1)  # (P, D)


QUERIES: dict[str, type[ContextQueries | PlainQueries]] = {"table": ContextQueries, "rotary": PlainQueries}


class Lina(nn.Module):
    """The model: `loss` trains it, `sampler.sample` draws latents (B, C, h, w) from it."""

    position: Tensor | None
    context_turns: Tensor | None
    turns: Tensor | None

    def __init__(self, config: ModelConfig, data: DataShape, seed: int | None = None) -> None:
        """Weights are drawn from the seed; without one they stay as torch makes them, to be loaded over."""
        super().__init__()
        self.config, self.data = config, data
        width, side = config.width, data.side // config.patch
        self.grid = (side, side)
        self.tokens, self.values = side * side, config.patch**2 * data.channels
        context_grid = near_square(config.context_tokens)
        context_layout, layout = Layout(data.prompt_tokens, *context_grid), Layout(config.context_tokens, *self.grid)

        if data.text is None:
            self.label = LabelEmbedding(data.num_classes, width)
        else:
            self.text = TextEmbedding(data.text, width)
        self.queries = QUERIES[config.position](width, context_grid)
        self.context = self._stack("context", context_layout)
        self.context_norm = nn.LayerNorm(width)
        # Frozen and unused, but published checkpoints hold it and published counts count it: the projection of a
        # previous frame, of which an image has none.
        self.context_patch = nn.Linear(4 * self.values, width).requires_grad_(requires_grad=False)
        self.patch = nn.Linear(self.values, width)
        self.mask_token = nn.Parameter(torch.empty(width))
        table = config.position == "table"
        head_size = width // config.num_heads
        self.register_buffer("position", sincos_table(*self.grid, width) if table else None, persistent=False)  # (N, D)
        for name, its_layout in (("context_turns", context_layout), ("turns", layout)):
            self.register_buffer(name, None if table else rotation(*its_layout, head_size), persistent=False)
        self.encoder = self._stack("encoder", None)
        self.decoder = self._stack("decoder", layout)
        self.image_norm = nn.LayerNorm(width)
        self.head = FlowHead(self.values, width, config.head_width, config.head_depth)
        if seed is not None:
            initialise(self, seed)

    def _stack(self, segment: str, layout: Layout | None) -> Stack:
        c = self.config
        shape = (c.width, c.num_heads, c.mlp_ratio, layout, c.context_tokens)
        return Stack(*(Block(attention, *shape) for attention in c.blocks(segment)))

    @property
    def prompt(self) -> LabelEmbedding | TextEmbedding:
        """What turns labels, or prompts, into tokens."""
        return self.label if self.data.text is None else self.text

    def context_tokens(self, labels: Tensor) -> Tensor:
        """Context (B, P, D) of labels (B,), or of prompts (B, T) or (B, T, F): see `prompts`."""
        queries = self.queries().expand(len(labels), -1, -1)
        x = self.context(torch.cat([self.prompt(labels), queries], dim=1), turns=self.context_turns)
        return self.context_norm(x[:, self.data.prompt_tokens :])

    def condition(self, tokens: Tensor, context: Tensor, visible: Tensor) -> Tensor:
        """Conditioning (B, N, D) of every position.

        `tokens` (B, N, D) are projected tokens with the mask token where they are not known; `visible` (B, n) are the
        positions that the encoder may see, in any order.
        """
        return self.decode(self.encode(tokens, context, visible))

    def encode(self, tokens: Tensor, context: Tensor, visible: Tensor) -> Tensor:
        """What the decoder reads, (B, P + N, D): context and grid, the visible tokens of it encoded."""
        num_context = context.shape[1]
        if self.position is not None:
            tokens = tokens + self.position.to(tokens.dtype)
        x = self.encoder(torch.cat([context, take(tokens, visible)], dim=1), turns=self._turns_of(visible))
        grid = tokens.scatter(1, rows_at(visible, tokens), x[:, num_context:].to(tokens.dtype))  # (B, N, D)
        return torch.cat([x[:, :num_context], grid], dim=1)

    def decode(self, x: Tensor, wanted: Tensor | None = None) -> Tensor:
        """Conditioning (B, N, D) of every position, or of the positions `wanted` (B, n) alone, (B, n, D).

        Then the last block computes no other token: half of a shallow decoder.
        """
        num_context = x.shape[1] - self.tokens
        rows = None if wanted is None else wanted + num_context
        x = self.decoder(x, rows=rows, turns=self.turns)
        return self.image_norm(x if wanted is not None else x[:, num_context:])

    def _turns_of(self, visible: Tensor) -> Tensor | None:
        """Rotary positions of what the encoder sees, the context and the visible tokens, (2, B, P + n, d / 2)."""
        if self.turns is None:
            return None
        num_context = self.turns.shape[1] - self.tokens
        front = torch.arange(num_context, device=visible.device).expand(len(visible), -1)
        return self.turns[:, torch.cat([front, visible + num_context], dim=1)]

    def patchify(self, latent: Tensor) -> Tensor:
        """(B, C, h, w) to tokens (B, N, V): raster order, values by row in patch, column in patch, channel."""
        p = self.config.patch
        x = latent.unflatten(3, (-1, p)).unflatten(2, (-1, p))  # (B, C, h/p, p, w/p, p)
        return x.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)

    def unpatchify(self, tokens: Tensor) -> Tensor:
        """Tokens (B, N, V) to (B, C, h, w)."""
        p = self.config.patch
        x = tokens.unflatten(2, (p, p, -1)).unflatten(1, self.grid)  # (B, h/p, w/p, p, p, C)
        return x.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)

    def loss(
        self,
        batch: tuple[Tensor, Tensor],
        training: TrainingConfig,
        streams: Streams,
        share: BatchShard = WHOLE,
    ) -> Tensor:
        """Mean squared velocity error of the masked tokens, for latents (B, C, h, w) and their labels or prompts.

        Of a share of a batch it is that share's; the mean over the shares is the loss of the batch.
        """
        latent, labels = batch
        images = len(latent) * share.num_shares
        draws = training_draws(training, images, self.tokens, self.values, streams, share)
        return self.loss_of_draws(latent, labels, draws.to(latent.device))

    def loss_of_draws(self, latent: Tensor, labels: Tensor, draws: TrainingDraws) -> Tensor:
        """The loss as a function of its draws: Σ ℓ m / (Σ m + 1e-5), ℓ the mean over the values of a token."""
        error = self.errors_of_draws(latent, labels, draws)
        return error.sum() / (error.numel() + 1e-5)

    def errors_of_draws(self, latent: Tensor, labels: Tensor, draws: TrainingDraws) -> Tensor:
        """Squared velocity error (R, B, n) of every masked token, the mean over its values."""
        clean = self.patchify(latent)  # (B, N, V)
        keep = draws.keep_label.view(-1, *[1] * (labels.dim() - 1))
        labels = torch.where(keep, labels, self.prompt.nothing(labels))
        visible, masked = draws.order.split([draws.num_visible, self.tokens - draws.num_visible], dim=1)
        tokens = self.patch(clean)
        is_masked = torch.ones_like(draws.order).scatter(1, visible, 0).unsqueeze(-1).bool()  # (B, N, 1)
        tokens = torch.where(is_masked, self.mask_token.to(tokens.dtype), tokens)
        z = self.condition(tokens, self.context_tokens(labels), visible)

        repeat = len(draws.noise) // len(latent)
        condition = self.head.condition(take(z, masked))  # (B, n, W), one for all repeats
        index = masked.repeat(repeat, 1)
        x0 = take(clean, masked)  # (B, n, V)
        noise = take(draws.noise, index).unflatten(0, (repeat, -1))  # (R, B, n, V)
        step = draws.time_index.gather(1, index).unflatten(0, (repeat, -1))  # (R, B, n)
        sigma = (1000 - step) / 1000
        noisy = torch.lerp(x0, noise, sigma.unsqueeze(-1).to(x0.dtype))
        # There are only 1000 times: far fewer than tokens.
        times = self.head.embed_time(1000.0 - torch.arange(1000, device=latent.device))  # (1000, W)
        velocity = self.head(noisy, F.embedding(step, times), condition)
        return (velocity.float() - (noise - x0).float()).square().mean(-1)  # (R, B, n)


NORMAL = (
    "label.table.weight",
    "text.words.weight",
    "queries.bos",
    "mask_token",
    "head.time.fc1.weight",
    "head.time.fc2.weight",
)
SUMMING = (nn.Linear, nn.Conv1d, nn.Conv2d)
"""Modules whose weight (fan-out, fan-in, ...) sums over its inputs."""
ZERO = re.compile(r"head\.(patch\.bias|out\.|modulation\.|blocks\.\d+\.modulation\.)")


@torch.no_grad()
def initialise(model: Lina, seed: int) -> None:
    """Draw the weights of a fresh model, each parameter from its own stream: designs share the weights they share.

    Linear and convolution: uniform in ±1/√fan_in, weight and bias, with these exceptions: label table, words, fixed
    text rows, bos, mask token and the weights of the head's time projector N(0, 0.02²); the head's patch bias, all its
    modulations and its output 0, so that at the start every head block is the identity and the velocity 0. LayerNorm
    stays at 1 and 0, gates and the weight of the output gate's norm at 1, logits of memory groups at 0.
    """
    if model.data.text is not None:
        model.text.null.normal_(0, 0.02, generator=stream(seed, "init", "text.null"))
    for module_name, module in model.named_modules():
        for own_name, parameter in module.named_parameters(recurse=False):
            name = f"{module_name}.{own_name}".lstrip(".")
            generator = stream(seed, "init", name)
            if ZERO.match(name):
                parameter.zero_()
            elif name in NORMAL:
                parameter.normal_(0, 0.02, generator=generator)
            elif isinstance(module, SUMMING):
                bound = module.weight[0].numel() ** -0.5
                parameter.uniform_(-bound, bound, generator=generator)

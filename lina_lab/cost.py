"""Parameters and FLOPs in closed form, without torch.

Parameters are exact: the published models' totals come out to the last digit. FLOPs count multiply-adds of linear
maps, convolutions and the attention core (1 multiply-add = 2 FLOPs); element-wise work is not counted; a backward pass
costs two forward passes.

Symbols: D width, H heads, d = D / H, N image tokens, P context tokens, V values of a token, W width of the head.
"""

from statistics import NormalDist
from typing import NamedTuple

from lina_lab.config.data import DataShape
from lina_lab.config.experiment import Experiment
from lina_lab.config.model import AttentionConfig, ModelConfig
from lina_lab.config.schedule import count_schedule

TIME_FEATURES = 256
TRAINING_TIMES = 1000
GATE_VECTORS = {"none": 0, "key": 1, "value": 1, "key_value": 2, "key_value_split": 3}


class Parameters(NamedTuple):
    """Exact counts: `parts` sum to `total`; `frozen` never train."""

    parts: dict[str, int]
    frozen: int

    @property
    def total(self) -> int:
        return sum(self.parts.values())

    @property
    def trainable(self) -> int:
        return self.total - self.frozen

    def as_dict(self) -> dict[str, int]:
        return {"total": self.total, "trainable": self.trainable, "frozen": self.frozen, **self.parts}


class Tokens(NamedTuple):
    """Sequence lengths and the values of a token."""

    image: int
    context: int
    values: int


def tokens(model: ModelConfig, data: DataShape) -> Tokens:
    side = data.side // model.patch
    return Tokens(image=side * side, context=model.context_tokens, values=model.patch**2 * data.channels)


def parameters(model: ModelConfig, data: DataShape) -> Parameters:
    """Parameters by part, as the model of `lina_lab/model/lina.py` has them."""
    D, t = model.width, tokens(model, data)
    norm = 2 * D
    offset = _linear(TIME_FEATURES, D) + _linear(D, D) + norm  # the constant time embedding of the context queries
    context_patch = _linear(4 * t.values, D)
    parts = {
        **_prompt(model, data),
        "context_queries": D + offset,
        "context_patch": context_patch,
        "context": model.context_depth * _block(model, model.context, data.prompt_tokens + t.context) + norm,
        "patch": _linear(t.values, D) + D,  # and the mask token
        "encoder": model.encoder_depth * _block(model, model.encoder, 0),
        "decoder": model.decoder_depth * _block(model, model.decoder, t.context + t.image) + norm,
        "head": _head(model, t.values),
    }
    return Parameters(parts, frozen=norm + offset + context_patch)


def _prompt(model: ModelConfig, data: DataShape) -> dict[str, int]:
    norm = 2 * model.width
    if data.text is None:
        return {"label": (data.num_classes + 1) * model.width + norm}
    words = data.text.vocabulary * data.text.features
    return {"text": words + _linear(data.text.features, model.width) + norm}


def _linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def _block(model: ModelConfig, attention: AttentionConfig, length: int) -> int:
    """12 D² + 13 D at an MLP ratio of 4, and what convolution and gates add. `length` is what gates are laid along."""
    D, hidden = model.width, model.mlp_ratio * model.width
    return attention_parameters(attention, D, model.num_heads, length) + _linear(D, hidden) + _linear(hidden, D) + 4 * D


def attention_parameters(attention: AttentionConfig, width: int, num_heads: int, length: int) -> int:
    """4 D² + 4 D, (k² + 1) D for a convolution, and a number a gate, head (unless they share it) and position."""
    conv = (attention.conv_kernel**2 + 1) * width if attention.conv_kernel else 0
    gate_heads = num_heads if attention.kv_gate_heads == "per_head" else 1
    gates = GATE_VECTORS[attention.kv_gate] * gate_heads * length
    return _linear(width, 3 * width) + _linear(width, width) + conv + gates


def _head(model: ModelConfig, values: int) -> int:
    W = model.head_width
    block = _linear(W, 3 * W) + 2 * _linear(W, W) + 2 * W
    ends = _linear(values, W) + _linear(W, values) + _linear(W, 2 * W)
    return ends + _linear(TIME_FEATURES, W) + _linear(model.width, W) + 2 * _linear(W, W) + model.head_depth * block


def attention_macs(
    attention: AttentionConfig, width: int, num_heads: int, length: float, grid: float, rows: float | None = None
) -> float:
    """Multiply-adds of one attention module on `length` tokens, of which `grid` are under its convolution.

    Linear: N D (4 D + 2 d + 1) and k² D for each grid token; softmax: N D (4 D + 2 N). Of `rows` tokens of the result
    alone: q, read-out and output projection are theirs, k, v and the memory are of all tokens.
    """
    rows, head = length if rows is None else rows, width // num_heads
    if attention.normalization == "softmax":
        memory, read = 0.0, 2 * length
    else:
        memory, read = head, head + 1
    kept = length * width * (2 * width + memory) + rows * width * (2 * width + read)
    return kept + attention.conv_kernel**2 * grid * width


class Traffic(NamedTuple):
    """Bytes to and from memory in one forward and in one backward."""

    forward: float
    backward: float


def attention_bytes(
    attention: AttentionConfig, width: int, num_heads: int, length: int, grid: int, batch: int, value_bytes: int
) -> Traffic:
    """The least that one attention module can move: w weights, 10 B N D + B G D + w values forward, G grid tokens.

    Forward: weights read once; the input read (1), q, k, v written and read (3 + 3), the merged output of the heads
    written and read (1 + 1), the output written (1), and with a convolution the grid of the input read again. Backward,
    15 B N D + 2 B G D + 2 w: the output's gradient, merged output and input read (3), the merged output's gradient
    written and read (2), q, k, v read, their gradients written and read (3 + 6), the input's gradient written (1); with
    a convolution its gradient and its input read again; weights read and their gradients written. Assumed: between the
    projections one kernel does everything (feature map, gates, normalization, casts, convolution), sums, scores and
    d x d memories never leave the chip, and nothing that was written is still there when it is read.
    """
    weights = attention_parameters(attention, width, num_heads, length)
    tokens, local = batch * length * width, batch * grid * width if attention.conv_kernel else 0
    return Traffic(
        forward=value_bytes * (10 * tokens + local + weights),
        backward=value_bytes * (15 * tokens + 2 * local + 2 * weights),
    )


def _block_macs(
    model: ModelConfig, attention: AttentionConfig, length: float, grid: float, rows: float | None = None
) -> float:
    mlp = 2 * model.mlp_ratio * model.width**2 * (length if rows is None else rows)
    return attention_macs(attention, model.width, model.num_heads, length, grid, rows) + mlp


def context_macs(model: ModelConfig, data: DataShape) -> float:
    """The context stack and what projects a prompt for it, once for each image."""
    t = tokens(model, data)
    text = 0 if data.text is None else data.text.tokens * data.text.features * model.width
    length = data.prompt_tokens + t.context
    return text + model.context_depth * _block_macs(model, model.context, length, t.context)


def image_macs(model: ModelConfig, data: DataShape, visible: float, wanted: float | None = None) -> float:
    """Encoder on P + visible tokens and decoder on P + N tokens, once for each image.

    In sampling the last block of the decoder computes the `wanted` tokens alone.
    """
    t = tokens(model, data)
    encoder = model.encoder_depth * _block_macs(model, model.encoder, t.context + visible, 0)
    length, grid = t.context + t.image, t.image
    decoder = (model.decoder_depth - 1) * _block_macs(model, model.decoder, length, grid)
    return encoder + decoder + _block_macs(model, model.decoder, length, grid, wanted)


def head_macs(model: ModelConfig, values: int) -> float:
    """The head for one noisy token, its projected condition and time given."""
    W = model.head_width
    return 2 * values * W + 2 * W * W + model.head_depth * 5 * W * W


def _condition_macs(model: ModelConfig) -> float:
    return model.width * model.head_width + model.head_width**2


def mean_visible(image_tokens: int, least: float = 0.7, deviation: float = 0.25) -> float:
    """Expected number of visible tokens: N (1 - E ρ) for ρ normal around 1, cut to [least, 1] (rounding left out)."""
    normal, low = NormalDist(), (least - 1) / deviation
    mass = 0.5 - normal.cdf(low)
    return image_tokens * deviation * (normal.pdf(0) - normal.pdf(low)) / mass


def forward_macs(experiment: Experiment, visible: float | None = None) -> float:
    """Multiply-adds of one training forward, for one image of a batch; by default at the mean of visible tokens."""
    model, data, training = experiment.model, experiment.data.shape, experiment.training
    t = tokens(model, data)
    if visible is None:
        visible = mean_visible(t.image, training.mask_ratio_min, training.mask_ratio_std)
    W = model.head_width
    times = TRAINING_TIMES * (TIME_FEATURES * W + W * W) / training.batch_size  # one table for the batch
    head = (t.image - visible) * (_condition_macs(model) + training.loss_repeat * head_macs(model, t.values))
    patch = t.image * t.values * model.width
    return context_macs(model, data) + image_macs(model, data, visible) + patch + head + times


def query_macs(model: ModelConfig) -> float:
    """The constant offset of the context queries, once a forward: `forward_macs` leaves it out."""
    return TIME_FEATURES * model.width + model.width**2


def training_flops(experiment: Experiment) -> float:
    """FLOPs of the whole training: 2 a multiply-add, forward and backward three times the forward."""
    training = experiment.training
    return 2 * 3 * forward_macs(experiment) * training.batch_size * training.steps


def sampling_flops(experiment: Experiment) -> float:
    """FLOPs to sample one image."""
    model, data, sampling = experiment.model, experiment.data.shape, experiment.sampling
    t = tokens(model, data)
    counts = count_schedule(t.image, sampling.autoregressive_steps)
    known = [sum(counts[:step]) for step in range(len(counts))]
    copies = 1 if sampling.guidance_scale == sampling.guidance_min == 1 else 2
    stacks = context_macs(model, data) + sum(
        image_macs(model, data, visible, count) for visible, count in zip(known, counts, strict=True)
    )
    head = t.image * (_condition_macs(model) + sampling.flow_steps * head_macs(model, t.values))
    patch = t.image * t.values * model.width
    return 2 * (copies * (stacks + head) + patch)

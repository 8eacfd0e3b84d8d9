"""Parameters and FLOPs in closed form, without torch.

Parameters are exact: the published models' totals come out to the last digit. FLOPs count multiply-adds of linear
maps, convolutions and the attention core (1 multiply-add = 2 FLOPs); element-wise work is not counted; a backward pass
costs two forward passes.

Symbols: D width, H heads, d = D / H, N image tokens, P context tokens, V values of a token, W width of the head.
"""

from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

from lina_lab.config.data import DataShape
from lina_lab.config.experiment import Experiment
from lina_lab.config.model import AttentionConfig, ModelConfig
from lina_lab.config.schedule import count_schedule, flow_schedule
from lina_lab.config.settings import GUIDANCE_GRID, GUIDANCE_REFINEMENTS, SamplingConfig
from lina_lab.design.convolutions import CONV_KERNEL
from lina_lab.design.gates import KV_GATE_HEADS, OUTPUT_GATE
from lina_lab.design.normalization import NORMALIZATION
from lina_lab.design.position import POSITION, TIME_FEATURES
from lina_lab.design.value import ModuleSizes, TokenCounts

CACHED = 1024
"""Models whose cost is kept: a sweep asks for that of each many times."""
TRAINING_TIMES = 1000


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


@lru_cache(CACHED)
def parameters(model: ModelConfig, data: DataShape) -> Parameters:
    """Parameters by part, as the model of `lina_lab/model/lina.py` has them."""
    D, t = model.width, tokens(model, data)
    norm = 2 * D
    offset = POSITION[model.position].query_parameters(D)
    context_patch = _linear(4 * t.values, D)
    parts = {
        **_prompt(model, data),
        "context_queries": D + offset,
        "context_patch": context_patch,
        "context": _stack(model, "context", data.prompt_tokens + t.context) + norm,
        "patch": _linear(t.values, D) + D,  # and the mask token
        "encoder": _stack(model, "encoder", 0),
        "decoder": _stack(model, "decoder", t.context + t.image) + norm,
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


def _stack(model: ModelConfig, segment: str, length: int) -> int:
    """12 D² + 13 D a block at an MLP ratio of 4, and what its attention adds. `length` is what gates are laid along."""
    D, hidden = model.width, model.mlp_ratio * model.width
    mlp_and_norms = _linear(D, hidden) + _linear(hidden, D) + 4 * D
    blocks = model.blocks(segment)
    return sum(attention_parameters(block, D, model.num_heads, length) + mlp_and_norms for block in blocks)


def attention_parameters(attention: AttentionConfig, width: int, num_heads: int, length: int) -> int:
    """4 D² + 4 D for q, k, v and the output projection, and what each value of the design adds."""
    D, sizes = width, _sizes(attention, width, num_heads)
    return _linear(D, 3 * D) + _linear(D, D) + sum(value.parameters(sizes, length) for value in attention.values())


def _sizes(attention: AttentionConfig, width: int, num_heads: int) -> ModuleSizes:
    return ModuleSizes(
        width=width,
        num_heads=num_heads,
        gate_heads=KV_GATE_HEADS[attention.kv_gate_heads].heads(num_heads),
        grid_taps=CONV_KERNEL[attention.conv_kernel].side ** 2,
    )


def _head(model: ModelConfig, values: int) -> int:
    W = model.head_width
    block = _linear(W, 3 * W) + 2 * _linear(W, W) + 2 * W
    ends = _linear(values, W) + _linear(W, values) + _linear(W, 2 * W)
    return ends + _linear(TIME_FEATURES, W) + _linear(model.width, W) + 2 * _linear(W, W) + model.head_depth * block


def attention_macs(
    attention: AttentionConfig,
    width: int,
    num_heads: int,
    length: float,
    grid: float,
    rows: float | None = None,
    context: float | None = None,
) -> float:
    """Multiply-adds of one attention module on `length` tokens, of which `grid` are under its convolution.

    4 N D² for q, k, v and the output projection, N D times what the normalization asks of a channel, N D² for an output
    gate, and what gates and convolutions add. A fixed convolution along the sequence has `context` tokens, by default
    all that are not on the grid. Of `rows` tokens of the result alone: q (but not where it makes mediators), read-out,
    output gate and projection are theirs, k, v, the memory and convolutions are of all tokens.
    """
    rows = length if rows is None else rows
    sizes = _sizes(attention, width, num_heads)
    counts = TokenCounts(length, grid, context=length - grid if context is None else context)
    normalization = NORMALIZATION[attention.normalization]
    queries = length if normalization.all_queries else rows
    memory, read = normalization.core(length, sizes.head_size)
    projections = 1 + OUTPUT_GATE[attention.output_gate].projections
    core = length * width * (2 * width + memory) + queries * width * (width + read) + rows * width**2 * projections
    of_tokens = sum(value.macs(sizes, counts) for value in attention.values())
    of_image = sum(value.image_macs(sizes) for value in attention.values())
    return core + width * (of_tokens + of_image)


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
    a convolution its gradient and its input read again; weights read and their gradients written. A fixed convolution
    along the sequence reads the N - G tokens in front again, a generated one v, which is there. Gates from the input,
    2 H a token for keys and values and D for the output, are written and read (2), and backward read, their gradients
    written and read (3). Assumed: between the projections one kernel does everything (feature map, gates,
    normalization, casts, convolution), the mean that filters are generated from is summed where the input is projected,
    sums, scores and d x d memories never leave the chip, and nothing that was written is still there when it is read.
    """
    weights, sizes = attention_parameters(attention, width, num_heads, length), _sizes(attention, width, num_heads)
    counts = TokenCounts(length, grid, context=length - grid)
    again = sum(value.reread_tokens(counts) for value in attention.values())
    of_gates = sum(value.activations(sizes) for value in attention.values())
    tokens, local, gates = batch * length * width, batch * again * width, batch * length * of_gates
    return Traffic(
        forward=value_bytes * (10 * tokens + local + 2 * gates + weights),
        backward=value_bytes * (15 * tokens + 2 * local + 3 * gates + 2 * weights),
    )


def _stack_macs(model: ModelConfig, segment: str, length: float, grid: float, wanted: float | None = None) -> float:
    """Multiply-adds of the blocks of a segment; of the last, of the `wanted` tokens of its result alone."""
    blocks = model.blocks(segment)
    rows = [*[None] * (len(blocks) - 1), wanted]
    context = model.context_tokens
    attention = sum(
        attention_macs(block, model.width, model.num_heads, length, grid, of_block, context)
        for block, of_block in zip(blocks, rows, strict=True)
    )
    mlp = sum(2 * model.mlp_ratio * model.width**2 * (length if r is None else r) for r in rows)
    return attention + mlp


@lru_cache(CACHED)
def context_macs(model: ModelConfig, data: DataShape) -> float:
    """The context stack and what projects a prompt for it, once for each image."""
    t = tokens(model, data)
    text = 0 if data.text is None else data.text.tokens * data.text.features * model.width
    return text + _stack_macs(model, "context", data.prompt_tokens + t.context, t.context)


@lru_cache(CACHED)
def image_macs(model: ModelConfig, data: DataShape, visible: float, wanted: float | None = None) -> float:
    """Encoder on P + visible tokens and decoder on P + N tokens, once for each image.

    In sampling the last block of the decoder computes the `wanted` tokens alone.
    """
    t = tokens(model, data)
    encoder = _stack_macs(model, "encoder", t.context + visible, 0)
    return encoder + _stack_macs(model, "decoder", t.context + t.image, t.image, wanted)


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
    return POSITION[model.position].query_macs(model.width)


def training_flops(experiment: Experiment) -> float:
    """FLOPs of the whole training: 2 a multiply-add, forward and backward three times the forward."""
    training = experiment.training
    return 2 * 3 * forward_macs(experiment) * training.batch_size * training.steps


def sampling_flops(experiment: Experiment) -> float:
    """FLOPs to sample one image."""
    return _sampling_flops(experiment.model, experiment.data.shape, experiment.sampling)


def evaluation_flops(experiment: Experiment) -> float:
    """FLOPs of the images that are measured: those of the end and of every point before it."""
    evaluation = experiment.evaluation
    return evaluation.num_samples * (1 + len(evaluation.at)) * sampling_flops(experiment)


def repeats_flops(experiment: Experiment) -> float:
    """FLOPs to sample the images of all measurements of a cell but its first: see `EvaluationConfig`."""
    evaluation, sampling = experiment.evaluation, experiment.sampling

    def at(scale: float) -> float:
        guided = SamplingConfig.model_validate(sampling.changed({"guidance_scale": scale}))
        return _sampling_flops(experiment.model, experiment.data.shape, guided)

    images = (evaluation.generation_seeds - 1) * sampling_flops(experiment)
    if evaluation.guidance == "best":
        inside = GUIDANCE_GRID[1]  # every scale but 1 costs the same
        images += sum(map(at, GUIDANCE_GRID)) + (GUIDANCE_REFINEMENTS + evaluation.generation_seeds) * at(inside)
    return evaluation.num_samples * images


@lru_cache(CACHED)
def _sampling_flops(model: ModelConfig, data: DataShape, sampling: SamplingConfig) -> float:
    t = tokens(model, data)
    counts = count_schedule(t.image, sampling.autoregressive_steps)
    known = [sum(counts[:step]) for step in range(len(counts))]
    copies = 1 if sampling.guidance_scale == sampling.guidance_min == 1 else 2
    stacks = context_macs(model, data) + sum(
        image_macs(model, data, visible, count) for visible, count in zip(known, counts, strict=True)
    )
    flow_steps = flow_schedule(sampling.flow_steps, sampling.flow_steps_last, len(counts))
    evaluations = sum(count * steps for count, steps in zip(counts, flow_steps, strict=True))
    head = t.image * _condition_macs(model) + evaluations * head_macs(model, t.values)
    patch = t.image * t.values * model.width
    return 2 * (copies * (stacks + head) + patch)

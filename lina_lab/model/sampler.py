"""The sampler: sets of tokens one after the other, the tokens of a set together by Euler steps of the flow head.

A step encodes what is known, and then decodes and denoises the next set. Its second part has the same shapes in every
step once all sets are as wide as the widest: then one CUDA graph serves all steps with the same number of Euler steps.
Nothing in the loop waits for the device, but where that number changes.

Shapes: B images, P context tokens, N image tokens, n tokens in question, D width, V values of a token.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate

import torch
from torch import Generator, Tensor

from lina_lab.config.schedule import count_schedule, flow_schedule, flow_sigmas, guidance_ramp
from lina_lab.config.settings import SamplingConfig
from lina_lab.model.attention import rows_at, take
from lina_lab.model.graph import Graph
from lina_lab.model.lina import Lina
from lina_lab.model.random_streams import sampling_draws

StepDone = Callable[[int, int, Tensor], None]
"""Called after each step with its number, the number of steps, and the latents (B, C, h, w) so far, 0 where unknown."""
Predict = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
GRAPH_TOLERANCE = {"fp32": 1e-4, "bf16": 1e-2}
"""Of a step as a graph against the same step without: seen on an H100, 8.6e-8 and 0."""


def sample(
    model: Lina,
    labels: Tensor,
    config: SamplingConfig,
    generators: Sequence[Generator],
    progress: StepDone = lambda step, steps, latent: None,
) -> Tensor:
    """Latents (B, C, h, w) of labels or prompts, one generator for each image."""
    order, noise = sampling_draws(generators, model.tokens, model.values)
    return sample_of_draws(model, labels, config, order.to(labels.device), noise.to(labels.device), progress)


@torch.no_grad()
def sample_of_draws(
    model: Lina,
    labels: Tensor,
    config: SamplingConfig,
    order: Tensor,
    noise: Tensor,
    progress: StepDone = lambda step, steps, latent: None,
    *,
    static: bool | None = None,
    graph: bool | None = None,
) -> Tensor:
    """The sampler as a function of its draws: order (B, N), noise (B, N, V).

    `static` makes all sets as wide as the widest, and `graph` the part of a step that has fixed shapes then one CUDA
    graph; by default both exactly where there is CUDA, because elsewhere the added tokens only cost.

    Raises:
        LabError: if a graph does not compute what the step computes.
    """
    counts = count_schedule(model.tokens, config.autoregressive_steps)
    ramp = guidance_ramp(config.guidance_scale, config.guidance_min, len(counts))
    labels, copies = _with_unconditional(model, labels, ramp)
    flow_steps = flow_schedule(config.flow_steps, config.flow_steps_last, len(counts))
    scales = torch.tensor(ramp, dtype=noise.dtype, device=noise.device)
    static = noise.is_cuda if static is None else static
    graph = static and noise.is_cuda if graph is None else graph
    graphs: list[Graph] = []
    with torch.autocast(noise.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
        context = model.context_tokens(labels)
        tokens = model.mask_token.expand(len(order), model.tokens, -1)
        latent = torch.zeros_like(noise)  # (B, N, V)
        for step, (known, count) in enumerate(zip(accumulate(counts, initial=0), counts, strict=False)):
            width = max(counts) if static else count
            first = min(known, model.tokens - width)  # a wider set ends at the last token, and begins earlier
            visible, wanted = order[:, :known], order[:, first : first + width]
            x = model.encode(tokens.repeat(copies, 1, 1), context, visible.repeat(copies, 1))
            inputs = (x, wanted.repeat(copies, 1), take(noise, wanted), scales[step])
            if step == 0 or flow_steps[step] != flow_steps[step - 1]:
                predict = _predictor(model, flow_steps[step], noise.device)
                if graph:
                    predict = Graph("the sampler", predict, *inputs)
                    graphs.append(predict)
            new = slice(known - first, known - first + count)
            predicted, wanted = predict(*inputs)[:, new], wanted[:, new]  # (B, n, V), (B, n)
            latent = latent.scatter(1, rows_at(wanted, latent), predicted)
            tokens = tokens.scatter(1, rows_at(wanted, tokens), model.patch(predicted).to(tokens.dtype))
            progress(step + 1, len(counts), model.unpatchify(latent))
    for made in graphs:
        made.prove(GRAPH_TOLERANCE[config.precision])
    return model.unpatchify(latent)


def _with_unconditional(model: Lina, labels: Tensor, ramp: Sequence[float]) -> tuple[Tensor, int]:
    """The labels and 1; where any step is guided, the labels followed by empty conditions for each, and 2."""
    if all(scale == 1 for scale in ramp):
        return labels, 1
    return torch.cat([labels, model.prompt.nothing(labels)]), 2


def _predictor(model: Lina, flow_steps: int, device: torch.device) -> Predict:
    """`predict(x, wanted, noise, scale)`: decode x (copies B, P + N, D), denoise the tokens `wanted` (copies B, n).

    Euler steps from noise (B, n, V) at σ = 1 to σ = 0, guided by `scale` if x has twice as many rows.
    """
    sigmas = flow_sigmas(flow_steps)
    times = model.head.embed_time(1000 * torch.tensor(sigmas[:-1], device=device))  # (flow_steps, W)

    def predict(x: Tensor, wanted: Tensor, noise: Tensor, scale: Tensor) -> Tensor:
        condition = model.head.condition(model.decode(x, wanted))  # (copies B, n, W)
        copies, x = len(condition) // len(noise), noise
        for sigma, following, time in zip(sigmas, sigmas[1:], times, strict=False):
            velocity = model.head(x.repeat(copies, 1, 1), time, condition).to(x.dtype)
            if copies == 2:
                conditional, unconditional = velocity.chunk(2)
                velocity = unconditional + scale * (conditional - unconditional)
            x = x + (following - sigma) * velocity
        return x

    return predict

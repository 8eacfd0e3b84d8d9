"""The sampler: sets of tokens one after the other, the tokens of a set together by Euler steps of the flow head.

A step encodes what is known, and then decodes and denoises the next set. Its second part has the same shapes in every
step once all sets are as wide as the widest: then one CUDA graph serves all steps with the same number of Euler steps.
Nothing in the loop waits for the device, but where that number changes.

Shapes: B images, P context tokens, N image tokens, n tokens in question, D width, V values of a token.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

from lina_lab.config.schedule import count_schedule, flow_schedule, flow_sigmas, guidance_ramp
from lina_lab.config.settings import SamplingConfig
from lina_lab.model.attention import rows_at, take
from lina_lab.model.draws import sampling_draws
from lina_lab.model.lina import Lina

Progress = Callable[[int, int, Tensor], None]
"""Called after each step with its number, the number of steps, and the latents (B, C, h, w) so far, 0 where unknown."""
Predict = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def sample(
    model: Lina,
    labels: Tensor,
    config: SamplingConfig,
    generators: Sequence[Generator],
    progress: Progress = lambda step, steps, latent: None,
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
    progress: Progress = lambda step, steps, latent: None,
    *,
    static: bool | None = None,
) -> Tensor:
    """The sampler as a function of its draws: order (B, N), noise (B, N, V).

    `static` makes all sets as wide as the widest, and the part of a step with fixed shapes one graph where there is
    CUDA; by default exactly there, because elsewhere the added tokens only cost.
    """
    counts = count_schedule(model.tokens, config.autoregressive_steps)
    ramp = guidance_ramp(config.guidance_scale, config.guidance_min, len(counts))
    # A guided batch holds every image twice: with its label, then with none.
    copies = 2 if any(scale != 1 for scale in ramp) else 1
    if copies == 2:
        labels = torch.cat([labels, model.prompt.nothing(labels)])
    flow_steps = flow_schedule(config.flow_steps, config.flow_steps_last, len(counts))
    scales = torch.tensor(ramp, dtype=noise.dtype, device=noise.device)
    static = noise.is_cuda if static is None else static
    with torch.autocast(noise.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
        context = model.context_tokens(labels)
        tokens = model.mask_token.expand(len(order), model.tokens, -1)
        latent = torch.zeros_like(noise)  # (B, N, V)
        known = 0
        for step, count in enumerate(counts):
            width = max(counts) if static else count
            first = min(known, model.tokens - width)  # a wider set ends at the last token, and begins earlier
            visible, wanted = order[:, :known], order[:, first : first + width]
            x = model.encode(tokens.repeat(copies, 1, 1), context, visible.repeat(copies, 1))
            inputs = (x, wanted.repeat(copies, 1), take(noise, wanted), scales[step])
            if step == 0 or flow_steps[step] != flow_steps[step - 1]:
                predict = _predictor(model, flow_steps[step], noise.device)
                if static:
                    predict = graphed(predict, *inputs)
            new = slice(known - first, known - first + count)
            predicted, wanted = predict(*inputs)[:, new], wanted[:, new]  # (B, n, V), (B, n)
            latent = latent.scatter(1, rows_at(wanted, latent), predicted)
            projected = model.patch(predicted)
            tokens = tokens.scatter(1, rows_at(wanted, tokens), projected.to(tokens.dtype))
            known += count
            progress(step + 1, len(counts), model.unpatchify(latent))
    return model.unpatchify(latent)


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


def graphed(predict: Predict, *example: Tensor) -> Predict:
    """The function as one CUDA graph for inputs of these shapes; the function itself where there is no CUDA.

    What it returns is overwritten by its next call.
    """
    if not example[0].is_cuda:
        return predict
    inputs = [tensor.clone() for tensor in example]
    # As torch's documentation asks: a warm-up on a stream of its own, so that nothing is initialised while capturing.
    warm_up = torch.cuda.Stream()
    warm_up.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(warm_up):
        for _ in range(2):
            predict(*inputs)
    torch.cuda.current_stream().wait_stream(warm_up)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = predict(*inputs)

    def replay(*arguments: Tensor) -> Tensor:
        for own, given in zip(inputs, arguments, strict=True):
            own.copy_(given)
        graph.replay()
        return output

    return replay

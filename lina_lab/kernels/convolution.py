"""Depthwise convolution of grid tokens, channels last as in attention, so that nothing is transposed or copied.

Shapes: B batch, N tokens (`prefix`, then height x width in raster order), D channels, K an odd kernel size. Sums are
float32, rounded to the model's dtype once, and in one order: equal inputs give equal bits.
"""

from typing import Any

import torch
from torch import Tensor

from lina_lab.kernels.availability import require

FORWARD = {"BLOCK": 32, "CHANNELS": 64}
"""Positions and channels of a program. 64 channels are whole cache lines in every dtype, and the sums take 16 registers
of each of 128 threads, so that many programs can be resident and hide each other's memory latency."""
GRADIENT = {"BLOCK": 128, "CHANNELS": 32}
"""More positions a program, so that partial sums stay below a tenth of the bytes of x (K = 5, bfloat16)."""

Layout = tuple[int, int, int]


def depthwise_convolution(x: Tensor, weight: Tensor, bias: Tensor, layout: Layout) -> Tensor:
    """Convolves the grid, 'same' zero padding: (B, N, D) with filters (D, 1, K, K), bias (D) to (B, height * width, D).

    `layout` is (prefix, height, width); the last height * width tokens are the grid, and the prefix is ignored.
    Under autocast in autocast's dtype, like `nn.Conv2d`. Differentiable once, in x, weight and bias.

    Raises:
        ValueError: if shapes do not fit, or the kernels cannot run here (see `availability.missing`).
    """
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
        x, weight, bias = x.to(dtype), weight.to(dtype), bias.to(dtype)
    prefix, height, width = layout
    if x.shape[1] != prefix + height * width:
        raise ValueError(f"x must have {prefix} + {height} x {width} tokens, not {x.shape[1]}")
    return _convolution(x, weight, bias, height, width)


@torch.library.custom_op("lina_lab::depthwise_convolution", mutates_args=())
def _convolution(x: Tensor, weight: Tensor, bias: Tensor, height: int, width: int) -> Tensor:
    _check(x, weight, bias)
    out = x.new_empty(x.shape[0], height * width, x.shape[2])
    _launch(_grid(x, height * width), weight, bias, out, (height, width), flip=False)
    return out


@torch.library.custom_op("lina_lab::depthwise_convolution_backward", mutates_args=())
def _convolution_backward(
    gradient: Tensor, x: Tensor, weight: Tensor, height: int, width: int
) -> tuple[Tensor, Tensor]:
    """The gradients of x (0 in the prefix), and of filters and bias as the rows of one float32 (K² + 1, D)."""
    from lina_lab.kernels.convolution_triton import filter_gradient

    gradient = _rows(gradient)
    grid = _grid(x, height * width)
    dx = torch.empty_like(x, memory_format=torch.contiguous_format)
    dx[:, : x.shape[1] - height * width] = 0
    # The gradient of a convolution is the convolution of the gradient with the filter turned by 180 degrees.
    _launch(gradient, weight, None, _grid(dx, height * width), (height, width), flip=True)
    batch, channels, kernel = x.shape[0], x.shape[2], weight.shape[-1]
    runs, blocks = -(-height * width // GRADIENT["BLOCK"]), -(-channels // GRADIENT["CHANNELS"])
    partial = x.new_empty(batch, runs, kernel**2 + 1, channels, dtype=torch.float32)
    with torch.cuda.device_of(x):
        filter_gradient[runs, blocks, batch](
            gradient,
            grid,
            partial,
            height,
            width,
            channels,
            *gradient.stride()[:2],
            *grid.stride()[:2],
            KERNEL=kernel,
            **GRADIENT,
        )
    return dx, partial.sum((0, 1))


@_convolution.register_fake
def _(x: Tensor, _weight: Tensor, _bias: Tensor, height: int, width: int) -> Tensor:
    return x.new_empty(x.shape[0], height * width, x.shape[2])


@_convolution_backward.register_fake
def _(_gradient: Tensor, x: Tensor, weight: Tensor, _height: int, _width: int) -> tuple[Tensor, Tensor]:
    dx = torch.empty_like(x, memory_format=torch.contiguous_format)
    return dx, x.new_empty(weight.shape[-1] ** 2 + 1, x.shape[2], dtype=torch.float32)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001, given by name
    x, weight, _, *ctx.grid = inputs
    ctx.save_for_backward(x, weight)


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    x, weight = ctx.saved_tensors
    dx, rows = _convolution_backward(gradient, x, weight, *ctx.grid)
    return dx, rows[:-1].T.reshape(weight.shape).to(weight.dtype), rows[-1].to(weight.dtype), None, None


_convolution.register_autograd(_backward, setup_context=_remember)


def _launch(x: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor, grid: tuple[int, int], *, flip: bool) -> None:
    """Convolve x (B, height * width, D) into out, which may be a part of a longer sequence."""
    from lina_lab.kernels.convolution_triton import convolve

    batch, positions, channels = x.shape
    blocks = (-(-positions // FORWARD["BLOCK"]), -(-channels // FORWARD["CHANNELS"]), batch)
    with torch.cuda.device_of(x):
        convolve[blocks](
            x,
            weight.contiguous(),
            bias,
            out,
            *grid,
            channels,
            *x.stride()[:2],
            *out.stride()[:2],
            KERNEL=weight.shape[-1],
            FLIP=flip,
            **FORWARD,
        )


def _rows(x: Tensor) -> Tensor:
    """x with contiguous channels, copied only if necessary; strides of samples and tokens are free."""
    return x if x.stride(-1) == 1 else x.contiguous()


def _grid(x: Tensor, positions: int) -> Tensor:
    return _rows(x)[:, x.shape[1] - positions :]


def _check(x: Tensor, weight: Tensor, bias: Tensor) -> None:
    require(x.device, x.dtype)
    kernel = weight.shape[-1]
    if weight.shape != (x.shape[2], 1, kernel, kernel) or kernel % 2 == 0:
        raise ValueError(f"weight must be ({x.shape[2]}, 1, K, K) with an odd K, not {tuple(weight.shape)}")
    if bias.shape != x.shape[2:]:
        raise ValueError(f"bias must be ({x.shape[2]},), not {tuple(bias.shape)}")

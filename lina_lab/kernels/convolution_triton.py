"""Triton programs of the depthwise convolution: one that convolves, one that sums the filter's gradient.

A grid of HEIGHT x WIDTH tokens in raster order, channels last: (B, HEIGHT * WIDTH, D), each tensor with its own strides
of samples and tokens. A program takes BLOCK positions (axis 0) of CHANNELS channels (axis 1) of one sample (axis 2).
"""

import triton
import triton.language as tl


@triton.jit
def neighbours(tokens, y, x, tap, row, height, width, mask, KERNEL: tl.constexpr):
    """The tokens under one tap of the filter, for tokens at rows y and columns x, float32; 0 outside the grid."""
    down: tl.constexpr = tap // KERNEL - KERNEL // 2
    right: tl.constexpr = tap % KERNEL - KERNEL // 2
    inside = (y + down >= 0) & (y + down < height) & (x + right >= 0) & (x + right < width)
    return tl.load(tokens + (down * width + right) * row, mask=mask & inside[:, None], other=0.0).to(tl.float32)


@triton.jit
def convolve(
    x,
    weight,
    bias,
    out,
    height,
    width,
    channels,
    x_batch,
    x_row,
    out_batch,
    out_row,
    KERNEL: tl.constexpr,
    FLIP: tl.constexpr,
    BLOCK: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """Σ_taps weight · neighbour + bias, summed in float32 and rounded once; FLIP turns the filter by 180 degrees."""
    TAPS: tl.constexpr = KERNEL * KERNEL
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    batch = tl.program_id(2).to(tl.int64)
    known = c < channels
    mask = (p < height * width)[:, None] & known[None, :]
    tokens = x + batch * x_batch + p[:, None] * x_row + c[None, :]
    total = tl.zeros((BLOCK, CHANNELS), tl.float32)
    for tap in tl.static_range(TAPS):
        seen = neighbours(tokens, p // width, p % width, tap, x_row, height, width, mask, KERNEL)
        at = TAPS - 1 - tap if FLIP else tap
        total += seen * tl.load(weight + c * TAPS + at, mask=known, other=0.0).to(tl.float32)[None, :]
    if bias is not None:
        total += tl.load(bias + c, mask=known, other=0.0).to(tl.float32)[None, :]
    rows = out + batch * out_batch + p[:, None] * out_row + c[None, :]
    tl.store(rows, total.to(out.dtype.element_ty), mask=mask)


@triton.jit
def filter_gradient(
    gradient,
    x,
    partial,
    height,
    width,
    channels,
    gradient_batch,
    gradient_row,
    x_batch,
    x_row,
    KERNEL: tl.constexpr,
    BLOCK: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """Of BLOCK positions: Σ_p gradient_p · neighbour_p for every tap, then Σ_p gradient_p: (KERNEL² + 1, D) float32."""
    TAPS: tl.constexpr = KERNEL * KERNEL
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    batch = tl.program_id(2).to(tl.int64)
    known = c < channels
    mask = (p < height * width)[:, None] & known[None, :]
    rows = gradient + batch * gradient_batch + p[:, None] * gradient_row + c[None, :]
    g = tl.load(rows, mask=mask, other=0.0).to(tl.float32)
    tokens = x + batch * x_batch + p[:, None] * x_row + c[None, :]
    partial += (batch * tl.num_programs(0) + tl.program_id(0)) * (TAPS + 1) * channels + c
    for tap in tl.static_range(TAPS):
        seen = neighbours(tokens, p // width, p % width, tap, x_row, height, width, mask, KERNEL)
        tl.store(partial + tap * channels, tl.sum(g * seen, 0), mask=known)
    tl.store(partial + TAPS * channels, tl.sum(g, 0), mask=known)

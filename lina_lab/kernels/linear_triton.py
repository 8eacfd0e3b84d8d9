"""Triton programs of the linear attention core: `accumulate` keys and values into moments, and `read` them.

B batch, N tokens, H heads of SIZE channels. q, k, v (and their gradients) are the three blocks of one (B, N, 3 H SIZE)
tensor, read and written in place. `moments` (B, H, SIZE + 2, SIZE) is a head's memory M, then k̄, then v̄.
All programs but `accumulate` take a head on axis 0 and BLOCK tokens on axis 1, and read in CHUNK channels at a time.
Products of tiles are float32. Gates weigh rows, so they are applied to a product and not to its operands: those stay
the model's own numbers, for which PRECISION loses nothing.
"""

import triton
import triton.language as tl


@triton.jit
def features(u, FEATURE_MAP: tl.constexpr, EPS: tl.constexpr):
    """φ(u) + EPS, rounded to u's dtype after every step, as float32. NaN stays NaN, which `tl.maximum` would lose."""
    x = u.to(tl.float32)
    if FEATURE_MAP == "relu":
        x = tl.where(x < 0, 0.0, x)
    if FEATURE_MAP == "elu1":
        elu = tl.where(x > 0, x, tl.exp(tl.where(x > 0, 0.0, x)) - 1)
        x = (elu.to(u.dtype).to(tl.float32) + 1).to(u.dtype).to(tl.float32)
    return (x + EPS).to(u.dtype).to(tl.float32)


@triton.jit
def tile(pointer, rows, columns, row_stride, row_mask, COLUMNS: tl.constexpr):
    """A (rows, columns) tile of a row-major matrix; 0 where masked or beyond COLUMNS."""
    mask = row_mask[:, None] & (columns < COLUMNS)[None, :]
    return tl.load(pointer + rows[:, None] * row_stride + columns[None, :], mask=mask, other=0.0)


@triton.jit
def store_tile(pointer, values, rows, columns, row_stride, row_mask, COLUMNS: tl.constexpr):
    mask = row_mask[:, None] & (columns < COLUMNS)[None, :]
    values = values.to(pointer.dtype.element_ty)
    tl.store(pointer + rows[:, None] * row_stride + columns[None, :], values, mask=mask)


@triton.jit
def row_weights(pointer, offset, n, mask):
    """A weight for each token, 1 without gates; 0 where masked."""
    weights = mask.to(tl.float32)
    if pointer is not None:
        weights = tl.load(pointer + offset + n, mask=mask, other=0.0).to(tl.float32)
    return weights


@triton.jit
def accumulate(
    left,
    right,
    product_weight,
    left_weight,
    right_weight,
    moments,
    tokens,
    split,
    scale,
    left_batch,
    left_row,
    right_batch,
    right_row,
    weight_batch,
    weight_head,
    HEADS: tl.constexpr,
    SIZE: tl.constexpr,
    PADDED: tl.constexpr,
    BLOCK: tl.constexpr,
    FEATURE_MAP: tl.constexpr,
    EPS: tl.constexpr,
    RIGHT_SUM: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """scale Σ_n of a_n φ(x_n) y_nᵀ, of b_n φ(x_n) and of c_n y_n, for one head (axis 0) and one split of N (axis 1).

    From keys and values it makes moments; from queries and output gradients, the gradient of moments.
    """
    head, part = tl.program_id(0), tl.program_id(1)
    batch, h = (head // HEADS).to(tl.int64), head % HEADS
    left += batch * left_batch + h * SIZE
    right += batch * right_batch + h * SIZE
    weights = batch * weight_batch + h * weight_head
    columns = tl.arange(0, PADDED)
    product = tl.zeros((PADDED, PADDED), tl.float32)
    left_sum = tl.zeros((PADDED,), tl.float32)
    right_sum = tl.zeros((PADDED,), tl.float32)
    last = tl.minimum((part + 1) * split, tokens)
    for start in range(part * split, last, BLOCK):
        n = start + tl.arange(0, BLOCK)
        inside = n < last
        x = features(tile(left, n, columns, left_row, inside, SIZE), FEATURE_MAP, EPS)
        y = tile(right, n, columns, right_row, inside, SIZE).to(tl.float32)
        weighted = row_weights(product_weight, weights, n, inside)[:, None] * y
        product = tl.dot(tl.trans(x), weighted, product, input_precision=PRECISION)
        left_sum += tl.sum(row_weights(left_weight, weights, n, inside)[:, None] * x, 0)
        if RIGHT_SUM:
            right_sum += tl.sum(row_weights(right_weight, weights, n, inside)[:, None] * y, 0)
    moments += (part.to(tl.int64) * tl.num_programs(0) + head) * (SIZE + 2) * SIZE
    store_tile(moments, product * scale, columns, columns, SIZE, columns < SIZE, SIZE)
    tl.store(moments + SIZE * SIZE + columns, left_sum * scale, mask=columns < SIZE)
    tl.store(moments + (SIZE + 1) * SIZE + columns, right_sum * scale, mask=columns < SIZE)


@triton.jit
def read(
    qkv,
    moments,
    local,
    out,
    tokens,
    prefix,
    HEADS: tl.constexpr,
    SIZE: tl.constexpr,
    PADDED: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK: tl.constexpr,
    DIVISION: tl.constexpr,
    FEATURE_MAP: tl.constexpr,
    EPS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """q' M / (q'·k̄ + 1e-6) or s q' M + (1 - s q'·k̄) v̄, rounded; plus `local` behind the prefix, rounded again."""
    WIDTH: tl.constexpr = HEADS * SIZE
    head = tl.program_id(0)
    batch, h = (head // HEADS).to(tl.int64), head % HEADS
    n = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = n < tokens
    columns = tl.arange(0, PADDED)
    qkv += batch * tokens * (3 * WIDTH) + h * SIZE
    moments += head.to(tl.int64) * (SIZE + 2) * SIZE
    result = tl.zeros((BLOCK, PADDED), tl.float32)
    mass = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, SIZE, CHUNK):
        c = start + tl.arange(0, CHUNK)
        q = features(tile(qkv, n, c, 3 * WIDTH, inside, SIZE), FEATURE_MAP, EPS)
        result = tl.dot(q, tile(moments, c, columns, SIZE, c < SIZE, SIZE), result, input_precision=PRECISION)
        mass += tl.sum(q * tl.load(moments + SIZE * SIZE + c, mask=c < SIZE, other=0.0)[None, :], 1)
    if DIVISION:
        result = result / (mass + 1e-6)[:, None]
    else:
        s: tl.constexpr = SIZE**-0.5
        value_mean = tl.load(moments + (SIZE + 1) * SIZE + columns, mask=columns < SIZE, other=0.0)
        result = s * result + (1 - s * mass)[:, None] * value_mean[None, :]
    rounded = result.to(out.dtype.element_ty)
    if local is not None:
        local += batch * (tokens - prefix) * WIDTH + h * SIZE
        added = tile(local, n - prefix, columns, WIDTH, inside & (n >= prefix), SIZE)
        rounded = (rounded.to(tl.float32) + added.to(tl.float32)).to(out.dtype.element_ty)
    store_tile(out + batch * tokens * WIDTH + h * SIZE, rounded, n, columns, WIDTH, inside, SIZE)

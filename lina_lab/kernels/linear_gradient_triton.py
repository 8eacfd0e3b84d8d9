"""Triton programs of the linear core's gradients. Shapes and layout as in `linear_triton`, whose `accumulate` makes the
gradient of moments between the two.
"""

import triton
import triton.language as tl

from lina_lab.kernels.linear_triton import features, row_weights, store_tile, tile


@triton.jit
def through_features(u, gradient, FEATURE_MAP: tl.constexpr):
    """gradient · φ'(u), in float32."""
    x = u.to(tl.float32)
    if FEATURE_MAP == "relu":
        gradient = tl.where(x <= 0, 0.0, gradient)
    if FEATURE_MAP == "elu1":
        gradient = gradient * tl.where(x > 0, 1.0, tl.exp(tl.where(x > 0, 0.0, x)))
    return gradient


@triton.jit
def query_gradient(
    gradient,
    qkv,
    moments,
    dqkv,
    product_weight,
    left_weight,
    right_weight,
    tokens,
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
    """dq, and the weights (B, H, N) with which `accumulate` makes the gradient of moments from q' and g.

    g is the output's gradient. With r = 1 / (q'·k̄ + 1e-6) or s:  q'-gradient = r M g + c k̄  where c = -r q'·(r M g) for
    division and -s g·v̄ for subtraction;  dM = Σ r q' gᵀ,  dk̄ = Σ c q',  dv̄ = Σ (1 - s q'·k̄) g.
    """
    WIDTH: tl.constexpr = HEADS * SIZE
    head = tl.program_id(0)
    batch, h = (head // HEADS).to(tl.int64), head % HEADS
    n = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = n < tokens
    columns = tl.arange(0, PADDED)
    gradient += batch * tokens * WIDTH + h * SIZE
    qkv += batch * tokens * (3 * WIDTH) + h * SIZE
    dqkv += batch * tokens * (3 * WIDTH) + h * SIZE
    moments += head.to(tl.int64) * (SIZE + 2) * SIZE
    read_back = tl.zeros((BLOCK, PADDED), tl.float32)
    along_mean = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, SIZE, CHUNK):
        c = start + tl.arange(0, CHUNK)
        g = tile(gradient, n, c, WIDTH, inside, SIZE).to(tl.float32)
        memory = tile(moments, columns, c, SIZE, columns < SIZE, SIZE)
        read_back = tl.dot(g, tl.trans(memory), read_back, input_precision=PRECISION)
        if not DIVISION:
            value_mean = tl.load(moments + (SIZE + 1) * SIZE + c, mask=c < SIZE, other=0.0)
            along_mean += tl.sum(g * value_mean[None, :], 1)
    raw = tile(qkv, n, columns, 3 * WIDTH, inside, SIZE)
    q = features(raw, FEATURE_MAP, EPS)
    key_mean = tl.load(moments + SIZE * SIZE + columns, mask=columns < SIZE, other=0.0)
    mass = tl.sum(q * key_mean[None, :], 1)
    rows = head.to(tl.int64) * tokens + n
    if DIVISION:
        scale = 1 / (mass + 1e-6)
        read_back = read_back * scale[:, None]
        of_mass = -scale * tl.sum(q * read_back, 1)
    else:
        scale = tl.full((BLOCK,), SIZE**-0.5, tl.float32)
        read_back = read_back * scale[:, None]
        of_mass = -scale * along_mean
        tl.store(right_weight + rows, 1 - scale * mass, mask=inside)
    tl.store(product_weight + rows, scale, mask=inside)
    tl.store(left_weight + rows, of_mass, mask=inside)
    dq = through_features(raw, read_back + of_mass[:, None] * key_mean[None, :], FEATURE_MAP)
    store_tile(dqkv, dq, n, columns, 3 * WIDTH, inside, SIZE)


@triton.jit
def key_value_gradient(
    qkv,
    dmoments,
    dqkv,
    key,
    mass,
    value,
    dkey,
    dmass,
    dvalue,
    tokens,
    gate_head,
    HEADS: tl.constexpr,
    SIZE: tl.constexpr,
    PADDED: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK: tl.constexpr,
    FEATURE_MAP: tl.constexpr,
    EPS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """dk, dv and, where there are gates, their gradients (B, H, N), from the gradient of moments divided by N.

    With gates a, b (of key, value):  dκ = b dM v + dk̄,  dν = a dMᵀ k' + dv̄,  k'-gradient = a dκ,  da = k'·dκ,
    dv = b dν,  db = v·dν.  A `mass` gate takes dk̄ from the key gate.
    """
    WIDTH: tl.constexpr = HEADS * SIZE
    head = tl.program_id(0)
    batch, h = (head // HEADS).to(tl.int64), head % HEADS
    n = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = n < tokens
    columns = tl.arange(0, PADDED)
    keys = qkv + batch * tokens * (3 * WIDTH) + h * SIZE + WIDTH
    dkeys = dqkv + batch * tokens * (3 * WIDTH) + h * SIZE + WIDTH
    dmoments += head.to(tl.int64) * (SIZE + 2) * SIZE
    of_key = tl.zeros((BLOCK, PADDED), tl.float32)
    of_value = tl.zeros((BLOCK, PADDED), tl.float32)
    for start in range(0, SIZE, CHUNK):
        c = start + tl.arange(0, CHUNK)
        v = tile(keys + WIDTH, n, c, 3 * WIDTH, inside, SIZE).to(tl.float32)
        across = tile(dmoments, columns, c, SIZE, columns < SIZE, SIZE)
        of_key = tl.dot(v, tl.trans(across), of_key, input_precision=PRECISION)
        k = features(tile(keys, n, c, 3 * WIDTH, inside, SIZE), FEATURE_MAP, EPS)
        along = tile(dmoments, c, columns, SIZE, c < SIZE, SIZE)
        of_value = tl.dot(k, along, of_value, input_precision=PRECISION)
    raw = tile(keys, n, columns, 3 * WIDTH, inside, SIZE)
    k = features(raw, FEATURE_MAP, EPS)
    v = tile(keys + WIDTH, n, columns, 3 * WIDTH, inside, SIZE).to(tl.float32)
    key_mean = tl.load(dmoments + SIZE * SIZE + columns, mask=columns < SIZE, other=0.0)[None, :]
    value_mean = tl.load(dmoments + (SIZE + 1) * SIZE + columns, mask=columns < SIZE, other=0.0)[None, :]
    key_weight = row_weights(key, h * gate_head, n, inside)[:, None]
    value_weight = row_weights(value, h * gate_head, n, inside)[:, None]
    rows = head.to(tl.int64) * tokens + n
    of_key = of_key * value_weight
    of_value = of_value * key_weight + value_mean
    if mass is None:
        of_key += key_mean
        through = key_weight * of_key
    else:
        through = key_weight * of_key + row_weights(mass, h * gate_head, n, inside)[:, None] * key_mean
        tl.store(dmass + rows, tl.sum(k * key_mean, 1), mask=inside)
    if key is not None:
        tl.store(dkey + rows, tl.sum(k * of_key, 1), mask=inside)
    if value is not None:
        tl.store(dvalue + rows, tl.sum(v * of_value, 1), mask=inside)
    store_tile(dkeys, through_features(raw, through, FEATURE_MAP), n, columns, 3 * WIDTH, inside, SIZE)
    store_tile(dkeys + WIDTH, value_weight * of_value, n, columns, 3 * WIDTH, inside, SIZE)

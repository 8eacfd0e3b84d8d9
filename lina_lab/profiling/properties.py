"""What every design of one attention module keeps to, shipped or a user's: `lab check` and the tests ask this.

Each property is a function of a design that returns why it does not hold, or '' if it does; None where the design does
not claim it. Shapes: B images, N tokens (a prefix and a grid), D width, H heads.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lina_lab import cost
from lina_lab.config.model import AttentionConfig
from lina_lab.design.computed import FEATURE_MAPS
from lina_lab.design.normalization import FEATURE_MAP, NORMALIZATION
from lina_lab.model.attention import Attention, Layout, take
from lina_lab.model.lina import SUMMING
from lina_lab.plugins.load import LOADED
from lina_lab.profiling.counting import ALL, counted_macs

B, H, D = 2, 3, 24
LAYOUT, CONTEXT = Layout(3, 4, 5), 6
GATES = {"gates.key", "gates.mass", "gates.value"}
BFLOAT16_SHARE = 0.03
"""Bfloat16 has 8 bits: a few roundings of numbers of order 1, as a share of the output's root mean square."""
SCALES = (0.0, 1e-3, 1.0, 30.0)
"""Of inputs that must give finite outputs and gradients; at 0 a norm has none unless it is written with care."""
CLOSE = 1e-9
"""Of numbers of order 1 in float64."""


def made(config: AttentionConfig, *, layout: Layout | None = LAYOUT, seed: int = 0) -> Attention:
    """A module in float64 whose weights are all drawn. Around 1 gates leave denominators well above 0."""
    module = Attention(config, D, H, layout, CONTEXT)
    generator = torch.Generator().manual_seed(seed)
    for key, parameter in module.named_parameters():
        gate = key in GATES
        nn.init.normal_(parameter, float(gate), 0.2 if gate else 0.4, generator=generator)
    return module.double()


def tokens(count: int = LAYOUT.tokens, seed: int = 9) -> Tensor:
    """Inputs (B, N, D) in float64."""
    return torch.randn(B, count, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def keeps_shape(config: AttentionConfig) -> str | None:
    """(B, N, D) to (B, N, D) in the input's dtype, at every length where there is no grid."""
    lengths = [LAYOUT.tokens] if _needs_grid(config) else [1, 2, 7, LAYOUT.tokens]
    for length in lengths:
        layout = LAYOUT if length == LAYOUT.tokens else None
        for dtype in (torch.float32, torch.float64):
            out = made(config, layout=layout).to(dtype)(tokens(length).to(dtype))
            if out.shape != (B, length, D) or out.dtype != dtype:
                return f"{length} tokens of {D} channels in {dtype} give {tuple(out.shape)} in {out.dtype}"
    return ""


def reaches_parameters(config: AttentionConfig) -> str | None:
    """A gradient that is finite and not all 0 reaches every parameter."""
    module = made(config)
    module(tokens()).square().sum().backward()
    still = [key for key, p in module.named_parameters() if p.grad is None or not p.grad.any()]
    broken = [key for key, p in module.named_parameters() if p.grad is not None and not p.grad.isfinite().all()]
    return "; ".join(
        f"{what} {', '.join(names)}"
        for what, names in (("no gradient reaches", still), ("not finite:", broken))
        if names
    )


def is_finite(config: AttentionConfig) -> str | None:
    """Outputs and gradients are finite, in float32 and in bfloat16, for inputs of 0 to 30; at 0, q, k and v are 0."""
    for scale in SCALES:
        for bfloat16 in (False, True):
            module, x = made(config).float(), (scale * tokens()).float().requires_grad_()
            if scale == 0:
                nn.init.zeros_(module.qkv.bias)
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                out = module(x)
            out.float().sum().backward()
            gradients = [p.grad for p in (x, *module.parameters()) if p.grad is not None]
            for what, found in (("outputs", [out]), ("gradients", gradients)):
                if not all(u.isfinite().all() for u in found):
                    return f"{what} are not finite in {'bfloat16' if bfloat16 else 'float32'} at inputs of {scale:g}"
    return ""


def rounds_little(config: AttentionConfig) -> str | None:
    """Under bfloat16 autocast it computes what it computes in float64."""
    module, x = made(config), tokens()
    exact = module(x).detach()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = module.float()(x.float()).detach()
    share = float((rounded.double() - exact).square().mean().sqrt() / exact.square().mean().sqrt())
    return "" if share < BFLOAT16_SHARE else f"{share:.1%} off in bfloat16; at most {BFLOAT16_SHARE:.0%}"


def keeps_images_apart(config: AttentionConfig) -> str | None:
    """The output of an image does not depend on the others of its batch."""
    module, x = made(config), tokens()
    return _differs(module(x)[1:], module(x[1:]), "an image alone and in a batch")


def gives_rows(config: AttentionConfig) -> str | None:
    """Some rows of the result, as sampling asks for them, are those of all."""
    module, x = made(config), tokens()
    rows = torch.tensor([[3, 22, 10], [7, 8, 4]])
    return _differs(module(x, rows=rows), take(module(x), rows), "some tokens alone and all")


def sees_no_order(config: AttentionConfig) -> str | None:
    """Outputs move with their tokens, unless the design says that order matters."""
    if _needs_grid(config) or NORMALIZATION[config.normalization].averages_queries or config.sequence_conv != "none":
        return None
    if config.conv_kernel:
        return None
    module, x = made(config, layout=None), tokens(11)
    order = torch.randperm(11, generator=torch.Generator().manual_seed(1))
    why = _differs(module(x)[:, order], module(x[:, order]), "outputs of moved tokens and moved outputs")
    return why and f"{why}: a core that sees order must say ordered=True"


def starts_alike(config: AttentionConfig) -> str | None:
    """What is not drawn from the seed, as weights of linear maps are, starts the same each time."""
    made_at = []
    for seed in (1, 2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = Attention(config, D, H, LAYOUT, CONTEXT)
        drawn = [f"{name}." for name, part in module.named_modules() if isinstance(part, SUMMING)]
        made_at.append({key: p for key, p in module.named_parameters() if not key.startswith(tuple(drawn))})
    first, second = made_at
    other = [key for key in first if not torch.equal(first[key], second[key])]
    return f"drawn from torch's global state: {', '.join(other)}" if other else ""


def has_parameters(config: AttentionConfig) -> str | None:
    """Parameters in closed form are those of the module."""
    closed = cost.attention_parameters(config, D, H, LAYOUT.tokens)
    found = sum(p.numel() for p in made(config).parameters())
    return "" if closed == found else f"the closed form gives {closed:,}, the module has {found:,}"


def has_macs(config: AttentionConfig) -> str | None:
    """Multiply-adds in closed form are what torch counts."""

    def build() -> Callable[[], object]:
        module, x = Attention(config, D, H, LAYOUT, CONTEXT), torch.empty(1, LAYOUT.tokens, D)
        return lambda: module(x)

    grid = LAYOUT.height * LAYOUT.width
    closed = cost.attention_macs(config, D, H, LAYOUT.tokens, grid, context=CONTEXT)
    found = counted_macs(build)[ALL]
    same = math.isclose(closed, found, rel_tol=CLOSE)
    return "" if same else f"the closed form gives {closed:,.0f} multiply-adds, torch counts {found:,.0f}"


def is_positive(config: AttentionConfig) -> str | None:
    """A feature map is below 0 nowhere if it says so, and changes neither shape nor dtype."""
    word = config.feature_map
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        u = torch.arange(-50_000, 50_001, dtype=torch.float64).div(2500).to(dtype)
        phi = FEATURE_MAPS[word](u)
        if phi.shape != u.shape or phi.dtype != dtype:
            return f"{tuple(u.shape)} in {dtype} give {tuple(phi.shape)} in {phi.dtype}"
        if FEATURE_MAP[word].positive and (phi < 0).any():
            return f"says positive, and is {float(phi.min()):.3g} at {float(u[phi.argmin()]):.3g} in {dtype}"
    return ""


def is_as_defined(config: AttentionConfig) -> str | None:
    """Outputs and gradients are those of the float64 definition that a plugin gives beside it."""
    own = [kind for p in LOADED.values() for kind in p.provides if p.words[kind.axis][kind.word] in _words(config)]
    twins: dict[str, Any] = {kind.axis: twin for kind in own if (twin := getattr(kind, "exact", None)) is not None}
    if not twins:
        return None
    plain, exact = made(config), made(config)
    exact.normalization = exact.normalization._replace(read=twins.get("normalization", exact.normalization.read))
    exact.feature_map = twins.get("feature_map", exact.feature_map)
    found = []
    for module in (plain, exact):
        x = tokens().requires_grad_()
        out = module(x)
        out.sin().sum().backward()
        found.append((out, x.grad))
    return _differs(found[0][0], found[1][0], "outputs and those of exact") or _differs(
        found[0][1], found[1][1], "gradients and those of exact"
    )


PROPERTIES: dict[str, Callable[[AttentionConfig], str | None]] = {
    "shape and dtype": keeps_shape,
    "gradients reach everything": reaches_parameters,
    "finite": is_finite,
    "bfloat16 as float64": rounds_little,
    "images apart": keeps_images_apart,
    "some rows as all": gives_rows,
    "order of tokens": sees_no_order,
    "same start": starts_alike,
    "parameters": has_parameters,
    "multiply-adds": has_macs,
    "feature map": is_positive,
    "as defined (exact)": is_as_defined,
}


class Finding(NamedTuple):
    """Whether a property holds of a value."""

    name: str
    why: str | None
    """'' if it holds, why not otherwise; None if it is not claimed."""


def designs_of(axis: str, word: str | int) -> list[AttentionConfig]:
    """The designs by which a value is checked: beside defaults, and beside a gate and a convolution."""
    found = []
    for beside in ({}, {"conv_kernel": 3, "kv_gate": "key_value"}):
        try:
            found.append(AttentionConfig.model_validate({**beside, axis: word}))
        except ValueError:  # the two mean nothing together
            continue
    return list(dict.fromkeys(found))


def check(axis: str, word: str | int) -> Iterator[Finding]:
    """Every property of a value of an axis, of its designs; an exception is why one does not hold."""
    for name, holds in PROPERTIES.items():
        found = [_asked(holds, design) for design in designs_of(axis, word)]
        claimed = [why for why in found if why is not None]
        yield Finding(name, next(filter(None, claimed), "" if claimed else None))


def _asked(holds: Callable[[AttentionConfig], str | None], design: AttentionConfig) -> str | None:
    try:
        return holds(design)
    except Exception as error:  # noqa: BLE001, whatever it is, it is why
        return f"{type(error).__name__}: {error}".splitlines()[0]


def _needs_grid(config: AttentionConfig) -> bool:
    return any(value.needs_grid for value in config.values())


def _words(config: AttentionConfig) -> set[str]:
    return {word for word in config.model_dump().values() if isinstance(word, str)}


def _differs(one: Tensor | None, other: Tensor | None, what: str) -> str:
    if one is None or other is None:
        return f"{what}: there is none"
    if torch.allclose(one, other, rtol=CLOSE, atol=CLOSE):
        return ""
    return f"{what} differ by up to {float((one - other).detach().abs().max()):.3g}"

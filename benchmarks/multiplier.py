"""How often the interval of a compute multiplier holds the truth, and excludes 1 without and with cause.

    OMP_NUM_THREADS=1 python benchmarks/multiplier.py [--studies 100] [--out FILE.json]

Sizes a factor 3 apart in cost, noise of 2 % in both designs, correlated 0.8. Studies without any difference: curves
that fall as a power law, to a floor, hardly (a third of the noise from size to size), not at all, or fall and rise; the
spread at the largest size is 1 or 3 times that of the others, or falls from 3 to 1 over the sizes; a seed moves the
ratio of the designs alike at all sizes, by 1 or 3 times the noise of the ratio, or with a trend over sizes. Studies
with a difference: design B needs 1.1, 1.3 or 3 times the cost, or more than can be measured.
"""

import itertools
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

from lina_lab.analysis.match_cells import DESIGN, SHARE, Pairs
from lina_lab.analysis.multiplier import FLOPS, Multiplier, compute_multiplier
from lina_lab.provenance import provenance

NOISE, CORRELATION, STEP = 0.02, 0.8, 3.0
OF_RATIO = NOISE * math.sqrt(2 - 2 * CORRELATION)
DESIGNS = ((3, 3), (4, 2), (4, 3), (5, 5))
"""Sizes and seeds."""
SEEDS = {"seeds apart": (0, 0), "seed 1": (1, 0), "seed 3": (3, 0), "seed trend": (0, 1)}
"""What a seed does to the ratio, in units of its noise: at all sizes alike, and with a trend."""
SCATTER = (*itertools.product(("1x",), SEEDS), ("3x", "seeds apart"), ("3x", "seed 3"), ("falls", "seeds apart"))
Curve = Callable[[np.ndarray], np.ndarray]
"""From log cost, 0 at the smallest size, to log y."""
CURVES: dict[str, Curve] = {
    "power law": lambda c: -0.3 * c,
    "floor": lambda c: np.log(0.1 + np.exp(-0.5 * c)),
    "high floor": lambda c: np.log(1 + np.exp(-0.9 * c)),
    "hardly falls": lambda c: -NOISE / 3 / math.log(STEP) * c,
    "flat": lambda c: 0 * c,
    "falls and rises": lambda c: 0.1 * (c / math.log(STEP) - 1.5) ** 2,
}
FALLING = ("power law", "floor", "high floor", "hardly falls")


def study(rng: np.random.Generator, seeds: int, spread: np.ndarray, moved: np.ndarray, y: list[np.ndarray]) -> Pairs:
    """Pairs of a study. spread: of each size, in units of the noise; moved: (K, S), added to A; y: log, of A and B."""
    sizes = len(spread)
    x = 1e6 * STEP ** np.arange(sizes)
    of_a, other = rng.normal(size=(2, sizes, seeds))
    of_b = CORRELATION * of_a + math.sqrt(1 - CORRELATION**2) * other
    a, b = (np.exp(t[:, None] + NOISE * spread[:, None] * of) for t, of in zip(y, (of_a, of_b), strict=True))
    names = np.tile(np.arange(seeds), sizes).astype(str)
    cost = np.tile(np.repeat(1e6 * x, seeds), 2)
    rows = pd.DataFrame({DESIGN: np.repeat(["A", "B"], sizes * seeds), SHARE: np.tile(names, 2), FLOPS: cost})
    size = np.repeat([f"{n:g}" for n in x], seeds).tolist()
    return Pairs(np.repeat(x, seeds), (a * np.exp(moved)).ravel(), b.ravel(), size, seeds, rows, [], [])


def by_seed(rng: np.random.Generator, sizes: int, seeds: int, alike: float, trend: float) -> np.ndarray:
    slope = np.linspace(-1, 1, sizes)
    slope = slope / math.sqrt((slope**2).mean())
    return OF_RATIO * (alike * rng.normal(size=seeds) + trend * slope[:, None] * rng.normal(size=seeds))


def share(found: list[bool]) -> list[float]:
    """Share and its binomial standard error; none of nothing."""
    if not found:
        return [math.nan, math.nan]
    s = float(np.mean(found))
    return [round(s, 4), round(math.sqrt(s * (1 - s) / len(found)), 4)]


def told(found: list[Multiplier], truth: float = 1) -> dict[str, Any]:
    bounded = [m for m in found if m.low > 0 and math.isfinite(m.high)]
    return {
        "holds the truth": share([m.low <= truth <= m.high for m in found]),
        "excludes 1": share([m.sure for m in found]),
        "has both ends": share([m.low > 0 and math.isfinite(m.high) for m in found]),
        "middle": round(float(np.nanmedian([m.times for m in bounded])), 3) if bounded else None,
    }


def rates(drawn: list[Pairs], level: float, truth: float = 1) -> dict[str, Any]:
    """Over all sizes, and between neighbours all together."""
    found = [compute_multiplier(pairs, FLOPS, level=level) for pairs in drawn]
    whole = [one.overall for one in found if one.overall]
    return {
        "studies": len(whole),
        "all sizes": told(whole, truth),
        "between two sizes": told([m for one in found for m in one.sizes], truth),
    }


def without_difference(studies: int, level: float) -> Iterator[dict[str, Any]]:
    streams = iter(np.random.default_rng(0).spawn(10_000))  # every case has draws of its own
    for sizes, seeds in DESIGNS:
        largest = np.arange(sizes) == sizes - 1
        spreads = {f"{k}x": np.where(largest, k, 1.0) for k in (1, 3)} | {"falls": np.linspace(3, 1, sizes)}
        cost = math.log(STEP) * np.arange(sizes)
        for (name, curve), (spread, seed) in itertools.product(CURVES.items(), SCATTER):
            rng = next(streams)
            y = [curve(cost)] * 2
            drawn = [
                study(rng, seeds, spreads[spread], by_seed(rng, sizes, seeds, *SEEDS[seed]), y) for _ in range(studies)
            ]
            yield {"curve": name, "sizes": sizes, "seeds": seeds, "spread": spread, "seed": seed} | rates(drawn, level)


def with_difference(studies: int) -> Iterator[dict[str, Any]]:
    streams = iter(np.random.default_rng(1).spawn(10_000))
    for (sizes, seeds), name, times in itertools.product(DESIGNS, FALLING, (1.1, 1.3, 3.0, 500.0)):
        rng = next(streams)
        cost = math.log(STEP) * np.arange(sizes)
        y = [CURVES[name](cost), CURVES[name](cost - math.log(times))]
        flat = np.zeros((sizes, seeds))
        drawn = [study(rng, seeds, np.ones(sizes), flat, y) for _ in range(studies)]
        yield {"curve": name, "sizes": sizes, "seeds": seeds, "times": times} | rates(drawn, 0.95, times)


def flattened(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.json_normalize(rows).map(lambda v: v[0] if isinstance(v, list) else v)


def main(
    studies: Annotated[int, typer.Option(help="of each kind")] = 100,
    out: Annotated[Path | None, typer.Option(help="JSON")] = None,
) -> None:
    """Simulate, print, and keep."""
    found = {
        "no difference": list(without_difference(studies, 0.95)),
        "no difference, one of 15 comparisons": list(without_difference(studies, 1 - 0.05 / 15)),
        "a difference": list(with_difference(studies)),
    }
    for name, rows in found.items():
        print(f"\n{name}\n{flattened(rows).to_string(index=False)}")
    if out:
        out.write_text(json.dumps({"provenance": provenance().as_json(), **found}, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)

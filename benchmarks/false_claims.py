"""How often "is better there", "scales better" and "is ahead by a floor" are said of simulated studies of known truth.

    OMP_NUM_THREADS=1 python benchmarks/false_claims.py [--studies 800] [--scaling 150] [--out FILE.json]

Noise of 2 % in both designs, correlated 0.8, sizes a factor 3 apart. Studies without any difference: the spread at the
largest size is 1, 2 or 3 times that of the others, or falls from 3 to 1 over the sizes; a seed moves the ratio of the
designs alike at all sizes, by 1 or 3 times the noise of the ratio, or with a trend over sizes. Studies with one: equal
spread, and a gap of so many standard errors of the mean at the largest size, at every size or growing from 0.
"Before" is what the intervals alone would say: the spread of all sizes together; a slope, and log ratios on a line.
"""

import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

from lina_lab.analysis.comparison import REFUSED
from lina_lab.analysis.gap_model import doubt, gaps, lack_of_fit, line
from lina_lab.analysis.interval import t_interval
from lina_lab.analysis.match_cells import DESIGN, SHARE, Pairs
from lina_lab.analysis.scaling_fit.exponents import exponents
from lina_lab.analysis.spread import gaps_of, within
from lina_lab.provenance import provenance

NOISE, CORRELATION, ALPHA = 0.02, 0.8, 0.05
OF_RATIO = NOISE * math.sqrt(2 - 2 * CORRELATION)
DESIGNS = list(itertools.product((3, 4, 5), (2, 3, 4, 5)))
SEEDS = {"seeds apart": (0, 0), "seed 1": (1, 0), "seed 3": (3, 0), "seed trend": (0, 1)}
"""What a seed does to the ratio, in units of its noise: at all sizes alike, and with a trend."""
CURVES = {
    "floors 4 and 8, exponent 0.5": ((40, 0.5, 4), (40, 0.5, 8)),
    "floors 4 and 8, exponent 0.3": ((40, 0.3, 4), (40, 0.3, 8)),
    "floors 4 and 8, exponent 0.2": ((40, 0.2, 4), (40, 0.2, 8)),
    "floors 0 and 4, exponent 0.5": ((40, 0.5, 0), (40, 0.5, 4)),
    "equal, floor 20": ((40, 0.3, 20), (40, 0.3, 20)),
    "exponents 0.11 and 0.10": ((40, 0.11, 0), (40, 0.10, 0)),
    "exponents 0.35 and 0.30": ((40, 0.35, 0), (40, 0.30, 0)),
    "exponents 0.5 and 0.4": ((40, 0.5, 0), (40, 0.4, 0)),
    "exponents 0.5 and 0.4, floor 3": ((40, 0.5, 3), (40, 0.4, 3)),
}


def study(
    rng: np.random.Generator, sizes: int, seeds: int, spread: np.ndarray, moved: np.ndarray, curves: Any = None
) -> Pairs:
    """Pairs of a study; `moved` (sizes, seeds) is added to the log ratio.

    spread: of each size, in units of the noise.
    """
    x = 1e6 * 3.0 ** np.arange(sizes)
    of_a, other = rng.normal(size=(2, sizes, seeds))
    of_b = CORRELATION * of_a + math.sqrt(1 - CORRELATION**2) * other
    truth = [np.full(sizes, 10.0)] * 2 if curves is None else [e + a * (x / 1e6) ** -alpha for a, alpha, e in curves]
    a, b = (t[:, None] * np.exp(NOISE * spread[:, None] * of) for t, of in zip(truth, (of_a, of_b), strict=True))
    names = np.tile(np.arange(seeds), sizes).astype(str)
    rows = pd.DataFrame({DESIGN: np.repeat(["A", "B"], sizes * seeds), SHARE: np.tile(names, 2)})
    size = np.repeat([f"{n:g}" for n in x], seeds).tolist()
    return Pairs(np.repeat(x, seeds), (a * np.exp(moved)).ravel(), b.ravel(), size, seeds, rows, [], [])


def by_seed(rng: np.random.Generator, sizes: int, seeds: int, alike: float, trend: float) -> np.ndarray:
    slope = np.linspace(-1, 1, sizes)
    slope = slope / math.sqrt((slope**2).mean())
    return OF_RATIO * (alike * rng.normal(size=seeds) + trend * slope[:, None] * rng.normal(size=seeds))


def better(pairs: Pairs) -> tuple[bool, bool]:
    """Whether a design is called better at the largest size: before, and now."""
    z = gaps_of(pairs)[:, None]
    last = {pairs.size[-1]}
    mean = float(z[-pairs.seeds :].mean())
    together, alone = (
        t_interval(mean, math.sqrt(squares[0, 0] / freedom / pairs.seeds), freedom)
        for squares, freedom in (within(pairs, z), within(pairs, z, last))
    )
    before = together.low * together.high > 0
    if not before and alone.low * alone.high <= 0:
        return False, False  # whichever spread it is that the interval takes
    now = gaps(pairs)[-1].ratio
    return before, (now.low > 1 or now.high < 1) and doubt(pairs) is None


def rates(told: list[tuple[bool, ...]], names: tuple[str, ...]) -> dict[str, list[float]]:
    """Share and its binomial standard error."""
    share = np.mean(told, axis=0)
    return {
        n: [round(float(s), 4), round(math.sqrt(s * (1 - s) / len(told)), 4)] for n, s in zip(names, share, strict=True)
    }


def without_difference(studies: int) -> Iterator[dict[str, Any]]:
    for sizes, seeds in DESIGNS:
        largest = np.arange(sizes) == sizes - 1
        spreads = {f"{k}x": np.where(largest, k, 1.0) for k in (1, 2, 3)} | {"falls": np.linspace(3, 1, sizes)}
        for (spread, of_size), (seed, effect) in itertools.product(spreads.items(), SEEDS.items()):
            rng = np.random.default_rng(0)
            drawn = [study(rng, sizes, seeds, of_size, by_seed(rng, sizes, seeds, *effect)) for _ in range(studies)]
            told = rates([better(pairs) for pairs in drawn], ("before", "now"))
            yield {"sizes": sizes, "seeds": seeds, "spread": spread, "seed": seed} | told


def with_difference(studies: int) -> Iterator[dict[str, Any]]:
    for (sizes, seeds), errors in itertools.product(DESIGNS, (3, 4.5, 7, 11)):
        for shape, growth in (("every size", np.ones(sizes)), ("growing from 0", np.linspace(0, 1, sizes))):
            rng = np.random.default_rng(0)
            moved = (errors * OF_RATIO / math.sqrt(seeds) * growth)[:, None] * np.ones(seeds)
            told = [better(study(rng, sizes, seeds, np.ones(sizes), moved)) for _ in range(studies)]
            yield {"sizes": sizes, "seeds": seeds, "standard errors": errors, "gap": shape} | rates(
                told, ("before", "now")
            )


def scaling(studies: int) -> Iterator[dict[str, Any]]:
    """Of claims of scaling all that depends on the curves, but not the forms' predictions."""
    for (sizes, seeds), (name, curves) in itertools.product(((4, 3), (5, 5)), CURVES.items()):
        rng = np.random.default_rng(0)
        told = []
        for _ in range(studies):
            pairs = study(rng, sizes, seeds, np.ones(sizes), np.zeros((sizes, seeds)), curves)
            slope, joint = line(pairs).slope, exponents(pairs)
            before = slope.low * slope.high > 0 and lack_of_fit(pairs) >= ALPHA
            refused = joint.one < REFUSED * ALPHA
            told.append((before, before and refused, not refused and max(joint.no_floor, joint.one_floor) < ALPHA))
        names = ("scales better, before", "scales better, now", "ahead by a floor")
        yield {"sizes": sizes, "seeds": seeds, "truth": name} | rates(told, names)


def main(
    studies: Annotated[int, typer.Option(help="of each kind, for better there")] = 800,
    scaling_studies: Annotated[int, typer.Option("--scaling", help="of each kind, for scales better")] = 150,
    out: Annotated[Path | None, typer.Option(help="JSON")] = None,
) -> None:
    """Simulate, print, and keep."""
    found = {
        "better there, no difference": list(without_difference(studies)),
        "better there, equal spread": list(with_difference(studies // 2)),
        "scaling": list(scaling(scaling_studies)),
    }
    for name, rows in found.items():
        print(f"\n{name}\n{pd.DataFrame(rows).to_string(index=False)}")
    if out:
        out.write_text(json.dumps({"provenance": provenance().as_json(), **found}, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)

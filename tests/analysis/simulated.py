"""Studies of two designs with known truth: y = E + A (N / 1M)^-alpha, noise of 2 %, correlated 0.8 between them."""

from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd

from lina_lab.analysis.match_cells import DESIGN, SHARE, Columns, Pairs, matched

COLUMNS = Columns("parameters", "fid", ("design",), None)
STEP = 3.0
"""Sizes are this factor apart."""


class Truth(NamedTuple):
    """What y is without noise."""

    factor: float
    alpha: float
    floor: float = 0.0

    def at(self, x):
        return self.floor + self.factor * (np.asarray(x) / 1e6) ** -self.alpha


class Case(NamedTuple):
    a: Truth
    b: Truth

    def ratio(self, x) -> float:
        return self.a.at(x) / self.b.at(x)


APART = Case(Truth(40, 0.11), Truth(40, 0.10))
EQUAL = Case(Truth(40, 0.3), Truth(40, 0.3))
SHARED_FLOOR = Case(Truth(40, 0.3, floor=20), Truth(44, 0.3, floor=20))
EQUAL_FLOOR = Case(Truth(40, 0.3, floor=20), Truth(40, 0.3, floor=20))
OTHER_FLOOR = Case(Truth(40, 0.5, floor=4), Truth(40, 0.5, floor=8))
CASES = {
    "apart": APART,
    "equal": EQUAL,
    "shared floor": SHARED_FLOOR,
    "equal floor": EQUAL_FLOOR,
    "other floor": OTHER_FLOOR,
}


def sizes(count: int) -> np.ndarray:
    return 1e6 * STEP ** np.arange(count)


def values(
    case: Case, rng: np.random.Generator, num_sizes: int, seeds: int, noise: float = 0.02
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, and y of both designs, size by size and of each every seed."""
    x = np.repeat(sizes(num_sizes), seeds)
    of_a, other = rng.normal(size=(2, len(x)))
    of_b = 0.8 * of_a + 0.6 * other
    return x, case.a.at(x) * np.exp(noise * of_a), case.b.at(x) * np.exp(noise * of_b)


def table(
    case: Case, rng: np.random.Generator, num_sizes: int = 4, seeds: int = 3, noise: float = 0.02
) -> pd.DataFrame:
    """A study as a results table, tuned and of equal exposure."""
    x, a, b = values(case, rng, num_sizes, seeds, noise)
    sides = [
        pd.DataFrame(
            {
                "design": name,
                "size": names(num_sizes, seeds),
                "seed": np.tile(np.arange(seeds), num_sizes),
                "state": "done",
                "parameters": x,
                "fid": y,
                "samples_seen": 25600,
                "learning_rate": 1e-3,
                "learning_rate_inside": True,
                "tune_trials": 8,
            }
        )
        for name, y in (("new", a), ("old", b))
    ]
    return pd.concat(sides, ignore_index=True)


def names(num_sizes: int, seeds: int) -> list[str]:
    return [f"size{i}" for i in range(num_sizes) for _ in range(seeds)]


def study(case: Case, rng: np.random.Generator, num_sizes: int = 4, seeds: int = 3) -> Pairs:
    """The pairs of such a table, without the way there, which thousands of them have no time for."""
    return Pairs(*values(case, rng, num_sizes, seeds), names(num_sizes, seeds), seeds, rows(num_sizes, seeds), [], [])


@cache
def rows(num_sizes: int, seeds: int) -> pd.DataFrame:
    number = num_sizes * seeds
    shares = [str(seed) for seed in range(seeds)] * num_sizes
    return pd.DataFrame({DESIGN: np.repeat(["A", "B"], number), SHARE: shares * 2})


def paired(drawn: pd.DataFrame) -> Pairs:
    return matched(drawn, COLUMNS, ["new"], ["old"])

"""Studies of two designs over sizes and lengths with known truth: y = 0.5 + 30 N^-0.4 + 100 D^-0.35, noise of 1 %.

The second needs `FACTOR` times the data. Noise goes 0.8 together in the two designs, and through the lengths of a run.
"""

from typing import NamedTuple

import numpy as np

from lina_lab.analysis.scaling_fit.joint import Data, as_data
from lina_lab.analysis.scaling_fit.likelihood_ratio import Clusters

FACTOR, NOISE = 0.7, 0.01
SCENARIOS = {
    "no difference": "both designs are the same",
    "factor": "the second needs 0.7 times the data; every length is a run of its own",
    "points of runs": "the same; nine tenths of the noise's variance is common to all lengths of a size and seed",
    "unequal spread": "the same, and three times the noise at the largest size",
    "seeds": "the same, and a seed moves all sizes, lengths and designs alike by another 1 %",
    "seeds of a design": "the same, and a seed moves all sizes and lengths of one design by 0.5 %",
    "floors differ": "the second needs 0.7 times the data and has the floor 0.45",
    "another exponent": "the second has the exponent 0.30 on data, equal to the first at the middle length",
}


class Shape(NamedTuple):
    """How large a study is."""

    sizes: int = 4
    lengths: int = 4
    seeds: int = 3


def study(scenario: str, shape: Shape, rng: np.random.Generator, draws: int) -> tuple[Data, Clusters]:
    """The values of one study, and which of them go together."""
    grid = np.array(list(np.ndindex(2, *shape)))
    design, size, length, seed = grid.T
    x = np.stack([1e5 * 3.0**size, 1e6 * 2.0**length], axis=1)
    curve = truth(scenario, x, design)
    of_run = 0.9 if scenario == "points of runs" else 0.0

    def normal(*, shared: bool) -> np.ndarray:
        """Of every point, and partly of every run; of a design, or of all.  # (n,)"""
        points = rng.normal(size=(2, *shape))
        runs = rng.normal(size=(2, shape.sizes, 1, shape.seeds))
        each = np.sqrt(of_run) * runs + np.sqrt(1 - of_run) * points
        return np.broadcast_to(each[:1], each.shape).ravel() if shared else each.ravel()

    noise = NOISE * (np.sqrt(0.8) * normal(shared=True) + np.sqrt(0.2) * normal(shared=False))
    if scenario == "unequal spread":
        noise = noise * np.where(size == shape.sizes - 1, 3, 1)
    if scenario == "seeds":
        noise = noise + rng.normal(0, NOISE, shape.seeds)[seed]
    if scenario == "seeds of a design":
        noise = noise + rng.normal(0, NOISE / 2, (2, shape.seeds))[design, seed]
    clusters = Clusters(size * shape.seeds + seed, draws)
    return as_data("surface", x, curve * np.exp(noise), design), clusters


def truth(scenario: str, x: np.ndarray, design: np.ndarray) -> np.ndarray:
    """y without noise."""
    second = design == 1
    floor = np.where(second & (scenario == "floors differ"), 0.45, 0.5)
    data = x[:, 1] / np.where(second & (scenario not in {"no difference", "another exponent"}), FACTOR, 1)
    middle = 2e6 * np.sqrt(2)
    exponent = np.where(second & (scenario == "another exponent"), 0.30, 0.35)
    return floor + 30 * x[:, 0] ** -0.4 + 100 * middle**-0.35 * (data / middle) ** -exponent

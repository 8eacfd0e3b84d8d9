"""What goes together: all lengths and designs of one size and seed; without seeds every point by itself."""

import numpy as np
import pandas as pd

from lina_lab.analysis.scaling_fit.clusters import clusters

ROWS = pd.DataFrame(
    [
        {"design": k, "size": f"s{n}", "parameters": 1e5 * 4**n * (1 + 0.1 * k), "samples_seen": d, "seed": s}
        for k in range(2)
        for n in range(3)
        for d in (1e6, 2e6)
        for s in range(2)
    ]
)
DESIGN = ROWS["design"].to_numpy()
SIZES = ["parameters", "samples_seen"]


def same(found, *names):
    """Whether clusters are exactly the groups of some columns."""
    pairs = set(zip(found.of_point, ROWS.groupby(list(names)).ngroup(), strict=True))
    return len(pairs) == found.number == ROWS.groupby(list(names)).ngroups


def test_lengths_and_designs_of_one_size_and_seed_go_together():
    assert same(clusters(ROWS, SIZES, DESIGN), "size", "seed")


def test_designs_whose_parameters_differ_a_little_have_the_same_sizes():
    assert same(clusters(ROWS.drop(columns="size"), SIZES, DESIGN), "size", "seed")


def test_designs_of_other_sizes_are_not_matched():
    apart = ROWS.drop(columns="size").assign(parameters=ROWS["parameters"] * np.where(DESIGN, 2, 1))
    assert clusters(apart, SIZES, DESIGN).number == 12


def test_without_seeds_points_stand_alone_but_for_designs():
    table = ROWS.assign(parameters=ROWS["parameters"].round(-5)).drop(columns="seed")
    assert clusters(table.assign(parameters=1e5 * 4.0 ** ROWS["size"].str[1].astype(int)), SIZES, DESIGN).number == 6

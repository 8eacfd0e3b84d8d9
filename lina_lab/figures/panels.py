"""Many designs in several panels: few enough in each to be told apart, few enough in a row for a page."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from lina_lab.config.sweep import Scalar

MOST = 6
"""Most designs in one panel."""
ACROSS = 3
"""Panels side by side at most."""
Designs = Sequence[tuple[Mapping[str, Scalar], pd.DataFrame]]


class Group(NamedTuple):
    """Designs that share a panel, and its title; empty if there is only one panel."""

    title: str
    designs: Designs


def grouped(of_designs: Designs, axes: Sequence[str], most: int = MOST) -> list[Group]:
    """All designs in one panel, or a panel for each value of their last axis that has several values.

    Groups that are still too large are split evenly, in order.
    """
    several = [axis for axis in axes if len({values[axis] for values, _ in of_designs}) > 1]
    if len(of_designs) <= most:
        return [Group("", of_designs)]
    if len(several) < 2:
        count = math.ceil(len(of_designs) / most)
        size = math.ceil(len(of_designs) / count)
        name = several[0] if several else "designs"
        dealt = [of_designs[first : first + size] for first in range(0, len(of_designs), size)]
        return [Group(f"{name}, {number} of {len(dealt)}", part) for number, part in enumerate(dealt, start=1)]
    last = several[-1]
    panels: dict[Scalar, list[tuple[Mapping[str, Scalar], pd.DataFrame]]] = {}
    for values, rows in of_designs:
        panels.setdefault(values[last], []).append((values, rows))
    return [
        Group(", ".join(filter(None, (f"{last} {value}", inner.title))), inner.designs)
        for value, group in panels.items()
        for inner in grouped(group, several[:-1], most)
    ]


def rows_of(count: int, across: int = ACROSS) -> tuple[int, int]:
    """Rows and columns of a grid for so many panels."""
    columns = min(count, across)
    return math.ceil(count / columns), columns

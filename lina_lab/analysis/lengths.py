"""Rows of a results table that are points along a run: they belong to questions of length alone.

A run gives a row for its end, and one for each point before it (`evaluation.at`). Points of one run are correlated, and
those of different runs at one share are not ends of training: whatever compares cells takes the ends.
"""

from collections.abc import Collection

import numpy as np
import pandas as pd
from numpy.typing import NDArray

AT = "at"
"""The share of the steps that a row is measured at, 1 at the end of the run; no column where a study has no points."""
RUN = "key"
"""What the rows of one run share."""
LENGTHS = {"steps", "samples_seen", "flops_training"}
"""Columns of length: rows that are told apart by one of them may be points along a run."""


def has_points(table: pd.DataFrame) -> bool:
    """Whether a table is one of the lab's, with points along its runs."""
    return RUN in table and AT in table and pd.api.types.is_numeric_dtype(table[AT])


def ends(table: pd.DataFrame) -> pd.DataFrame:
    """The rows that are ends of runs: one a cell, done or not."""
    return table[table[AT] == 1] if has_points(table) else table


def before_the_end(table: pd.DataFrame) -> pd.DataFrame:
    """The rows that are points before the end of their run; none of a table without points."""
    return table[table[AT] < 1] if has_points(table) else table.iloc[:0]


def rows_about(table: pd.DataFrame, sizes: Collection[str]) -> pd.DataFrame:
    """All rows if one of the sizes is a length, otherwise the ends of runs."""
    return table if LENGTHS & set(sizes) else ends(table)


def runs(table: pd.DataFrame) -> NDArray[np.intp] | None:
    """The number of each row's run, from 0; None where no run has two rows.  # (n,)"""
    if not has_points(table) or not table[RUN].duplicated().any():
        return None
    return np.unique(table[RUN].astype(str), return_inverse=True)[1]

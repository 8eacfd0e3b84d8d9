"""Which rows of a table have errors that go together, in all designs."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lina_lab.analysis.match_cells import MAX_RATIO
from lina_lab.analysis.scaling_fit.likelihood_ratio import Clusters
from lina_lab.analysis.table import SIZE_AXIS

SEED = "seed"


def clusters(rows: pd.DataFrame, sizes: Sequence[str], design: NDArray[np.intp]) -> Clusters:
    """What is of one size and seed: runs of one seed share their draws, and lengths of one size their beginning.

    Without a column `seed` every x, or (x, d), is one.

    sizes: the columns x and, for a surface, d.
    design: the number of each row's design.  # (n,)
    """
    if SEED in rows and rows[SEED].notna().all():
        keys = [_size(rows, sizes[0], design), rows[SEED].astype(str)]
    else:
        keys = [rows[name] for name in sizes]
    each = pd.DataFrame(dict(enumerate(keys)))
    return Clusters(np.asarray(each.groupby(list(each)).ngroup(), dtype=np.intp))


def _size(rows: pd.DataFrame, x: str, design: NDArray[np.intp]) -> "pd.Series[str]":
    """By the column `size`; or by the place in the order of x, where designs have as many sizes of about equal x; or x.

    A convolution or a gate adds parameters to a size.
    """
    if SIZE_AXIS in rows and rows[SIZE_AXIS].notna().all():
        return rows[SIZE_AXIS].astype(str)
    of_design = [np.unique(rows.loc[design == k, x]) for k in range(design.max() + 1)]
    if len({len(sizes) for sizes in of_design}) == 1:
        apart = np.stack(of_design)
        if (apart.max(axis=0) / apart.min(axis=0) <= MAX_RATIO).all():
            return pd.Series(rows[x].groupby(design).rank("dense"), rows.index).astype(str)
    return rows[x].astype(str)

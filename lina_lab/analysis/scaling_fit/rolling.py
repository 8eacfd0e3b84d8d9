"""Errors of a form at every size: fitted to all sizes below, it predicts that size. One held-out size is one draw."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lina_lab.analysis.scaling_fit.fits import fit, predict, refusal

MOST = 12
"""Sizes, from the largest: where every point has a size of its own, smaller ones say little and cost as much."""


class HeldOut(NamedTuple):
    """A size that was predicted, its rows averaged in log y."""

    x: float
    y: float
    predicted: float

    @property
    def error(self) -> float:
        """Predicted over measured, less 1."""
        return self.predicted / self.y - 1

    def as_record(self) -> dict[str, float]:
        """x, y, predicted and relative_error, for JSON."""
        return {**self._asdict(), "relative_error": self.error}


def rolling(form: str, x: ArrayLike, y: ArrayLike, column: int = 0) -> list[HeldOut]:
    """Every size whose smaller ones allow the form, smallest first; the largest, if it is there, is the last.

    column: of x, (n,) or (n, columns), over which sizes are rolled; of a surface 0 or 1.
    """
    points, values = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    sizes = points if points.ndim == 1 else points[:, column]
    held = []
    for size in np.unique(sizes)[1:][-MOST:]:
        below, at = sizes < size, sizes == size
        if refusal(form, points[below]):
            continue
        predicted = predict(form, fit(form, points[below], values[below]).params, points[at])
        held.append(HeldOut(float(size), *(math.exp(np.log(each).mean()) for each in (values[at], predicted))))
    return held

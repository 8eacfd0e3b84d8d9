"""How long cells that have not run will take, from the measured seconds of cells that have."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from lina_lab.analysis.match_cells import as_text
from lina_lab.analysis.table import SIZE_AXIS
from lina_lab.config.sweep import Scalar
from lina_lab.fact_names import column

TRAINING, DRAWING, MEASURING = (column(f"seconds.{part}") for part in ("training", "sampling", "evaluation"))
PARAMETERS, FLOPS, FLOPS_AN_IMAGE = column("parameters.total"), column("flops.training"), column("flops.sampling")
IMAGES = "num_generated"
NEEDED = (TRAINING, DRAWING, MEASURING, PARAMETERS, FLOPS, FLOPS_AN_IMAGE, IMAGES)


class Work(NamedTuple):
    """What a cell has to do."""

    parameters: float
    training: float
    """FLOPs."""
    drawing: float
    """FLOPs of the images that are measured."""


class Duration(NamedTuple):
    seconds: float
    """Of training, drawing and measuring, on a worker beside others."""
    extrapolated: bool
    """Whether no cell of its size has been timed, so that the time goes with the FLOPs of the nearest size."""


def timed_cells(table: pd.DataFrame) -> pd.DataFrame:
    """The finished rows of a results table that say how long they took; none of a table without seconds."""
    if any(name not in table for name in NEEDED):
        return table.iloc[:0]
    return table[table["state"] == "done"].dropna(subset=[*NEEDED])


def duration(timed: pd.DataFrame, values: Mapping[str, Scalar], work: Work) -> Duration:
    """Of a cell with these axis values, by the timed cells that are nearest to it: of its size, and of its design.

    Training goes with its FLOPs, drawing with those of its images; measuring takes as long as there.

    Raises:
        ValueError: if no cell was timed.
    """
    if timed.empty:
        raise ValueError("no cell was timed")
    away = np.abs(np.log(timed[PARAMETERS].to_numpy(dtype=float) / work.parameters))
    same = (timed[SIZE_AXIS].map(as_text) == as_text(values.get(SIZE_AXIS))).to_numpy()
    rows = timed[same] if same.any() else timed[away <= away.min() * 1.25 + 0.25]
    for axis, value in values.items():
        alike = rows[rows[axis].map(as_text) == as_text(value)] if axis in rows and axis != SIZE_AXIS else rows
        rows = rows if alike.empty else alike
    training = float((rows[TRAINING] / rows[FLOPS]).mean()) * work.training
    drawing = float((rows[DRAWING] / (rows[FLOPS_AN_IMAGE] * rows[IMAGES])).mean()) * work.drawing
    return Duration(training + drawing + float(rows[MEASURING].mean()), not same.any())

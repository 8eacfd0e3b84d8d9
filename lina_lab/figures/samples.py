"""Samples side by side: designs down, sizes across."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from lina_lab.analysis.samples import CLASSES, PER_CLASS, Samples
from lina_lab.analysis.table import SIZE_AXIS, design_axes, design_label, designs
from lina_lab.figures.style import new_figure, style
from lina_lab.ledger.plan import Plan


def samples_figure(samples: Mapping[str, Samples], table: pd.DataFrame, plan: Plan) -> Figure | None:
    """The first generated images of each design and size under the first seed; None if there are none yet.

    All cells of a seed start from the same noise and order, so images at one place are comparable.
    """
    table = table[table["seed"] == table["seed"].min()]
    sizes = list(dict.fromkeys(table[SIZE_AXIS])) if SIZE_AXIS in table else [None]
    rows = list(designs(table, design_axes(plan)))
    if not any(key in samples for key in table["key"]):
        return None
    with style():
        figure = new_figure(1.0 + 2.7 * len(sizes), 0.3 + 1.5 * len(rows))
        panels = figure.subplots(len(rows), len(sizes), squeeze=False)
        for (values, cells), line in zip(rows, panels, strict=True):
            for size, panel in zip(sizes, line, strict=True):
                cell = cells if size is None else cells[cells[SIZE_AXIS] == size]
                _show(panel, samples, cell)
                if values == rows[0][0]:
                    panel.set_title(size or "")
            line[0].set_ylabel(design_label(values).replace(", ", "\n"), fontsize=8)
    return figure


def _show(panel: Axes, samples: Mapping[str, Samples], cell: pd.DataFrame) -> None:
    panel.set_xticks([])
    panel.set_yticks([])
    panel.grid(visible=False)
    for spine in panel.spines.values():
        spine.set_visible(False)
    shown = samples.get(cell["key"].iloc[0]) if len(cell) else None
    if shown is None:
        state = cell["state"].iloc[0] if len(cell) else "no cell"
        panel.text(0.5, 0.5, state, ha="center", va="center", transform=panel.transAxes)
        return
    panel.imshow(mosaic(shown.images, shown.labels), interpolation="nearest")


def mosaic(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """`PER_CLASS` images of each of the first `CLASSES` classes, a class a column: one (height, width, 3) image."""
    classes = np.unique(labels)[:CLASSES]
    columns = [images[labels == label][:PER_CLASS] for label in classes]
    height, width = images.shape[1:3]
    factor = max(1, 16 // height)
    sheet = np.full((PER_CLASS * (height + 1) - 1, len(classes) * (width + 1) - 1, 3), 255, np.uint8)
    for x, column in enumerate(columns):
        for y, image in enumerate(column):
            sheet[y * (height + 1) : y * (height + 1) + height, x * (width + 1) : x * (width + 1) + width] = image
    return np.asarray(Image.fromarray(sheet).resize((sheet.shape[1] * factor, sheet.shape[0] * factor), 0))

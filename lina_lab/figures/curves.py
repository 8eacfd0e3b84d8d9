"""Training curves: held-out loss of the averaged weights against samples seen, one panel a size."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from lina_lab.analysis.table import SIZE_AXIS, design_axes, design_label, designs, human
from lina_lab.config.sweep import Scalar
from lina_lab.figures.style import design_style, new_figure, style
from lina_lab.plans import StoredPlan


def training_figure(curves: pd.DataFrame, table: pd.DataFrame, plan: StoredPlan) -> Figure | None:
    """The mean over seeds, with a band from the lowest to the highest; None if no cell has a validation."""
    if curves.empty:
        return None
    sizes = list(dict.fromkeys(table[SIZE_AXIS])) if SIZE_AXIS in table else [None]
    with style():
        figure = new_figure(2.2 + 2.6 * len(sizes), 3.4)
        panels = figure.subplots(1, len(sizes), sharey=True, squeeze=False)[0]
        for panel, size in zip(panels, sizes, strict=True):
            part = table if size is None else table[table[SIZE_AXIS] == size]
            for values, rows in designs(part, design_axes(plan)):
                _draw(panel, values, curves[curves["key"].isin(rows["key"])])
            panel.set_title(size or "")
            panel.set_xlabel("training samples seen")
            panel.xaxis.set_major_formatter(FuncFormatter(lambda n, _: human(n)))
        panels[0].set_ylabel("held-out loss, averaged weights")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", fontsize=7)
    return figure


def _draw(panel: Axes, values: Mapping[str, Scalar], curves: pd.DataFrame) -> None:
    look = design_style(values) | {"markersize": 3, "linewidth": 1.0}
    seeds = curves.groupby("samples")["loss"].agg(["mean", "min", "max"])
    panel.plot(seeds.index, seeds["mean"], label=design_label(values), **look)
    panel.fill_between(seeds.index, seeds["min"], seeds["max"], color=look["color"], alpha=0.12, linewidth=0)

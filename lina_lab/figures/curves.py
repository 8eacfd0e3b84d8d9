"""Training curves: held-out loss of the averaged weights against samples seen, one panel a size."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from lina_lab.analysis.table import SIZE_AXIS, design_axes, design_label, designs, human
from lina_lab.figures.style import design_style, new_figure, style
from lina_lab.ledger import StoredPlan, read_metrics

LOSS = "val/loss"


def curves_table(runs: Path, table: pd.DataFrame) -> pd.DataFrame:
    """One row a validation: key, step, samples seen, loss."""
    rows = []
    for cell in table.dropna(subset=["samples_seen"]).to_dict("records"):
        each = cell["samples_seen"] / cell["steps"] if cell["steps"] else 0
        metrics = [m for m in read_metrics(runs / cell["key"]) if m.metric == LOSS]
        rows += [{"key": cell["key"], "step": m.step, "samples": m.step * each, "loss": m.value} for m in metrics]
    return pd.DataFrame(rows, columns=["key", "step", "samples", "loss"])


def training_figure(runs: Path, table: pd.DataFrame, plan: StoredPlan) -> Figure | None:
    """Thin lines are seeds, the same look as in the scaling figure; None if no cell has a validation."""
    curves = curves_table(runs, table)
    if curves.empty:
        return None
    sizes = list(dict.fromkeys(table[SIZE_AXIS])) if SIZE_AXIS in table else [None]
    with style():
        figure = new_figure(1.2 + 2.6 * len(sizes), 3.2)
        panels = figure.subplots(1, len(sizes), sharey=True, squeeze=False)[0]
        for panel, size in zip(panels, sizes, strict=True):
            part = table if size is None else table[table[SIZE_AXIS] == size]
            for values, rows in designs(part, design_axes(plan)):
                look = design_style(values) | {"markersize": 3, "linewidth": 1.0}
                for number, key in enumerate(rows["key"]):
                    curve = curves[curves["key"] == key]
                    panel.plot(curve["samples"], curve["loss"], label=None if number else design_label(values), **look)
            panel.set_title(size or "")
            panel.set_xlabel("training samples seen")
            panel.xaxis.set_major_formatter(FuncFormatter(lambda n, _: human(n)))
        panels[0].set_ylabel("held-out loss, averaged weights")
        panels[0].legend()
    return figure

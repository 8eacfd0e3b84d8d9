"""Where the time of a training step goes: a bar for each part of a model."""

import pandas as pd
from matplotlib.figure import Figure

from lina_lab.figures.panels import panel_grid
from lina_lab.figures.style import style

FORWARD, BACKWARD = "#0072B2", "#D55E00"
BAR_INCHES = 0.2


def parts_figure(components: pd.DataFrame) -> Figure | None:
    """Milliseconds of forward and backward, stacked, part by part; None where nothing was measured.

    A part within a stack (`decoder: mlp`) is also in the bar of the stack, and its own bar is thin.
    """
    rows = components.dropna(subset=["forward_ms", "backward_ms"])
    if rows.empty:
        return None
    labels = [
        f"{part} ({count})" if count > 1 else part for part, count in zip(rows["part"], rows["count"], strict=True)
    ]
    with style():
        grid = panel_grid(1, 2, 0.6 + BAR_INCHES * len(rows))
        (axes,) = grid.panels
        height = [0.4 if ":" in part else 0.75 for part in rows["part"]]
        axes.barh(labels, rows["forward_ms"], height, color=FORWARD, label="forward")
        axes.barh(labels, rows["backward_ms"], height, left=rows["forward_ms"], color=BACKWARD, label="backward")
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(f"milliseconds, batch {rows['batch'].iloc[0]} ({rows['device'].iloc[0]})")
        axes.legend(loc="lower right")
    return grid.figure

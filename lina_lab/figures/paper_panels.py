"""What the figures for a paper share: sizes of a page, panels side by side or stacked, one legend below."""

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lina_lab.figures.style import new_figure

PAGE_INCHES = {1: 3.4, 2: 7.0}
"""Width of a figure that fills one or two columns."""
LEGEND_INCHES = 0.2


def panels(columns: int, count: int, height: float, legend_rows: int = 2) -> tuple[Figure, list[Axes]]:
    """`count` panels: in a row across two columns, or stacked in one."""
    rows = 1 if columns == 2 else count
    figure = new_figure(PAGE_INCHES[columns], rows * height + LEGEND_INCHES * legend_rows)
    grid = figure.subplots(rows, count // rows, squeeze=False)
    return figure, list(grid.flat)


def legend_below(figure: Figure, across: int) -> None:
    """One legend for all panels, each label once."""
    handles: dict[str, Artist] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(
        list(handles.values()), list(handles), loc="outside lower center", ncols=across, fontsize=7, columnspacing=1.2
    )

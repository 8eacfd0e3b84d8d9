"""Composition scores by category, for combinations seen in training and for held-out ones."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lina_lab.analysis.names import design_names
from lina_lab.analysis.table import SIZE_AXIS, design_axes, designs
from lina_lab.figures.panels import Group, entitle, grouped, legend_below, panel_grid
from lina_lab.figures.style import Looks, design_looks, fitted, named, style
from lina_lab.ledger.plan import Plan

PREFIX = "eval/composition/"
CATEGORIES = ("single_object", "two_object", "counting", "colors", "position", "color_attr", "overall")
PARTS = {"": "asked for in training too", "_heldout": "never shown in training"}
PANEL_INCHES = 2.0
SPREAD = 0.7
"""Width that the designs of a category take, as a fraction of the distance between categories."""


def composition_figure(table: pd.DataFrame, plan: Plan) -> Figure | None:
    """Share of pictures that are right, by category, a panel for seen and one for held-out combinations.

    Cells of the largest size; a dot is the mean over seeds, small dots are single seeds, a bar is the 95 % interval
    over captions and images of the first seed. None where nothing was scored.
    """
    if f"{PREFIX}overall" not in table:
        return None
    table = table.dropna(subset=[f"{PREFIX}overall"])
    if SIZE_AXIS in table:
        table = table[table[SIZE_AXIS] == table.nlargest(1, "parameters")[SIZE_AXIS].iloc[0]]
    of_designs = list(designs(table, design_axes(plan)))
    looks, groups = (
        design_looks(values for values, _ in of_designs),
        grouped(of_designs, design_axes(plan), design_names(plan)),
    )
    with style():
        grid = panel_grid(2 * len(groups), 2, PANEL_INCHES, 2, "y")
        places = [(group, suffix, title) for group in groups for suffix, title in PARTS.items()]
        for axes, (group, suffix, _) in zip(grid.panels, places, strict=True):
            _draw(axes, group, suffix, looks)
        entitle(grid, [", ".join(filter(None, (group.title, title))) for group, _, title in places])
        for panel in grid.left:
            panel.set_ylabel(fitted("share of pictures that are right", PANEL_INCHES - 0.6))
        grid.panels[0].set_ylim(-0.03, max(0.3, grid.panels[0].get_ylim()[1]))
        legend_below(grid.figure)
    return grid.figure


def _draw(axes: Axes, group: Group, suffix: str, looks: Looks) -> None:
    of_designs = group.designs
    names = [name for name in CATEGORIES if any(f"{PREFIX}{name}{suffix}" in cells for _, cells in of_designs)]
    step = SPREAD / max(1, len(of_designs))
    for number, (values, cells) in enumerate(of_designs):
        look = looks(values) | {"linestyle": "none", "markersize": 3}
        places = [place + (number - (len(of_designs) - 1) / 2) * step for place in range(len(names))]
        columns = [f"{PREFIX}{name}{suffix}" for name in names]
        axes.plot(places, [cells[column].mean() for column in columns], label=named(values, group.name), **look)
        for place, column in zip(places, columns, strict=True):
            bar = [cells[f"{column}_{end}"].iloc[0] for end in ("low", "high")]
            axes.plot([place, place], bar, color=look["color"], linewidth=0.8)
            if len(cells) > 1:
                axes.plot([place] * len(cells), cells[column], ".", color=look["color"], markersize=2, alpha=0.6)
    axes.set_xticks(range(len(names)), [name.replace("_", "\n") for name in names])

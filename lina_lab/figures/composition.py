"""Composition scores by category, for combinations seen in training and for held-out ones."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lina_lab.analysis.table import SIZE_AXIS, design_axes, designs
from lina_lab.figures.panels import Designs, grouped
from lina_lab.figures.style import Looks, design_looks, named, new_figure, style
from lina_lab.ledger.plan import Plan

PREFIX = "eval/composition/"
CATEGORIES = ("single_object", "two_object", "counting", "colors", "position", "color_attr", "overall")
PARTS = {"": "asked for in training too", "_heldout": "never shown in training"}
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
    looks, groups = design_looks(values for values, _ in of_designs), grouped(of_designs, design_axes(plan))
    with style():
        figure = new_figure(7.0, 3.4 * len(groups))
        grid = figure.subplots(len(groups), 2, sharey=True, width_ratios=[7, 5], squeeze=False)
        for (group_title, group), panels in zip(groups, grid, strict=True):
            for axes, (suffix, title) in zip(panels, PARTS.items(), strict=True):
                _draw(axes, group, suffix, looks)
                axes.set_title(", ".join(filter(None, (group_title, title))), loc="left")
            panels[0].set_ylabel("share of pictures that are right")
        handles = {h.get_label(): h for panels in grid for h in panels[0].get_legend_handles_labels()[0]}
        figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=2)
    return figure


def _draw(axes: Axes, of_designs: Designs, suffix: str, looks: Looks) -> None:
    names = [name for name in CATEGORIES if any(f"{PREFIX}{name}{suffix}" in cells for _, cells in of_designs)]
    step = SPREAD / max(1, len(of_designs))
    for number, (values, cells) in enumerate(of_designs):
        look = looks(values) | {"linestyle": "none", "markersize": 4}
        places = [place + (number - (len(of_designs) - 1) / 2) * step for place in range(len(names))]
        columns = [f"{PREFIX}{name}{suffix}" for name in names]
        axes.plot(places, [cells[column].mean() for column in columns], label=named(values), **look)
        for place, column in zip(places, columns, strict=True):
            bar = [cells[f"{column}_{end}"].iloc[0] for end in ("low", "high")]
            axes.plot([place, place], bar, color=look["color"], linewidth=0.8)
            if len(cells) > 1:
                axes.plot([place] * len(cells), cells[column], ".", color=look["color"], markersize=2, alpha=0.6)
    axes.set_xticks(range(len(names)), [name.replace("_", "\n") for name in names])
    axes.set_ylim(-0.03, 1.03)

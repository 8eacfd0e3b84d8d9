"""Loss of every trial against the value tried, a line a size; and the chosen value against parameters."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from lina_lab.analysis.names import design_names
from lina_lab.analysis.table import SIZE_AXIS, design_axes, designs, human
from lina_lab.analysis.tuning import PowerLaw, power_law
from lina_lab.config.sweep import Scalar
from lina_lab.figures.panels import entitle, panel_grid
from lina_lab.figures.style import design_looks, style
from lina_lab.ledger.plan import Plan

ACROSS = 3
"""Panels side by side at most."""
PANEL_INCHES = 2.0


def tuning_figure(trials: pd.DataFrame, table: pd.DataFrame, plan: Plan, name: str, path: str) -> Figure:
    """A panel a design, and one for the chosen values; `name` and `path` are those of the tuned value."""
    tune = plan.tune or {}
    log = tune["search"][path]["log"]
    groups, names = list(designs(trials, design_axes(plan))), design_names(plan)
    with style():
        across = min(len(groups) + 1, ACROSS)
        grid = panel_grid(len(groups) + 1, 2, PANEL_INCHES, across)
        panels = grid.panels
        for panel, (values, rows) in zip(panels, groups, strict=False):
            panel.set_xscale("log" if log else "linear")
            _draw_trials(panel, rows, table, values, name)
            panel.set_xlabel(name)
            if panel is not panels[0]:
                panel.sharey(panels[0])
        panels[0].set_ylabel(f"{tune['metric']} of a trial")
        panels[0].plot([], [], "*", color="black", markersize=8, label="chosen")
        panels[0].plot([], [], "x", color="black", markersize=4, label="pruned or diverged")
        panels[0].legend()
        _draw_chosen(panels[-1], table, plan, name, log=log)
        entitle(grid, [*(names(values) for values, _ in groups), "chosen"])
    return grid.figure


def _draw_trials(panel: Axes, rows: pd.DataFrame, table: pd.DataFrame, values: Mapping[str, Scalar], name: str) -> None:
    own = table
    for axis, value in values.items():
        own = own[own[axis] == value]
    sizes = list(dict.fromkeys(rows[SIZE_AXIS])) if SIZE_AXIS in rows else [None]
    shades = colormaps["Blues"](np.linspace(0.5, 1, len(sizes)))  # the larger the darker
    for size, shade in zip(sizes, shades, strict=True):
        part = rows if size is None else rows[rows[SIZE_AXIS] == size]
        ended = part.dropna(subset=["loss"]).sort_values(name)
        panel.plot(
            ended[name], ended["loss"], color=shade, marker="o", markersize=3, linewidth=1, label=size or "trials"
        )
        best = own if size is None else own[own[SIZE_AXIS] == size]
        star = ended[ended[name].isin(best[name])]
        panel.plot(star[name], star["loss"], color=shade, marker="*", markersize=9, linestyle="none")
        without = part[part["loss"].isna()]
        top = [0.97] * len(without)
        panel.plot(without[name], top, "x", color=shade, markersize=4, transform=panel.get_xaxis_transform())


def _draw_chosen(panel: Axes, table: pd.DataFrame, plan: Plan, name: str, *, log: bool) -> None:
    of_designs = list(designs(table.dropna(subset=[name, "parameters"]), design_axes(plan)))
    looks, names = design_looks(values for values, _ in designs(table, design_axes(plan))), design_names(plan)
    for values, rows in of_designs:
        chosen = rows.drop_duplicates(subset=["parameters", name])
        law = power_law(chosen["parameters"].tolist(), chosen[name].tolist()) if log else None
        look = looks(values)
        line = look.pop("linestyle")
        panel.plot(chosen["parameters"], chosen[name], linestyle="none", label=_law_label(names(values), law), **look)
        if law is not None:
            ends = [chosen["parameters"].min(), chosen["parameters"].max()]
            fitted = [law.factor * n**law.exponent for n in ends]
            panel.plot(ends, fitted, color=look["color"], linestyle=line, linewidth=1)
    panel.set_xscale("log")
    panel.set_yscale("log" if log else "linear")
    panel.set_xlabel("parameters N")
    panel.set_ylabel(f"chosen {name}")
    panel.xaxis.set_major_formatter(FuncFormatter(lambda n, _: human(n)))
    for axis in (panel.xaxis, panel.yaxis) if log else (panel.xaxis,):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_minor_formatter(NullFormatter())
    panel.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    panel.legend()


def _law_label(name: str, law: PowerLaw | None) -> str:
    if law is None:
        return name
    interval = "" if law.low is None else f" ({law.low:.2f} to {law.high:.2f})"
    return f"{name}: ∝ N^{law.exponent:.2f}{interval}"

"""The page of a sweep that runs: how far it is, loss curves of all cells, samples by step, what went wrong."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup

from lina_lab.analysis.names import Names
from lina_lab.analysis.progress import in_tuning
from lina_lab.analysis.sample_steps import spread, step_of
from lina_lab.analysis.table import SIZE_AXIS
from lina_lab.config.sweep import Scalar
from lina_lab.escape import shown
from lina_lab.figures.style import Looks, design_looks
from lina_lab.ledger.plan import PlannedCell
from lina_lab.metric_names import LOSS, axis_label
from lina_lab.report.cell_page import SHEET_NOTE, cell_name
from lina_lab.report.frame import Parts, part
from lina_lab.report.loss_curves import DesignRuns, Run, panel, span, swatch
from lina_lab.report.watch import CURVES, TRAINING_LOSS, CellLook, Look
from lina_lab.sweep.progress import duration

STATES = ("done", "running", "waiting", "diverged", "pruned", "failed")
MOST_ROWS = 500
"""Cells in the table: of more, those at work or gone wrong first."""
MOST_SHEETS, MOST_STEPS = 24, 12
"""Designs and sizes whose sheets are shown, and steps of each."""
WORST_FIRST = ("failed", "running", "diverged", "waiting", "pruned", "done")
CURVE_NOTE = (
    "Lines are means over the seeds of a design that did not diverge, as far as all of them are that have begun, in a "
    "band from the lowest to the highest; thin lines are single seeds beyond. A run that diverged may leave its panel. "
    "The held-out loss is that of the averaged weights. Of a long run the extremes of every stretch are drawn."
)


class ReportState(NamedTuple):
    """Of the report that follows the end: whether it is there, and what is to be said of it."""

    there: bool = False
    said: str = ""


class Row(NamedTuple):
    key: str
    label: str
    state: str
    values: Sequence[object]


def sweep_parts(look: Look, report: ReportState) -> Parts:
    return {
        "head": part("head", look.plan, look, summary(look), report),
        "trouble": part("trouble", _trouble(look)),
        "curves": part("curves", *_curves(look)),
        "sheets": part("sheets", "sweep", "Samples", *_sheets(look)),
        "cells": part("cells", *_rows(look)),
    }


def summary(look: Look) -> str:
    """'8 done, 1 running, 7 waiting of 16 cells; about 3:56 left'; why nothing goes on, where nothing does."""
    counts = ", ".join(f"{look.states.count(state)} {state}" for state in STATES if state in look.states)
    said = [f"{counts or 'none'} of {len(look.cells)} cells"]
    if tuned := in_tuning(look.plan):
        said.append(f"{tuned} designs still in tuning, with their cells yet to come")
    if "running" in look.states:
        left = look.seconds_left
        said.append("time left not known before the first steps" if left is None else f"about {duration(left)} left")
    elif "waiting" in look.states:
        said.append("no cell is at work: lab sweep with the same file continues")
    return "; ".join(said)


def _trouble(look: Look) -> list[tuple[str, str, str, str]]:
    """Cells that failed or diverged, and those of which nothing was heard: name, link, state and reason."""
    rows: list[tuple[str, str, str, str]] = []
    for one in look.cells:
        reason = one.status.reason or ""
        if one.status.state == "diverged" and one.result is not None:
            reason = f"the loss of step {one.result.diverged_at} is not finite"
        if one.status.state in {"failed", "diverged"} or (one.status.state == "running" and reason):
            rows.append((cell_name(look, one.cell), f"cell/{one.cell.key}", one.status.state, shown(reason)))
    return rows


def design_of(cell: PlannedCell) -> dict[str, Scalar]:
    return {name: value for name, value in cell.values.items() if name != SIZE_AXIS}


def _curves(look: Look) -> tuple[list[tuple[str, list[Markup]]], list[tuple[Markup, str]], str]:
    """Panels by metric, a panel a size; the legend; a note. Of a sweep still in its first trials, those."""
    own = [one for one in look.cells if one.cell.trial is None]
    begun = [one for one in own if one.curves] or [one for one in look.cells if one.curves]
    looks = design_looks(design_of(cell) for cell in (*look.plan.cells, *look.plan.trials))
    groups = [(axis_label(metric), _panels(begun, look.names, looks, metric)) for metric in CURVES]
    named = {look.names(design_of(one.cell)): Markup(swatch(looks(design_of(one.cell)))) for one in begun}  # noqa: S704
    return [group for group in groups if group[1]], [(mark, name) for name, mark in named.items()], CURVE_NOTE


def _panels(cells: Sequence[CellLook], names: Names, looks: Looks, metric: str) -> list[Markup]:
    """A panel a size, all with the same axis of loss."""
    sizes: dict[object, dict[str, list[CellLook]]] = {}
    for one in cells:
        if metric in one.curves and len(one.curves[metric].steps):
            designs = sizes.setdefault(one.cell.values.get(SIZE_AXIS), {})
            designs.setdefault(names(design_of(one.cell)), []).append(one)
    drawn = {size: [_runs(name, ones, looks, metric) for name, ones in named.items()] for size, named in sizes.items()}
    loss = span(runs for designs in drawn.values() for runs in designs)
    if loss is None:
        return []
    return [
        Markup(panel(shown("" if size is None else str(size)), designs, _end(sizes[size], metric), loss))  # noqa: S704
        for size, designs in drawn.items()
    ]


def _runs(name: str, cells: Sequence[CellLook], looks: Looks, metric: str) -> DesignRuns:
    runs = [Run(one.curves[metric], one.status.state == "diverged") for one in cells]
    return DesignRuns(name, looks(design_of(cells[0].cell)), runs)


def _end(designs: Mapping[str, Sequence[CellLook]], metric: str) -> int:
    """The step at the right end: where the longest run of a panel will end, or is."""
    cells = [one for ones in designs.values() for one in ones]
    return max(1, *(one.steps or 0 for one in cells), *(int(one.curves[metric].steps[-1]) for one in cells))


def _sheets(look: Look) -> tuple[list[int], list[tuple[str, str, list[tuple[int, str]]]], str]:
    """Steps of the slider; a row a design and size, of its first seed that has sheets; a note."""
    first: dict[str, CellLook] = {}
    for one in look.cells:
        if one.sheets:
            first.setdefault(one.cell.label, one)
    chosen = list(first.values())[:MOST_SHEETS]
    steps = spread(sorted({step_of(name) for one in chosen for name in one.sheets}), MOST_STEPS)
    rows = []
    for one in chosen:
        kept = [name for name in one.sheets if step_of(name) in steps or name == one.sheets[-1]]
        address = f"sheet/{one.cell.key}"
        pictures = [(step_of(name), f"{address}/{name}") for name in kept]
        rows.append((cell_name(look, one.cell), f"cell/{one.cell.key}", pictures))
    more = f" {len(first) - len(chosen)} more designs and sizes: see their cells." if len(first) > len(chosen) else ""
    return steps, rows, f"The first seed of every design and size. {SHEET_NOTE}{more}"


def _rows(look: Look) -> tuple[list[Row], str]:
    cells = look.cells
    if len(cells) > MOST_ROWS:
        cells = sorted(cells, key=lambda one: WORST_FIRST.index(one.status.state))[:MOST_ROWS]
        return [
            _row(look, one) for one in cells
        ], f"{MOST_ROWS} of {len(look.cells)} cells, those gone wrong or at work first."
    return [_row(look, one) for one in cells], ""


def _row(look: Look, one: CellLook) -> Row:
    status = one.status
    running = status.state == "running"
    loss, held_out = (one.curves[name].values[-1:] if name in one.curves else () for name in (TRAINING_LOSS, LOSS))
    steps = "" if one.steps is None else f"{one.step}/{one.steps}"
    left = duration(status.seconds_left) if running and status.seconds_left is not None else ""
    values = [
        one.cell.seed,
        status.phase if running and status.phase else status.state,
        steps,
        *("".join(f"{value:.4f}" for value in found) for found in (loss, held_out)),
        left,
        shown(" ".join(filter(None, (status.host, status.job)))) if running else "",
    ]
    return Row(key=one.cell.key, label=cell_name(look, one.cell, seed=False), state=status.state, values=values)

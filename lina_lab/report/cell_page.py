"""The page of one cell: curves, samples by step, numbers with their spread, config, log, and where it comes from."""

import base64
import difflib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from lina_lab.analysis.evaluations import evaluations_table, readable_evaluations
from lina_lab.analysis.provenance_facts import facts_of_ledger
from lina_lab.analysis.sample_steps import step_of
from lina_lab.analysis.table import SIZE_AXIS
from lina_lab.errors import LabError
from lina_lab.escape import shown
from lina_lab.figures.style import design_style
from lina_lab.files import write_atomic
from lina_lab.ledger.plan import Plan, PlannedCell
from lina_lab.metric_names import axis_label, find_metric, rank
from lina_lab.report.frame import Parts, page, part
from lina_lab.report.loss_curves import DesignRuns, Run, panel, span
from lina_lab.report.watch import CURVES, CellLook, Look, SweepWatch
from lina_lab.sweep.progress import duration

LOG_LINES, LOG_BYTES = 200, 100_000
"""Of the end of log.txt that are shown, and that are read for it."""
SHEET_NOTE = "Drawn in training with the averaged weights and the same noise at every step; nothing was selected."
Link = Callable[[str], str]
"""From the key of a cell to the address of its page; '' for none."""


def cell_name(look: Look, cell: PlannedCell, *, seed: bool = True) -> str:
    """'division + conv, nano, seed 0'; of a trial what it tries, too."""
    named = look.names(cell.values) if cell.values and cell.trial is None else shown(cell.label or "the one cell")
    return f"{named}, seed {cell.seed}" if seed else named


def cell_parts(runs: Path, look: Look, key: str, link: Link, sheet: Link, home: str = "") -> Parts:
    """The parts of a cell's page, each of them empty where there is nothing to show.

    sheet: from the file name of a sheet to its source.
    """
    one, folder = next(each for each in look.cells if each.cell.key == key), runs / key
    error = _lines(folder / "error.txt") if one.status.state == "failed" else []
    log = _lines(folder / "log.txt")
    return {
        "head": part("cell_head", cell_name(look, one.cell), _facts(look.plan, one), _reason(one), home),
        "curves": part("curves", *_curves(look, one)),
        "sheets": _sheets(one, sheet),
        "numbers": _numbers(folder, look, one),
        "config": part("config", *_config(runs, look, one.cell, link)),
        "error": part("text", "Error", error[-LOG_LINES:], len(error) > LOG_LINES),
        "log": part("text", "Log", log[-LOG_LINES:], len(log) > LOG_LINES),
        "provenance": part("facts", "Where it comes from", _provenance(runs, one)),
    }


def write_cell_pages(runs: Path, plan: Plan, out: Path, keys: Iterable[str] = ()) -> list[Path]:
    """Write cells/KEY.html of these cells of a plan, or of all: self-contained, with every sheet in it.

    Raises:
        LabError: if a key, or the start of one, is of no cell of the plan, or of several.
    """
    look = SweepWatch(runs, plan.name).look()
    chosen = [_key(look.plan, key) for key in keys] or [cell.key for cell in look.plan.everything]
    paths = []
    for key in chosen:

        def embedded(name: str, folder: Path = runs / key / "samples") -> str:
            return f"data:image/png;base64,{base64.b64encode((folder / name).read_bytes()).decode()}"

        name = next(cell_name(look, cell) for cell in look.plan.everything if cell.key == key)
        parts = cell_parts(runs, look, key, lambda other: f"{other}.html" if other in chosen else "", embedded)
        paths.append(out / "cells" / f"{key}.html")
        write_atomic(paths[-1], page(f"{plan.name}: {name}", parts))
    return paths


def _key(plan: Plan, start: str) -> str:
    found = [cell.key for cell in plan.everything if cell.key.startswith(start)]
    if len(found) != 1:
        what = f"stands for {len(found)} cells: {', '.join(found)}" if found else f"no such cell in {plan.name}"
        raise LabError(f"--cell {start}: {what}; lab status {plan.name} lists their keys")
    return found[0]


def _facts(plan: Plan, one: CellLook) -> dict[str, object]:
    status = one.status
    running = status.state == "running"
    return {
        "sweep": plan.name,
        "key": one.cell.key,
        "state": f"{status.state}{f', {status.phase}' if running and status.phase else ''}",
        "step": f"{one.step} of {one.steps if one.steps is not None else '?'}",
        **({"left of its phase": duration(status.seconds_left)} if running and status.seconds_left else {}),
        **{name: value for name, value in one.cell.values.items() if name not in {"", None}},
        **one.cell.tuned,
        **({"attempt": status.attempt} if status.attempt else {}),
        **({"on": " ".join(filter(None, (status.host, status.job)))} if status.host else {}),
    }


def _reason(one: CellLook) -> str:
    """Why it is as it is, where that is no good news."""
    if one.result is not None and one.result.diverged_at is not None:
        return f"diverged: the loss of step {one.result.diverged_at} is not finite"
    return shown(one.status.reason or "")


def _curves(look: Look, one: CellLook) -> tuple[list[tuple[str, list[Markup]]], list[object], str]:
    drawn_as = design_style({name: value for name, value in one.cell.values.items() if name != SIZE_AXIS})
    panels = []
    for metric in [metric for metric in CURVES if metric in one.curves]:
        curve = one.curves[metric]
        designs = [DesignRuns(cell_name(look, one.cell), drawn_as, [Run(curve)])]
        drawn = span(designs)
        if drawn is not None:
            steps = max(one.steps or 1, int(curve.steps[-1]))
            panels.append(Markup(panel(axis_label(metric), designs, steps, drawn)))  # noqa: S704, escaped there
    notes = "The held-out loss is that of the averaged weights, with the same masks, noise and times every time."
    return ([("", panels)] if panels else []), [], notes


def _sheets(one: CellLook, sheet: Link) -> str:
    steps = [step_of(name) for name in one.sheets]
    rows = [("", "", [(step, sheet(name)) for step, name in zip(steps, one.sheets, strict=True)])] if steps else []
    return part("sheets", "cell", "Samples by step", steps, rows, SHEET_NOTE)


def _numbers(folder: Path, look: Look, one: CellLook) -> str:
    """Every metric of its result, with the spread that was measured, and beside the other seeds of the same point."""
    if one.result is None:
        return part("numbers", [], 0, None)
    point = (one.cell.values, one.cell.tuned, one.cell.trial)
    same = [c for c in look.cells if (c.cell.values, c.cell.tuned, c.cell.trial) == point]
    results = [each.result for each in same if each.result is not None]
    spreads = {_error(metric) for metric in one.result.metrics}
    rows = []
    for metric in sorted(one.result.metrics.keys() - spreads, key=rank):
        values = [result.metrics[metric] for result in results if metric in result.metrics]
        over = f"{sum(values) / len(values):.4g} ({min(values):.4g} to {max(values):.4g})" if len(values) > 1 else ""
        value, spread = one.result.metrics[metric], _spread(metric, one.result.metrics)
        rows.append((axis_label(metric), f"{value:.5g}", spread, over))
    return part("numbers", rows, len(results), _other_measurements(folder, one.cell))


def _error(metric: str) -> str:
    """The name of the metric that is its standard error; '' if there is none."""
    known = find_metric(metric)
    if known is None or not known.error:
        return ""
    return known.error + (metric.removeprefix(known.key) if known.error.endswith("/") else "")


def _spread(metric: str, metrics: Mapping[str, float]) -> str:
    """'± 0.51 (SD of resampled images)', where there is one."""
    known, error = find_metric(metric), _error(metric)
    return f"± {metrics[error]:.2g} ({known.error_words})" if known and error in metrics else ""


def _other_measurements(folder: Path, cell: PlannedCell) -> tuple[list[str], list[list[str]]] | None:
    try:
        table = evaluations_table([folder])
    except LabError:
        return None  # a damaged file: lab report names it
    if not (table["source"] != "result").any():
        return None
    readable = readable_evaluations(table, {cell.key: cell}).drop(columns="cell")
    return list(map(str, readable.columns)), readable.astype(str).to_numpy().tolist()


def _config(runs: Path, look: Look, cell: PlannedCell, link: Link) -> tuple[list[tuple[str, str | None]], str, str]:
    """Lines of config.yaml, each with what stands there in the config of the nearest neighbour; None where equal."""
    own = _lines(runs / cell.key / "config.yaml")
    other = nearest(look.plan, cell)
    theirs = _lines(runs / other.key / "config.yaml") if other else []
    if other is None or not own or not theirs:
        return [(line, None) for line in own], "", ""
    return marked(own, theirs), cell_name(look, other), link(other.key)


def nearest(plan: Plan, cell: PlannedCell) -> PlannedCell | None:
    """The cell of a plan that differs in the fewest axes: under the same seed and at the same size, if one does."""

    def distance(other: PlannedCell) -> tuple[int, bool, bool]:
        differ = [name for name in {*cell.values, *other.values} if cell.values.get(name) != other.values.get(name)]
        return len(differ) or len(plan.axes) + 1, other.seed != cell.seed, SIZE_AXIS in differ

    others = plan.trials if cell.trial is not None else plan.cells
    return min((other for other in others if other.key != cell.key), key=distance, default=None)


def marked(own: Sequence[str], theirs: Sequence[str]) -> list[tuple[str, str | None]]:
    """Every line, with the line that stands there otherwise, '' if none does; None where they are equal."""
    lines: list[tuple[str, str | None]] = []
    for kind, first, last, begin, end in difflib.SequenceMatcher(None, theirs, own, autojunk=False).get_opcodes():
        there = [line.strip() for line in theirs[first:last]]
        here = own[begin:end]
        if kind == "equal":
            lines += [(line, None) for line in here]
        else:
            lines += [(line, there[i] if i < len(there) else "") for i, line in enumerate(here)]
            lines += [("", line) for line in there[len(here) :]]
    return lines


def _provenance(runs: Path, one: CellLook) -> dict[str, str]:
    if one.result is None:
        return {}
    patch = runs / one.cell.key / "diff.patch"
    size = {"size of these changes": f"{patch.stat().st_size:,} bytes (diff.patch)"} if patch.exists() else {}
    return facts_of_ledger(runs, pd.DataFrame({"key": [one.cell.key]})) | size


def _lines(path: Path) -> list[str]:
    """The lines of the end of a file, harmless to show; none if it cannot be read."""
    try:
        with path.open("rb") as file:
            left_out = max(0, os.fstat(file.fileno()).st_size - LOG_BYTES)
            file.seek(left_out)
            text = file.read(LOG_BYTES).decode("utf-8", "replace")
    except OSError:
        return []
    lines = [shown(line) for line in text.splitlines()]
    return lines[1:] if left_out else lines

"""Plans, states and results of a sweep as tables on the terminal."""

import contextlib
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from lina_lab import cost
from lina_lab.analysis.notes import NOTED, notes
from lina_lab.cli.show import duration
from lina_lab.config.averaging import long_averages
from lina_lab.config.engine import Group
from lina_lab.config.experiment import Experiment
from lina_lab.config.sweep import cell_label, left_out
from lina_lab.errors import LabError
from lina_lab.escape import shortened, shown
from lina_lab.fact_names import column
from lina_lab.ledger.plan import Plan, load_plan, plan_names
from lina_lab.ledger.result import is_done
from lina_lab.ledger.status import ENDED, read_status
from lina_lab.metric_names import FID, FID_SD
from lina_lab.sweep.budget import gpu_hours, to_do
from lina_lab.sweep.local_engine import Slot
from lina_lab.sweep.planning import PlannedSweep
from lina_lab.sweep.ready import check_data, too_large
from lina_lab.sweep.rehearsal import rehearse
from lina_lab.sweep.tune import num_trials

if TYPE_CHECKING:
    import pandas as pd

MOST_TIMED_FLOPS = 1e18
"""Of a cell's training: on a processor that is months, and timing a few of its steps takes long by itself."""
LEAST_GPU_HOURS = 0.1
"""Cells of seconds do not fill a GPU: FLOPs say nothing of their time."""
GAP = 2
"""Characters between columns."""
RESULTS_WIDTH = 120
"""Characters of the results where there is no terminal."""
LEAST_LABEL = 12
"""Characters of a cell's label, however narrow the terminal is."""


def _console(width: int | None = None) -> Console:
    """As wide as it needs to be where there is no terminal, so that nothing is cut. Names are text, never markup."""
    width = width or (None if sys.stdout.isatty() else 200)
    return Console(width=width, markup=False, emoji=False, highlight=False)


class TextTable(Table):
    """A table of texts that are shown as they are, whatever they hold."""

    def add_row(self, *cells: Any, **style: Any) -> None:
        super().add_row(*(shown(cell) if isinstance(cell, str) else cell for cell in cells), **style)


def text_table(*headings: str, numbers: int) -> Table:
    """A plain table whose last `numbers` columns are numbers."""
    table = TextTable(box=None, padding=(0, GAP, 0, 0))
    for index, heading in enumerate(headings):
        table.add_column(shown(heading), justify="right" if index >= len(headings) - numbers else "left", no_wrap=True)
    return table


def print_table(table: Table) -> None:
    """Print a table of any width."""
    _console().print(table)


def print_plan(
    planned: PlannedSweep,
    runs: Path,
    where: Sequence[Slot],
    group: Group | None,
    *,
    timing: bool,
    tflops: float,
) -> None:
    """Every cell with its key, parameters and FLOPs, what was left out and why, and what is to do in all.

    A `group` would train each cell on this machine; None if they would run elsewhere.
    """
    plan, todo = planned.plan, to_do(runs, planned)
    unchecked = check_data(todo)
    on_gpu = sum(gpu_hours(experiment, tflops) for experiment in todo)
    tell_gpu = on_gpu > LEAST_GPU_HOURS
    headings = ("seed", "parameters", "training FLOPs", "FLOPs an image", "images", "GPU hours" if tell_gpu else "", "")
    rows = []
    for cell in plan.cells:
        experiment = planned.experiments[cell.key]
        done = (runs / cell.key).exists() and is_done(runs / cell.key)
        rows.append(
            (
                cell.key,
                *map(str, (*cell.values.values(), cell.seed)),
                f"{cost.parameters(experiment.model, experiment.data.shape).total:,}",
                f"{cell.flops:.3g}",
                f"{cost.sampling_flops(experiment):.3g}",
                f"{experiment.evaluation.num_samples:,}",
                f"{gpu_hours(experiment, tflops):,.1f}" if tell_gpu else "",
                "done" if done else "",
            )
        )
    print_columns(("key", *plan.axes, *headings), rows, numbers=len(headings))
    warnings = long_averages(planned.own_experiments)
    for line in [*left_out(plan.omitted), *(f"not checked: {what}" for what in unchecked), *warnings]:
        print(line)
    if group is not None and (small := too_large(todo, gpus=bool(where[0]), group=group)):
        print(f"this machine is too small: {small}")
    trials = num_trials(planned)
    first = f"{trials} trials of tuning, then " if trials else ""
    total = sum(cost.training_flops(experiment) for experiment in todo)
    print(f"{first}{len(plan.cells)} cells; {total:.3g} training FLOPs to do (1 multiply-add is 2 FLOPs)")
    if tell_gpu:
        print(f"{on_gpu:,.3g} GPU hours to do, images of the evaluations in them, if a GPU keeps up {tflops:g} TFLOP/s")
    if planned.missing:
        print(f"an estimate, with keys of paths: a run would be refused: {'; '.join(planned.missing)}")
    if timing and todo:
        print(_timed(todo, where), flush=True)


def print_columns(headings: Sequence[str], rows: Sequence[Sequence[str]], numbers: int) -> None:
    """A plain table whose last `numbers` columns are numbers: rich takes ten seconds for 20,000 rows."""
    rows = [[shown(word) for word in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(headings, *rows, strict=True)]
    for row in (headings, *rows):
        padding = [" " * (width - cell_len(word)) for word, width in zip(row, widths, strict=True)]
        words = [f"{word}{pad}" for word, pad in zip(row, padding, strict=True)]
        words[-numbers:] = [f"{pad}{word}" for word, pad in zip(row[-numbers:], padding[-numbers:], strict=True)]
        print("  ".join(words).rstrip())


def _timed(todo: list[Experiment], where: Sequence[Slot]) -> str:
    """Time on this machine, from a short timing; or why there is none."""
    if max(map(cost.training_flops, todo)) > MOST_TIMED_FLOPS and not where[0]:
        return "not timed on this machine: it has no GPU, and a cell is too large for its processors"
    print(f"timing a cell of every size on {min(len(where), len(todo))} workers", file=sys.stderr, flush=True)
    try:
        found = rehearse(todo, where)
    except LabError as error:
        return f"not timed on this machine: {error}"
    each = ", ".join(f"{size} {duration(seconds)}" for size, seconds in found.by_size.items())
    start = f"{duration(found.start)} until the workers are there"
    return f"about {duration(found.total)} on {len(where)} workers of this machine ({start}; {each} a cell)"


def print_status(plan: Plan, runs: Path) -> None:
    """State, step and age of every cell."""
    table = text_table("key", "cell", "seed", "state", "step", "left", "seen", "attempt", "on", numbers=4)
    states, work, speed = [], 0.0, 0.0
    for cell in plan.everything:
        status = read_status(runs / cell.key)
        states.append(status.state)
        step = "" if status.steps is None else f"{status.step}/{status.steps}"
        left = duration(status.seconds_left) if status.state == "running" else ""
        seen = "" if status.time is None else f"{duration(time.time() - status.time)} ago"
        reason = f" ({status.reason})" if status.reason else ""
        on = " ".join(filter(None, (status.host, status.job)))
        attempt = "" if status.attempt is None else str(status.attempt)
        table.add_row(cell.key, cell.label, str(cell.seed), status.state + reason, step, left, seen, attempt, on)
        if status.state in {"running", "waiting"}:
            flops = cell.flops * (1 - status.step / (status.steps or 1))
            work += flops
            if status.state == "running" and status.seconds_left:
                speed += flops / status.seconds_left
    _console().print(table)
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    left = f"; about {duration(work / speed)} left" if speed else ""
    print(f"{plan.name}: {counts} of {len(states)} cells{left}")
    _tell_others(plan, runs)


def _tell_others(plan: Plan, runs: Path) -> None:
    """Name the other plans that have run under the sweep's name."""
    others: list[Plan] = []
    for name in (plan.base, *reversed([n for n in plan_names(runs, plan.base) if "@" in n])):
        with contextlib.suppress(LabError):
            other = load_plan(runs, name)
            if other.id != plan.id and other.id not in {told.id for told in others}:
                others.append(other)
    for other in others:
        when = "its plan now" if other.name == plan.base else "an earlier plan"
        print(f"{plan.base}: {when}, with {len(other.cells)} cells: lab status {other.name}, lab report {other.name}")


def print_results(plan: Plan, runs: Path, failed: Mapping[str, str]) -> None:
    """What varies, the metric and its spread, of every cell; `failed`: keys of the failed ones and their reasons."""
    from lina_lab.analysis.progress import all_alike
    from lina_lab.analysis.table import results_table

    found = results_table(runs, plan)
    if found.empty:
        print(f"{plan.name}: no cell is known yet: its tuning goes on")
        return
    # On a full disk the ledger cannot tell of a failure.
    found.loc[found["key"].isin(list(failed)) & ~found["state"].isin(ENDED), "state"] = "failed"
    width = shutil.get_terminal_size((RESULTS_WIDTH, 24)).columns
    print()
    _console(width).print(results_for(plan, found, width))
    if any(name.startswith(FID_SD) for name in found.columns):
        print(f"SD: of resampled images, not of seeds. Every metric: lab table {plan.name}")
    alike = all_alike(found)
    if alike:
        print(f"{plan.name}: {alike}")
    for line in (*_mixtures(found), *notes({name: found[name].dropna() for name in NOTED if name in found})):
        print(line)
    for key, reason in failed.items():
        trace = runs / key / "error.txt"
        print(f"failed: {key}: {reason}{f' (see {trace})' if trace.exists() else ''}")


def _mixtures(found: "pd.DataFrame") -> list[str]:
    """Why values that stand beside each other may not be compared, as a report would refuse them."""
    from lina_lab.analysis.table import refuse_mixtures

    try:
        for name in [name for name in found.columns if name.startswith(FID)]:
            refuse_mixtures(found, name)
    except LabError as error:
        return [f"not comparable: {error}"]
    return []


def results_for(plan: Plan, found: "pd.DataFrame", width: int) -> Table:
    """The results as a table no wider than `width`: what there is no room for is left out or shortened."""
    axes = [axis for axis in plan.axes if len({str(cell.values[axis]) for cell in plan.cells}) > 1]
    labels = [cell_label({axis: cell.values[axis] for axis in axes}) or plan.name for cell in plan.cells]
    columns = [(name, found[name].astype(str).tolist()) for name in ("key", "seed", "state")]
    for name in [name for name in found.columns if name.startswith(FID)]:
        spread = name.replace(FID, FID_SD)
        columns.append((name.removeprefix("eval/"), _numbers(found[name], "{:.4g}")))
        columns += [("SD", _numbers(found[spread], "{:.2g}"))] if spread in found else []
    parameters = column("parameters.total")
    size = [("parameters", _numbers(found[parameters], "{:,.0f}"))] if parameters in found else []
    if _width([*columns, ("cell", labels), *size]) <= width:
        columns[3:3] = size
    room = max(LEAST_LABEL, width - _width(columns) - GAP)
    columns.insert(1, ("cell", [shortened(label, room) for label in labels]))
    table = text_table(*(heading for heading, _ in columns), numbers=len(columns) - 4)
    for row in zip(*(texts for _, texts in columns), strict=True):
        table.add_row(*row)
    return table


def _width(columns: Sequence[tuple[str, Sequence[str]]]) -> int:
    """Of columns side by side, with the gap after each."""
    return sum(max(map(len, (heading, *texts))) + GAP for heading, texts in columns)


def _numbers(column: "pd.Series[Any]", form: str) -> list[str]:
    return [form.format(value) if value == value else "" for value in column]  # noqa: PLR0124, NaN is not itself

"""Plans, states and results of a sweep as tables on the terminal."""

import sys
import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lina_lab import cost
from lina_lab.cli.show import duration
from lina_lab.config.averaging import long_averages
from lina_lab.config.experiment import Experiment
from lina_lab.config.sweep import Plan, left_out
from lina_lab.errors import LabError
from lina_lab.ledger import is_done, read_result, read_state
from lina_lab.plans import StoredPlan
from lina_lab.sweep.budget import gpu_hours, hours, to_do
from lina_lab.sweep.tune import num_trials

MOST_TIMED_FLOPS = 1e18
"""Of a cell's training: on a processor that is months, and timing a few of its steps takes long by itself."""
LEAST_GPU_HOURS = 0.1
"""Cells of seconds do not fill a GPU: FLOPs say nothing of their time."""
SHOWN_METRICS = (
    "eval/fid/",
    "eval/fid_jackknife/",
    "eval/kid/",
    "eval/precision/",
    "eval/recall/",
    "val/loss",
)


def _console() -> Console:
    """As wide as it needs to be where there is no terminal, so that nothing is cut."""
    return Console(width=None if sys.stdout.isatty() else 200)


def text_table(*headings: str, numbers: int) -> Table:
    """A plain table whose last `numbers` columns are numbers."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="right" if index >= len(headings) - numbers else "left", no_wrap=True)
    return table


def print_table(table: Table) -> None:
    """Print a table of any width."""
    _console().print(table)


def print_plan(plan: Plan, runs: Path, slots: int, *, timing: bool, tflops: float) -> None:
    """Every cell with its key, parameters and FLOPs, what was left out and why, and what is to do in all."""
    todo = to_do(runs, plan)
    on_gpu = sum(gpu_hours(experiment, tflops) for experiment in todo)
    tell_gpu = on_gpu > LEAST_GPU_HOURS
    headings = ("seed", "parameters", "training FLOPs", "FLOPs an image", "images", "GPU hours" if tell_gpu else "", "")
    table = text_table("key", *plan.axes, *headings, numbers=len(headings))
    for cell in plan.cells:
        experiment = cell.experiment
        done = (runs / cell.key).exists() and is_done(runs / cell.key)
        table.add_row(
            cell.key,
            *map(str, (*cell.values.values(), cell.seed)),
            f"{cost.parameters(experiment.model, experiment.data.shape).total:,}",
            f"{cost.training_flops(experiment):.3g}",
            f"{cost.sampling_flops(experiment):.3g}",
            f"{experiment.evaluation.num_samples:,}",
            f"{gpu_hours(experiment, tflops):,.1f}" if tell_gpu else "",
            "done" if done else "",
        )
    _console().print(table)
    for line in (*left_out(plan.omitted), *long_averages([cell.experiment for cell in plan.cells])):
        print(line)
    trials = num_trials(plan)
    first = f"{trials} trials of tuning, then " if trials else ""
    total = sum(cost.training_flops(experiment) for experiment in todo)
    print(f"{first}{len(plan.cells)} cells; {total:.3g} training FLOPs to do (1 multiply-add is 2 FLOPs)")
    if tell_gpu:
        print(f"{on_gpu:,.3g} GPU hours to do, images of the evaluations in them, if a GPU keeps up {tflops:g} TFLOP/s")
    if timing and todo:
        print(_timed(todo, slots))


def _timed(todo: list[Experiment], slots: int) -> str:
    """Hours on this machine, from a short timing; or why there is none."""
    import torch

    from lina_lab.training.timing import cell_seconds

    if max(map(cost.training_flops, todo)) > MOST_TIMED_FLOPS and not torch.cuda.is_available():
        return "not timed on this machine: it has no GPU, and a cell is too large for its processors"
    try:
        found = hours(todo, slots, cell_seconds)
    except LabError as error:
        return f"not timed on this machine: {error}"
    each = ", ".join(f"{size} {duration(seconds)}" for size, seconds in found.by_size.items())
    return f"about {found.total:.2g} hours on {slots} workers of this machine, evaluation not counted ({each} a cell)"


def print_status(plan: StoredPlan, runs: Path) -> None:
    """State, step and age of every cell."""
    table = text_table("key", "cell", "seed", "state", "step", "left", "seen", "attempt", "on", numbers=4)
    states, work, speed = [], 0.0, 0.0
    for cell in plan.everything:
        state = read_state(runs / cell.key)
        states.append(state["state"])
        step = f"{state['step']}/{state['steps']}" if "steps" in state else ""
        left = duration(state.get("seconds_left")) if state["state"] == "running" else ""
        seen = f"{duration(time.time() - state['time'])} ago" if "time" in state else ""
        reason = f" ({state['reason']})" if state.get("reason") else ""
        on = " ".join(filter(None, (state.get("host"), state.get("job"))))
        attempt = str(state.get("attempt", ""))
        table.add_row(cell.key, cell.label, str(cell.seed), state["state"] + reason, step, left, seen, attempt, on)
        if state["state"] in {"running", "waiting"}:
            flops = cell.flops * (1 - state.get("step", 0) / state.get("steps", 1))
            work += flops
            if state["state"] == "running" and state.get("seconds_left"):
                speed += flops / state["seconds_left"]
    _console().print(table)
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    left = f"; about {duration(work / speed)} left" if speed else ""
    print(f"{plan.name}: {counts} of {len(states)} cells{left}")


def print_results(plan: StoredPlan, runs: Path, failed: Mapping[str, str]) -> None:
    """The metrics of every finished cell; `failed`: keys of the others and their reasons."""
    results = {}
    for cell in plan.cells:
        try:
            results[cell.key] = read_result(runs / cell.key)
        except LabError:
            continue
    names = sorted({name for result in results.values() for name in result["metrics"]})
    shown = [name for prefix in SHOWN_METRICS for name in names if name.startswith(prefix)]
    headings = [name.removeprefix("eval/") for name in shown]
    table = text_table("key", *plan.axes, "seed", "state", "parameters", *headings, numbers=len(shown) + 1)
    for cell in plan.cells:
        values = [str(value) for value in cell.values.values()]
        result = results.get(cell.key)
        if result is None:
            state = "failed" if cell.key in failed else read_state(runs / cell.key)["state"]
            table.add_row(cell.key, *values, str(cell.seed), state, "", *("" for _ in shown))
            continue
        numbers = [_number(result["metrics"].get(name)) for name in shown]
        total = f"{result['parameters']['total']:,}"
        table.add_row(cell.key, *values, str(cell.seed), result["state"], total, *numbers)
    print()
    _console().print(table)
    for key, reason in failed.items():
        trace = runs / key / "error.txt"
        print(f"failed: {key}: {reason}{f' (see {trace})' if trace.exists() else ''}")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"

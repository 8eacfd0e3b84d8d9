"""What a dry run prints: every cell with its cost, and how long all of them take."""

import sys
from collections.abc import Sequence
from pathlib import Path

from lina_lab import cost
from lina_lab.cli.console import human, print_columns
from lina_lab.config.averaging import long_averages
from lina_lab.config.engine import Group
from lina_lab.config.experiment import Experiment
from lina_lab.config.sweep import left_out
from lina_lab.errors import LabError
from lina_lab.ledger.plan import PlannedCell
from lina_lab.sweep.budget import gpu_hours, to_do
from lina_lab.sweep.local_engine import Slot
from lina_lab.sweep.longer import kept_bytes, sources_of, unfinished
from lina_lab.sweep.planning import PlannedSweep
from lina_lab.sweep.progress import duration
from lina_lab.sweep.ready import check_data, too_large
from lina_lab.sweep.rehearsal import rehearse
from lina_lab.sweep.tune import num_trials

MOST_TIMED_FLOPS = 1e18
"""Of a cell's training: on a processor that is months, and timing a few of its steps takes long by itself."""
LEAST_GPU_HOURS = 0.1
"""Cells of seconds do not fill a GPU: FLOPs say nothing of their time."""


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
    plan, todo, open_cells = planned.plan, to_do(runs, planned), unfinished(runs, planned)
    found = sources_of(runs, planned, open_cells)
    unchecked = check_data(todo)
    on_gpu = sum(gpu_hours(experiment, tflops) for experiment in todo)
    tell_gpu = on_gpu > LEAST_GPU_HOURS
    headings = ("seed", "parameters", "training FLOPs", "FLOPs an image", "images", "GPU hours" if tell_gpu else "", "")
    own = {cell.key for cell in planned.own_cells}
    states = {cell.key: "done" if cell.key in own else "in another part" for cell in plan.cells}
    states |= dict.fromkeys(open_cells, "")
    states |= {key: f"from {source.cell}, step {source.step:,}" for key, source in found.items()}
    rows = [
        _row(cell, planned.experiments[cell.key], states[cell.key], tflops if tell_gpu else None) for cell in plan.cells
    ]
    print_columns(("key", *plan.axes, *headings), rows, numbers=len(headings))
    warnings = long_averages(planned.own_experiments)
    for line in [*left_out(plan.omitted), *(f"not checked: {what}" for what in unchecked), *warnings]:
        print(line)
    if group is not None and (small := too_large(todo, gpus=bool(where[0]), group=group)):
        print(f"this machine is too small: {small}")
    trials = num_trials(planned)
    first = f"{trials} trials of tuning, then " if trials else ""
    total = sum(cost.training_flops(experiment) for experiment in todo)
    print(f"{first}{planned.how_many} cells; {total:.3g} training FLOPs to do (1 multiply-add is 2 FLOPs)")
    if tell_gpu:
        print(f"{on_gpu:,.3g} GPU hours to do, images of the evaluations in them, if a GPU keeps up {tflops:g} TFLOP/s")
    if kept := kept_bytes(open_cells, found):
        print(
            f"about {human(sum(kept))} for the end states of {len(kept)} cells, from which longer ones go on "
            "(checkpoint.keep_end); lab clean --ends removes them"
        )
    if planned.missing:
        print(f"an estimate, with keys of paths: a run would be refused: {'; '.join(planned.missing)}")
    if timing and todo:
        print(_timed(todo, where), flush=True)


def _row(cell: PlannedCell, experiment: Experiment, state: str, tflops: float | None) -> tuple[str, ...]:
    """What is told of a cell; without `tflops`, no GPU hours."""
    return (
        cell.key,
        *map(str, (*cell.values.values(), cell.seed)),
        f"{cost.parameters(experiment.model, experiment.data.shape).total:,}",
        f"{cell.flops:.3g}",
        f"{cost.sampling_flops(experiment):.3g}",
        f"{experiment.evaluation.num_samples * experiment.evaluation.num_measurements:,}",
        "" if tflops is None else f"{gpu_hours(experiment, tflops):,.1f}",
        state,
    )


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

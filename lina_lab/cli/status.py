"""`lab status`: the state of every cell of a sweep."""

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lina_lab.cli.options import RUNS, Runs, SweepName
from lina_lab.errors import LabError

if TYPE_CHECKING:
    from lina_lab.ledger.plan import StoredPlan


def status(name: SweepName, runs: Runs = RUNS) -> None:
    """Show the state of every cell of a sweep.

    Example: lab status digits-quick
    """
    from lina_lab.ledger.plan import load_plan

    print_status(load_plan(runs, name), runs)


def print_status(plan: "StoredPlan", runs: Path) -> None:
    """State, step and age of every cell."""
    from lina_lab.cli.console import print_table, text_table
    from lina_lab.cli.progress_display import duration
    from lina_lab.ledger.status import read_state

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
    print_table(table)
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    left = f"; about {duration(work / speed)} left" if speed else ""
    print(f"{plan.name}: {counts} of {len(states)} cells{left}")
    _print_other_plans(plan, runs)


def _print_other_plans(plan: "StoredPlan", runs: Path) -> None:
    """Name the other plans that have run under the sweep's name."""
    from lina_lab.ledger.plan import load_plan, plan_names

    others: list[StoredPlan] = []
    for name in (plan.base, *reversed([n for n in plan_names(runs, plan.base) if "@" in n])):
        with contextlib.suppress(LabError):
            other = load_plan(runs, name)
            if other.id != plan.id and other.id not in {told.id for told in others}:
                others.append(other)
    for other in others:
        when = "its plan now" if other.name == plan.base else "an earlier plan"
        print(f"{plan.base}: {when}, with {len(other.cells)} cells: lab status {other.name}, lab report {other.name}")

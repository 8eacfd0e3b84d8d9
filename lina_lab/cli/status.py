"""`lab status`: the state of every cell of a sweep."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lina_lab.cli.documents import print_document
from lina_lab.cli.options import RUNS, AsJson, Runs, SweepName
from lina_lab.errors import LabError

if TYPE_CHECKING:
    from lina_lab.ledger.plan import Plan
    from lina_lab.study_values import StudyStatus


def status(name: SweepName, runs: Runs = RUNS, as_json: AsJson = False) -> None:
    """Show the state of every cell of a sweep.

    Example: lab status digits-quick
    """
    from lina_lab import study

    found = study.status(name, runs=runs)
    if as_json:
        print_document("status", _as_json(found))
    else:
        print_status(found, runs)


def _as_json(found: "StudyStatus") -> dict[str, Any]:
    cells = []
    for cell, status in found.cells:
        facts = ("state", "reason", "step", "steps", "attempt", "host", "job", "time", "seconds_left")
        known = {name: getattr(status, name) for name in facts}
        cells.append({"key": cell.key, "values": cell.values, "trial": cell.trial, "seed": cell.seed, **known})
    return {"sweep": found.plan.name, "plan": found.plan.id, "cells": cells}


def print_status(found: "StudyStatus", runs: Path) -> None:
    """State, step and age of every cell."""
    from lina_lab.cli.console import print_table, text_table
    from lina_lab.sweep.progress import duration

    table = text_table("key", "cell", "seed", "state", "step", "left", "seen", "attempt", "on", numbers=4)
    work, speed = 0.0, 0.0
    for cell, status in found.cells:
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
    print_table(table)
    print(f"{found!r}{f'; about {duration(work / speed)} left' if speed else ''}")
    _print_other_plans(found.plan, runs)


def _print_other_plans(plan: "Plan", runs: Path) -> None:
    """Name the other plans that have run under the sweep's name."""
    import logging

    from lina_lab.ledger.plan import load_plan, plan_names

    others: list[Plan] = []
    for name in (plan.base, *reversed([n for n in plan_names(runs, plan.base) if "@" in n])):
        try:
            other = load_plan(runs, name)
        except LabError as error:
            logging.getLogger(__name__).info("not listed: %s", error)
            continue
        if other.id != plan.id and other.id not in {told.id for told in others}:
            others.append(other)
    for other in others:
        when = "its plan now" if other.name == plan.base else "an earlier plan"
        print(f"{plan.base}: {when}, with {len(other.cells)} cells: lab status {other.name}, lab report {other.name}")

"""Run a plan and show it: the sweep engine, the display and MLflow together."""

import contextlib
import signal
from collections.abc import Sequence
from pathlib import Path

from lina_lab.claims import faults, forgive
from lina_lab.cli.results import print_results
from lina_lab.cli.show import show_progress
from lina_lab.config.sweep import Plan, left_out
from lina_lab.ledger import load_plan, read_state, store_plan
from lina_lab.provenance import provenance
from lina_lab.sweep.local import Slot
from lina_lab.sweep.run import planned_again, run_sweep


def run_plan(plan: Plan, runs: Path, where: Sequence[Slot], retries: int, *, tracking: bool) -> int:
    """The exit code: 0 if every cell has a result, 1 if one failed, 130 if stopped by Ctrl-C."""
    name = plan.sweep.name
    for line in left_out(plan.omitted):
        print(line)
    num_workers = min(len(where), len(plan.cells))
    print(f"{name}: {len(plan.cells)} cells on {num_workers} workers; ledger in {runs}/", flush=True)
    store_plan(runs, plan, provenance())
    stored = load_plan(runs, name)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.ExitStack() as stack:
        if tracking:
            from lina_lab.tracking.shipper import Shipper

            shipper = stack.enter_context(Shipper(runs, stored))
        try:
            with show_progress() as show:
                run_sweep(runs, plan, where, show, retries)
        except KeyboardInterrupt:
            print(f"\nstopped; the same command continues {name} where it is")
            return 130
    if tracking and shipper.behind:
        print(shipper.behind)
    failed = print_results(stored, runs)
    if failed:
        print(f"\nlab retry {name}     try the failed cells again")
    print(f"\nlab report {name}    table, figures and page\nlab ui {name}        the runs in MLflow")
    return 1 if failed else 0


def forgive_failed(runs: Path, name: str, *, failed_only: bool) -> Plan:
    """Let the failed cells of a sweep be tried again, and, unless `failed_only`, the diverged ones as well.

    The result of a diverged cell is kept beside, as result.json.diverged.
    """
    plan = planned_again(runs, load_plan(runs, name))
    for cell in plan.cells:
        folder = runs / cell.key
        state = read_state(folder)["state"]
        if state == "diverged" and not failed_only:
            (folder / "result.json").replace(folder / "result.json.diverged")
        elif faults(folder):
            forgive(folder)
    return plan

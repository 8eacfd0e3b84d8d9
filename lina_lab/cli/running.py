"""Run a plan and show it: the sweep engine, the display and MLflow together."""

import contextlib
from pathlib import Path

from lina_lab.cli.results import print_results
from lina_lab.cli.show import show_progress
from lina_lab.config.sweep import Plan, left_out
from lina_lab.ledger import load_plan, store_plan
from lina_lab.provenance import provenance
from lina_lab.sweep.run import run_sweep


def run_plan(plan: Plan, runs: Path, workers: int, *, tracking: bool) -> int:
    """The exit code: 0 if every cell has a result, 1 if one failed, 130 if stopped by Ctrl-C."""
    name = plan.sweep.name
    for line in left_out(plan.omitted):
        print(line)
    print(
        f"{name}: {len(plan.cells)} cells on {min(workers, len(plan.cells))} workers; ledger in {runs}/",
        flush=True,
    )
    store_plan(runs, plan, provenance())
    stored = load_plan(runs, name)
    with contextlib.ExitStack() as stack:
        if tracking:
            from lina_lab.tracking.shipper import Shipper

            shipper = stack.enter_context(Shipper(runs, stored))
        try:
            with show_progress() as show:
                run_sweep(runs, plan, workers, show)
        except KeyboardInterrupt:
            print(f"\nstopped; the same command continues {name} where it is")
            return 130
    if tracking and shipper.behind:
        print(shipper.behind)
    failed = print_results(stored, runs)
    print(f"\nlab report {name}    table, figures and page\nlab ui {name}        the runs in MLflow")
    return 1 if failed else 0

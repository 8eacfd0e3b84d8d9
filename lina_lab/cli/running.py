"""Run a plan and show it: the sweep engine, the display and MLflow together."""

import contextlib
import signal
from collections.abc import Sequence
from pathlib import Path

from lina_lab.claims import faults, forgive
from lina_lab.cli.results import print_results
from lina_lab.cli.show import show_progress
from lina_lab.config.engine import EngineConfig
from lina_lab.config.sweep import Plan, left_out
from lina_lab.ledger import load_plan, read_state, store_plan
from lina_lab.provenance import provenance
from lina_lab.sweep.local import Slot, slots, visible_gpus
from lina_lab.sweep.run import planned_again, run_sweep


def launch(plan: Plan, runs: Path, engine: EngineConfig, retries: int, *, tracking: bool) -> int:
    """Run a plan where its engine says: the exit code."""
    if engine.name == "slurm":
        return submit_plan(plan, runs, engine, retries, tracking=tracking)
    where = slots(engine.workers, engine.per_gpu, visible_gpus())
    return run_plan(plan, runs, where, retries, tracking=tracking)


def submit_plan(plan: Plan, runs: Path, engine: EngineConfig, retries: int, *, tracking: bool) -> int:
    """Give the cells to SLURM and return: the exit code 0."""
    from lina_lab.sweep.slurm import submit

    name = plan.sweep.name
    for line in left_out(plan.omitted):
        print(line)
    store_plan(runs, plan, provenance())
    jobs = submit(runs, plan, engine, retries)
    for job, count in jobs.items():
        print(f"{name}: {count} of {len(plan.cells)} cells submitted as job {job}; ledger in {runs}/")
    if not jobs:
        print(f"{name}: nothing to submit: its {len(plan.cells)} cells are done, running, in the queue or failed")
    if tracking:
        from lina_lab.tracking.shipper import Shipper

        # The jobs ship their own cells; the experiment and the driver run are made here, once.
        with Shipper(runs, load_plan(runs, name)) as shipper:
            pass
        if shipper.behind:
            print(shipper.behind)
    print(f"\nlab status {name}    what every cell is doing\nlab sync {name}      bring MLflow up to date")
    return 0


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
                ended = run_sweep(runs, plan, where, show, retries)
        except KeyboardInterrupt:
            print(f"\nstopped; the same command continues {name} where it is")
            return 130
    if tracking and shipper.behind:
        print(shipper.behind)
    failed = {finished.folder.name: finished.reason for finished in ended if finished.state == "failed"}
    print_results(stored, runs, failed)
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

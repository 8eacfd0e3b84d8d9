"""Run a plan and show it: the sweep engine, the display and MLflow together."""

import contextlib
import shlex
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lina_lab.claims import faults, forgive
from lina_lab.cli.results import print_results
from lina_lab.cli.show import show_progress
from lina_lab.config.averaging import long_averages
from lina_lab.config.engine import EngineConfig, Group
from lina_lab.config.sweep import Plan, left_out
from lina_lab.errors import LabError
from lina_lab.ledger import read_state
from lina_lab.plans import StoredPlan, load_plan
from lina_lab.provenance import changed_files
from lina_lab.sweep.budget import Hours, check_budget, hours, to_do
from lina_lab.sweep.local import Slot, slots, visible_gpus
from lina_lab.sweep.run import run_sweep
from lina_lab.sweep.tune import num_trials

if TYPE_CHECKING:
    from lina_lab.tracking.shipper import Shipper


def launch(
    plan: Plan, runs: Path, engine: EngineConfig, retries: int, *, tracking: bool, caching: Sequence[str] = ()
) -> int:
    """Run a plan where its engine says: the exit code. `caching`: the words of the command that makes its latents."""
    for cell in plan.cells:
        engine.group.check(cell.experiment)
    for line in long_averages([cell.experiment for cell in plan.cells]):
        print(line)
    if engine.name == "slurm":
        return submit_plan(plan, runs, engine, retries, tracking=tracking)
    if engine.num_nodes > 1:
        raise LabError(f"num_nodes must be 1 on this machine, not {engine.num_nodes}: more need --engine slurm")
    refuse_uncached(plan, caching)
    where = engine_slots(engine)
    return run_plan(plan, runs, where, retries, engine.group, tracking=tracking)


def refuse_uncached(plan: Plan, command: Sequence[str]) -> None:
    """Refuse cells whose latents are not there, before any is started.

    Raises:
        LabError: if a cache is not finished.
    """
    for data in {cell.experiment.data for cell in plan.cells if cell.experiment.data.autoencoder is not None}:
        from lina_lab.data.cache import COMMAND, read_manifest

        read_manifest(data, shlex.join(command) or COMMAND)


def engine_slots(engine: EngineConfig) -> list[Slot]:
    """Where the workers of the local engine run."""
    return slots(engine.workers, engine.per_gpu, visible_gpus(), engine.devices)


def refuse_expensive(plan: Plan, runs: Path, engine: EngineConfig) -> None:
    """Hold a sweep against its own budget.

    Raises:
        LabError: if it would cost more, or if its hours cannot be told here.
    """
    if plan.sweep.budget.hours is not None and engine.name == "slurm":
        raise LabError(
            f"{plan.sweep.name}: budget.hours is timed on this machine, not on a cluster's: with the slurm engine give "
            "budget.flops"
        )
    todo = to_do(runs, plan)

    def measured() -> Hours:
        from lina_lab.training.timing import cell_seconds

        return hours(todo, len(engine_slots(engine)), cell_seconds)

    check_budget(plan, todo, measured)


def submit_plan(plan: Plan, runs: Path, engine: EngineConfig, retries: int, *, tracking: bool) -> int:
    """Give the cells to SLURM and return: the exit code 0."""
    from lina_lab.sweep.slurm import submit

    name = plan.sweep.name
    for line in left_out(plan.omitted):
        print(line)
    jobs, then = submit(runs, plan, engine, retries)
    for job, count in jobs.items():
        print(
            f"{name}: {count} of {num_trials(plan) + len(plan.cells)} cells submitted as job {job}; ledger in {runs}/"
        )
    if not jobs:
        print(f"{name}: nothing to submit: its {len(plan.cells)} cells are done, running, in the queue or failed")
    if then:
        print(f"{name}: the cells that depend on these trials will be submitted by job {then}")
    if tracking:
        from lina_lab.tracking.shipper import Shipper

        # The jobs ship their own cells; the experiment and the driver run are made here, once.
        with Shipper(runs, load_plan(runs, name)) as shipper:
            pass
        if shipper.behind:
            print(shipper.behind)
    print(f"\nlab status {name}    what every cell is doing\nlab sync {name}      bring MLflow up to date")
    return 0


def run_plan(plan: Plan, runs: Path, where: Sequence[Slot], retries: int, group: Group, *, tracking: bool) -> int:
    """The exit code: 0 if every cell has a result, 1 if one failed, 130 if stopped by Ctrl-C."""
    name = plan.sweep.name
    for line in left_out(plan.omitted):
        print(line)
    trials = num_trials(plan)
    first = f"{trials} trials, then " if trials else ""
    num_workers = min(len(where), trials + len(plan.cells))
    print(f"{name}: {first}{len(plan.cells)} cells on {num_workers} workers; ledger in {runs}/", flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.ExitStack() as stack:
        shipper: Shipper | None = None

        def planned(stored: StoredPlan) -> None:
            nonlocal shipper
            if shipper is not None:
                shipper.plan = stored
            elif tracking:
                from lina_lab.tracking.shipper import Shipper

                shipper = stack.enter_context(Shipper(runs, stored))

        try:
            with show_progress() as show:
                ended = run_sweep(runs, plan, where, show, retries, planned, group)
        except KeyboardInterrupt:
            print(f"\nstopped; the same command continues {name} where it is")
            return 130
    if shipper is not None and shipper.behind:
        print(shipper.behind)
    failed = {finished.folder.name: finished.reason for finished in ended if finished.state == "failed"}
    print_results(load_plan(runs, name), runs, failed)
    if changed := changed_files():
        print(f"files of the package changed meanwhile: {', '.join(changed)}; the cells ran what was loaded before")
    if failed:
        print(f"\nlab retry {name}     try the failed cells again")
    print(f"\nlab report {name}    table, figures and page\nlab ui {name}        the runs in MLflow")
    return 1 if failed else 0


def forgive_failed(runs: Path, stored: StoredPlan, *, failed_only: bool) -> None:
    """Let the failed cells of a sweep be tried again, and, unless `failed_only`, the diverged ones as well.

    The result of a diverged cell is kept beside, as result.json.diverged. Trials stay as they are: what a tuning has
    seen, it has seen.
    """
    for cell in stored.cells:
        folder = runs / cell.key
        state = read_state(folder)["state"]
        if state == "diverged" and not failed_only:
            (folder / "result.json").replace(folder / "result.json.diverged")
        elif faults(folder):
            forgive(folder)

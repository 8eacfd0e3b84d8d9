"""Run a plan and show it: the sweep engine, the display and MLflow together."""

import contextlib
import shlex
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lina_lab.cli.progress_display import show_progress
from lina_lab.cli.sweep_results import print_results, print_verdict
from lina_lab.config.averaging import long_averages
from lina_lab.config.engine import LIMITS, EngineConfig, Group, Limits
from lina_lab.config.sweep import left_out
from lina_lab.errors import LabError
from lina_lab.ledger.merged import without_weights
from lina_lab.ledger.plan import Plan, driven, load_plan, other_file, replaced
from lina_lab.provenance import changed_files
from lina_lab.signals import as_interrupt
from lina_lab.sweep.alike import FailedAlike
from lina_lab.sweep.budget import Times, check_budget, to_do
from lina_lab.sweep.local_engine import Finished, Slot, slots, visible_gpus
from lina_lab.sweep.longer import sources_of, told, unfinished, without_ends
from lina_lab.sweep.notify import notifier
from lina_lab.sweep.planning import PlannedSweep
from lina_lab.sweep.progress import Snapshot
from lina_lab.sweep.ready import check_data, too_large
from lina_lab.sweep.rehearsal import rehearse
from lina_lab.sweep.run import run_sweep
from lina_lab.sweep.tune import num_trials

if TYPE_CHECKING:
    from lina_lab.tracking.shipper import Shipper

MANY_CELLS = 5_000
"""That are planned in about a second."""


class Ran(NamedTuple):
    """How a sweep ended."""

    plan: Plan
    """As it stands in the ledger now."""
    failed: Mapping[str, str] = {}
    """Keys of the cells that failed, and why."""

    def __repr__(self) -> str:
        return f"{self.plan.name}: {len(self.plan.cells)} cells, {len(self.failed)} failed"


class SweepStopped(KeyboardInterrupt):
    """Ctrl-C, or a signal that asks to end: every cell that ran has written a checkpoint, and goes on from it."""


def launch(
    planned: PlannedSweep,
    runs: Path,
    engine: EngineConfig,
    retries: int,
    *,
    tracking: bool,
    caching: Sequence[str] = (),
    keep_going: bool = False,
) -> Ran:
    """Run a plan where its engine says, and show it; `caching`: the words of the command that makes its latents.

    Raises:
        LabError: if it cannot run so, before any cell is started; FailedAlike if cells failed alike.
        SweepStopped: if it was stopped.
    """
    experiments = planned.own_experiments
    for experiment in experiments:
        engine.group.check(experiment)
    refuse_rootless(planned, runs)
    tell_replaced(planned, runs)
    for line in long_averages(experiments):
        print(line)
    todo = to_do(runs, planned)
    missing = check_data(todo)
    own = unfinished(runs, planned)
    found = sources_of(runs, planned, own)
    for line in [*told(found), *without_ends(runs, planned, own, found)]:
        print(f"{planned.plan.name}: {line}")
    if engine.name == "slurm":
        return submit_plan(planned, runs, engine, retries, tracking=tracking, keep_going=keep_going)
    if engine.num_nodes > 1:
        raise LabError(f"num_nodes must be 1 on this machine, not {engine.num_nodes}: more need --engine slurm")
    refuse_uncached(planned, caching)
    if missing:
        raise LabError("\n".join(missing))
    where, limits = engine_slots(engine), engine.limits(keep_going=keep_going)
    if small := too_large(todo, gpus=bool(where[0]), group=engine.group):
        raise LabError(small)
    return run_plan(planned, runs, where, retries, engine.group, tracking=tracking, limits=limits)


def tell_replaced(planned: PlannedSweep, runs: Path) -> None:
    """Say which plan loses its name to this one, and what it is called from now on."""
    old = replaced(runs, planned.plan)
    if old is None:
        return
    other = other_file(runs, planned.file, old)
    print(
        f"{old.name}: another plan of this name has run{other and f', that of {other}'}, with {len(old.cells)} cells. "
        f"It is kept as {old.key}: lab status {old.key}, lab report {old.key}"
    )
    if other:
        print(f"{old.name}: to keep the two apart, give one of the files another name:, or this one --set name=...")


def tell_many(count: int) -> None:
    """How many cells there are, before they are planned, where that takes its time."""
    if count > MANY_CELLS:
        print(f"planning {count:,} cells", file=sys.stderr, flush=True)


def refuse_uncached(planned: PlannedSweep, command: Sequence[str]) -> None:
    """Refuse cells whose latents are not there, before any is started.

    Raises:
        LabError: if a cache is not finished.
    """
    for data in {e.data for e in planned.own_experiments if e.data.autoencoder is not None}:
        from lina_lab.data.cache import COMMAND, read_manifest

        read_manifest(data, shlex.join(command) or COMMAND)


def refuse_rootless(planned: PlannedSweep, runs: Path) -> None:
    """Refuse cells that start from a cell which is not there, or has no weights here, before any is started.

    Raises:
        LabError: naming that cell.
    """
    own = {cell.key for cell in planned.plan.cells}
    for init in {experiment.training.init_from for experiment in planned.own_experiments}:
        if init is not None and init.cell not in own and not (runs / init.cell).exists():
            raise LabError(f"training.init_from {init.cell}: {runs} has no such cell; train it first")
        if init is not None and (why := without_weights(runs / init.cell)):
            raise LabError(f"training.init_from {init.cell}: {why}")


def engine_slots(engine: EngineConfig) -> list[Slot]:
    """Where the workers of the local engine run."""
    return slots(engine.workers, engine.per_gpu, visible_gpus(), engine.devices)


def refuse_expensive(planned: PlannedSweep, runs: Path, engine: EngineConfig) -> None:
    """Hold a sweep against its own budget.

    Raises:
        LabError: if it would cost more, or if its hours cannot be told here.
    """
    if planned.budget.hours is not None and engine.name == "slurm":
        raise LabError(
            f"{planned.plan.name}: budget.hours is timed on this machine, not on a cluster's: with the slurm engine "
            "give budget.flops"
        )
    todo = to_do(runs, planned)

    def measured() -> Times:
        return rehearse(todo, engine_slots(engine))

    check_budget(planned, todo, measured)


def submit_plan(
    planned: PlannedSweep, runs: Path, engine: EngineConfig, retries: int, *, tracking: bool, keep_going: bool
) -> Ran:
    """Give the cells to SLURM and return."""
    from lina_lab.sweep.slurm_engine import submit

    plan, name = planned.plan, planned.plan.name
    for line in left_out(plan.omitted):
        print(line)
    with notifier(runs, plan, planned.file, retries):
        pass  # the jobs tell; what they will lack is said here
    jobs, then = submit(runs, planned, engine, retries, keep_going=keep_going)
    total = num_trials(planned) + len(planned.own_cells)
    for job, count in jobs.items():
        print(f"{name}: {count} of {total} cells submitted as job {job}; ledger in {runs}/")
    if not jobs:
        print(f"{name}: nothing to submit: its {planned.how_many} cells are done, running, in the queue or failed")
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
    return Ran(load_plan(runs, name))


def run_plan(
    planned: PlannedSweep,
    runs: Path,
    where: Sequence[Slot],
    retries: int,
    group: Group,
    *,
    tracking: bool,
    limits: Limits = LIMITS,
) -> Ran:
    """Run a plan on this machine; see `launch`."""
    plan, name = planned.plan, planned.plan.name
    for line in left_out(plan.omitted):
        print(line)
    trials = num_trials(planned)
    first = f"{trials} trials, then " if trials else ""
    num_workers = min(len(where), trials + len(planned.own_cells))
    print(f"{name}: {first}{planned.how_many} cells on {num_workers} workers; ledger in {runs}/", flush=True)
    with as_interrupt(signal.SIGTERM), contextlib.ExitStack() as stack:
        shipper: Shipper | None = None
        latest: Plan
        tell = stack.enter_context(notifier(runs, plan, planned.file, retries))

        def note(stored: Plan) -> None:
            nonlocal shipper, latest
            latest = tell.plan = stored
            if shipper is not None:
                shipper.plan = stored
            elif tracking:
                from lina_lab.tracking.shipper import Shipper

                shipper = stack.enter_context(Shipper(runs, stored))

        try:
            # Given up before the last shipment, so that MLflow sees whether this ended or was stopped.
            with driven(runs, name), show_progress() as show:

                def watch(snapshot: Snapshot, new: list[Finished]) -> None:
                    show(snapshot, new)
                    tell.failed(new)

                ended = run_sweep(runs, planned, where, watch, retries, note, group, limits)
        except KeyboardInterrupt:
            print(f"\nstopped; the same command continues {name} where it is")
            raise SweepStopped from None
        except FailedAlike as broken:
            print_broken(load_plan(runs, name), broken)
            tell.stopped(str(broken), broken.folders)
            raise
        tell.ended()
    if shipper is not None and shipper.behind:
        print(shipper.behind)
    failed = {finished.folder.name: finished.reason for finished in ended if finished.state == "failed"}
    _print_end(latest, runs, failed)
    return Ran(latest, failed)


def exit_code(run: Callable[[], Ran]) -> int:
    """0 if every cell has a result, 1 if one failed or cells failed alike, 130 if stopped by Ctrl-C."""
    try:
        return 1 if run().failed else 0
    except SweepStopped:
        return 130
    except FailedAlike:
        return 1


def _print_end(plan: Plan, runs: Path, failed: Mapping[str, str]) -> None:
    """The results, and which commands go on from here; `failed`: keys of failed cells and their reasons."""
    print_results(plan, runs, failed)
    print_verdict(plan, runs)
    if changed := changed_files():
        print(f"files of the package changed meanwhile: {', '.join(changed)}; the cells ran what was loaded before")
    if failed:
        print(f"\nlab retry {plan.name}     try the failed cells again")
    print(f"\nlab report {plan.name}    table, figures and page\nlab ui {plan.name}        the runs in MLflow")


def print_broken(plan: Plan, broken: FailedAlike) -> None:
    """Say which cells failed alike, and what they have in common that not all cells have."""
    cells = {cell.key: cell for cell in plan.everything}
    failed = [cells[folder.name] for folder in broken.folders]
    values = [{**cell.values, "seed": cell.seed}.items() for cell in failed]
    every = [{**cell.values, "seed": cell.seed}.items() for cell in cells.values()]
    common = [f"{name}={value}" for name, value in values[0] if all((name, value) in of_cell for of_cell in values)]
    special = [f"{name}={value}" for name, value in values[0] if not all((name, value) in of_cell for of_cell in every)]
    shared = ", ".join(word for word in common if word in special)
    print(f"\n{plan.name}: stopped: {broken}")
    for cell in failed:
        print(f"  {cell.key}  {cell.label}, seed {cell.seed}")
    print(f"in common: {shared or 'nothing that the other cells have not; what they run in is the likely cause'}")
    print(f"see error.txt and log.txt in {broken.folders[-1]}; no result is lost, and these failures do not count")
    print(f"the same command continues {plan.name}; with --keep-going it does not stop for this")

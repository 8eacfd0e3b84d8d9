"""`lab cell run`: run cells on this machine, as a job of a cluster does."""

import contextlib
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lina_lab.cli.options import (
    RETRIES,
    Devices,
    HangMinutes,
    KeepGoing,
    PerGpu,
    Retries,
    StrategyName,
    Workers,
)

if TYPE_CHECKING:
    from lina_lab.sweep.local_engine import Engine, Finished
    from lina_lab.sweep.notify import Notifier

REQUEUE = 75
"""Exit code of cells that were asked to stop and have left a checkpoint: EX_TEMPFAIL, start them again."""

cell_app = typer.Typer(help="Run cells, as the engines do.", no_args_is_help=True)


@cell_app.command()
def run(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Folders of cells.")],
    sweep: Annotated[str | None, typer.Option(help="Show the cells in this sweep's MLflow experiment.")] = None,
    workers: Workers = "auto",
    per_gpu: PerGpu = 1,
    retries: Retries = RETRIES,
    hang_minutes: HangMinutes = 20,
    keep_going: KeepGoing = False,
    until: Annotated[int, typer.Option(min=0, help="Pause after this step; 0 for the end.")] = 0,
    devices: Devices = 1,
    num_nodes: Annotated[int, typer.Option(min=1, help="Nodes that train one cell together.")] = 1,
    strategy: StrategyName = "ddp",
) -> None:
    """Run cells to their end on this machine.

    Exit code 0: each has a result, or another process works on it; 75: they were asked to stop (SIGTERM, Ctrl-C) and
    will continue from a checkpoint: start them again (a SLURM job requeues itself); 1: one failed.

    Example: lab cell run runs/3f2a90c1d5e7
    """
    import signal
    from collections import deque

    from lina_lab.config.engine import Group, Limits
    from lina_lab.ledger.cells import read_experiment
    from lina_lab.sweep.local_engine import Engine, slots, visible_gpus

    for folder in folders:
        read_experiment(folder)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    group, limits = Group(devices, num_nodes, strategy or "ddp"), Limits(hang_minutes, keep_going)
    where = slots(len(folders) if workers == "auto" else workers, per_gpu, visible_gpus(), devices)
    engine = Engine(deque(folders), where, retries, group, patient=False, limits=limits)
    engine.until = dict.fromkeys(folders, until)
    raise typer.Exit(_run_all(engine, folders, sweep))


def _run_all(engine: "Engine", folders: list[Path], sweep: str | None) -> int:
    """Run the engine until no cell is left: the exit code."""
    from lina_lab.ledger.cells import read_experiment
    from lina_lab.ledger.plan import load_plan
    from lina_lab.sweep.alike import FailedAlike
    from lina_lab.sweep.foresight import Foresight, largest
    from lina_lab.sweep.notify import notifier
    from lina_lab.sweep.slurm_engine import failed_in_array, requeue_this_job

    runs = folders[0].parent
    failed: list[Finished] = []
    tell: Notifier | None = None

    def show(new: "list[Finished]") -> None:
        _print_ended(new)
        failed.extend(finished for finished in new if finished.state == "failed")
        if tell is not None:
            tell.failed(new)

    with contextlib.ExitStack() as stack:
        if sweep is not None:
            from lina_lab.tracking.shipper import Shipper

            keys = frozenset(folder.resolve().name for folder in folders)
            plan = load_plan(runs, sweep)
            file = runs / plan.file if plan.file else None
            tell = stack.enter_context(notifier(runs, plan, file, engine.retries))
            shipper = stack.enter_context(Shipper(runs, plan, only=keys))
            sizes = cache(partial(largest, plan.cells, lambda key: read_experiment(runs / key)))
            engine.before = Foresight(runs, lambda: plan, sizes).before
        try:
            if sweep is not None and not engine.limits.keep_going:
                engine.alike = failed_in_array(runs, sweep)
                engine.alike.check()
            engine.run(show)
        except FailedAlike as broken:
            print(f"stopped: {broken}; lab sweep goes on, and --keep-going goes on all the same", flush=True)
            if tell is not None:
                tell.stopped(str(broken), broken.folders)
            return 1
        except KeyboardInterrupt:
            print(f"stopped{', requeued' if requeue_this_job() else '; it will continue'}", flush=True)
            return REQUEUE
        if tell is not None:
            tell.ended()
    if sweep is not None and shipper.behind:
        print(shipper.behind)
    return 1 if failed else 0


def _print_ended(new: "list[Finished]") -> None:
    for finished in new:
        print(f"{finished.folder.name}: {finished.state}{finished.reason and f': {finished.reason}'}", flush=True)

"""`lab retry`: try failed and diverged cells of a sweep again."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lina_lab.cli.options import (
    RETRIES,
    RUNS,
    EngineName,
    KeepGoing,
    OptionalDevices,
    OptionalHangMinutes,
    OptionalNodes,
    OptionalPerGpu,
    Retries,
    Runs,
    StrategyName,
    SweepName,
    Tracking,
    Workers,
)

if TYPE_CHECKING:
    from lina_lab.ledger.plan import Plan


def retry(
    name: SweepName,
    failed: Annotated[bool, typer.Option("--failed", help="Only failed cells, not diverged ones.")] = False,
    engine: EngineName = None,
    workers: Workers = None,
    per_gpu: OptionalPerGpu = None,
    devices: OptionalDevices = None,
    num_nodes: OptionalNodes = None,
    strategy: StrategyName = None,
    retries: Retries = RETRIES,
    hang_minutes: OptionalHangMinutes = None,
    keep_going: KeepGoing = False,
    tracking: Tracking = True,
    runs: Runs = RUNS,
) -> None:
    """Try failed and diverged cells of a sweep again.

    A sweep itself tries a failing cell twice more, and then leaves it until this command.

    Example: lab retry digits-quick --failed
    """
    from lina_lab.cli.launch import exit_code, launch
    from lina_lab.config.sweep import chosen_engine
    from lina_lab.ledger.plan import load_plan
    from lina_lab.sweep.planning import planned_again

    plan = load_plan(runs, name)
    _forgive(runs, plan, failed_only=failed)
    planned = planned_again(runs, plan)
    chosen = chosen_engine(
        planned.engine,
        name=engine,
        workers=workers,
        per_gpu=per_gpu,
        devices=devices,
        num_nodes=num_nodes,
        strategy=strategy,
        hang_minutes=hang_minutes,
    )
    raise typer.Exit(
        exit_code(lambda: launch(planned, runs, chosen, retries, tracking=tracking, keep_going=keep_going))
    )


def _forgive(runs: Path, plan: "Plan", *, failed_only: bool) -> None:
    """Let the failed cells of a sweep be tried again, and, unless `failed_only`, the diverged ones as well.

    The result of a diverged cell is kept beside, as result.json.diverged. Trials stay as they are: what a tuning has
    seen, it has seen.
    """
    from lina_lab.ledger.leases import faults, forgive
    from lina_lab.ledger.status import read_status

    for cell in plan.cells:
        folder = runs / cell.key
        state = read_status(folder).state
        if state == "diverged" and not failed_only:
            (folder / "result.json").replace(folder / "result.json.diverged")
        elif faults(folder):
            forgive(folder)

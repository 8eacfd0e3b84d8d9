"""What a sweep as a whole does, from the states of its cells."""

from collections.abc import Mapping
from pathlib import Path

from lina_lab.analysis.progress import in_tuning
from lina_lab.ledger.plan import Plan, is_driven
from lina_lab.sweep.slurm_engine import queued

ENDED = {"done", "diverged", "pruned", "failed"}
"""States of cells that nobody works on any more."""


def sweep_state(runs: Path, plan: Plan, states: Mapping[str, str]) -> str:
    """What a sweep does: running, waiting, stopped, failed, done or diverged.

    states: of its cells, by key. It is `stopped` while something is left to do that nobody works on and no job waits
    for; `diverged` if all its own cells did.
    """
    found = {states.get(cell.key, "waiting") for cell in plan.everything}
    if found and found <= ENDED and not in_tuning(plan):
        own = {states[cell.key] for cell in plan.cells}
        return "failed" if "failed" in found else "diverged" if own == {"diverged"} else "done"
    if "running" in found or is_driven(runs, plan.name):
        return "running"
    return "waiting" if queued(runs, plan.name) else "stopped"


def counts(plan: Plan, states: Mapping[str, str]) -> dict[str, int]:
    """State to number of cells, trials among them."""
    found = sorted(states.get(cell.key, "waiting") for cell in plan.everything)
    return {state: found.count(state) for state in dict.fromkeys(found)}

"""What the run of a sweep itself says in MLflow: its question, its plan, its forecasts, and what the sweep does."""

from collections.abc import Mapping
from pathlib import Path

from lina_lab.analysis.progress import in_tuning
from lina_lab.ledger.forecasts import forecasts_of, forecasts_text
from lina_lab.ledger.plan import Plan, is_driven, plan_text
from lina_lab.sweep.slurm_engine import queued

ENDED = {"done", "diverged", "pruned", "failed"}
"""States of cells that nobody works on any more."""
STATUS = {
    "running": "RUNNING",
    "waiting": "SCHEDULED",
    "stopped": "KILLED",
    "failed": "FAILED",
    "done": "FINISHED",
    # As for a cell: a finding, and nothing to be repaired.
    "diverged": "FINISHED",
}
"""What a sweep does, and MLflow's word for it."""


def sweep_state(runs: Path, plan: Plan, states: Mapping[str, str]) -> str:
    """What a sweep does, from the states of its cells by key: a word of `STATUS`.

    It is `stopped` while something is left to do that nobody works on and no job waits for; `diverged` if all its own
    cells did.
    """
    found = {states.get(cell.key, "waiting") for cell in plan.everything}
    if found and found <= ENDED and not in_tuning(plan):
        own = {states[cell.key] for cell in plan.cells}
        return "failed" if "failed" in found else "diverged" if own == {"diverged"} else "done"
    if "running" in found or is_driven(runs, plan.name):
        return "running"
    return "waiting" if queued(runs, plan.name) else "stopped"


def driver_files(runs: Path, plan: Plan) -> dict[str, str]:
    """The texts of the run by their name: its plan, and every forecast of its cells, if there is one."""
    forecasts = forecasts_of(runs, plan)
    return {f"{plan.name}.json": plan_text(plan)} | ({"forecast.json": forecasts_text(forecasts)} if forecasts else {})


def driver_tags(plan: Plan, state: str, states: Mapping[str, str]) -> dict[str, str]:
    """The tags of the run, with how many cells are in which state."""
    found = [states.get(cell.key, "waiting") for cell in plan.everything]
    counts = "".join(f"- {found.count(state)} {state}\n" for state in dict.fromkeys(sorted(found)))
    return {
        "lab.sweep": plan.name,
        "lab.role": "driver",
        "lab.state": state,
        "lab.commit": plan.provenance.commit or "unknown",
        "question": plan.question,
        "mlflow.note.content": f"{plan.question}\n\n{counts}",
    }

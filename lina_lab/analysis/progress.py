"""The progress of a sweep in words, from its results table."""

import pandas as pd

from lina_lab.config.sweep import cell_label
from lina_lab.ledger.plan import Plan

OPEN = ("running", "waiting")
WITH_RESULT = ("done", "diverged")


def has_result(table: pd.DataFrame) -> "pd.Series[bool]":
    """Which cells have a result; divergence counts as one."""
    return table["state"].isin(WITH_RESULT)


def unfinished(table: pd.DataFrame, plan: Plan) -> str:
    """'Unfinished: 5 of 9 cells have results; 1 failed, 2 running, 1 waiting.'; '' if all have."""
    others = table.loc[~has_result(table), "state"].value_counts(sort=False).to_dict()
    said = [", ".join(f"{count} {state}" for state, count in sorted(others.items()))] if others else []
    tuned = in_tuning(plan)
    if tuned:
        said.append(f"{tuned} designs still in tuning, with their cells yet to come")
    if not said:
        return ""
    return f"Unfinished: {len(table) - sum(others.values())} of {len(table)} cells have results; {'; '.join(said)}."


def in_tuning(plan: Plan) -> int:
    """Number of (design, size) points still in tuning, whose cells are not known yet."""
    settled = {cell_label(cell.values) for cell in plan.cells} | {cell_label(point.values) for point in plan.omitted}
    return len({cell_label(trial.values) for trial in plan.trials} - settled)


def why_no_metric(table: pd.DataFrame, label: str = "FID") -> str:
    """Why no cell of a table has a metric."""
    states = table["state"].value_counts(sort=False).to_dict() if "state" in table else {}
    said = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    if not states or states.keys() & set(OPEN):
        return f"no cell has a {label} yet{said and f' ({said})'}; lab status says how far the sweep is"
    if len(states) > 1 or "done" in states:
        return f"no cell has a {label}, and none will: {said}"
    return all_alike(table)


def all_alike(table: pd.DataFrame) -> str:
    """'all 4 cells diverged, at steps 3 to 17' if all ended alike and without a measurement; otherwise ''."""
    states = set(table["state"])
    if len(states) != 1 or states & {"done", *OPEN}:
        return ""
    state, cells = states.pop(), f"all {len(table)} cells" if len(table) > 1 else "the one cell"
    if state == "diverged":
        steps = sorted(table["diverged_at"].dropna().astype(int)) if "diverged_at" in table else []
        where = (
            f", at steps {steps[0]} to {steps[-1]}" if len(set(steps)) > 1 else f", at step {steps[0]}" if steps else ""
        )
        return f"{cells} diverged{where}: there is nothing to measure"
    reasons = sorted(set(table["reason"].dropna()) - {""})
    several = f", for {len(reasons)} reasons, such as" if len(reasons) > 1 else ""
    return f"{cells} {state}{several}{f': {reasons[0]}' if reasons else ''}"
